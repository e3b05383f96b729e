import { createServer, type Server, type Socket, connect as tcp } from "node:net";

/** A wire between client and server that can be frozen: connections stay open and carry nothing, as to a dead machine. */
export class Wire {
  readonly #server: Server;
  readonly #pairs = new Set<readonly [Socket, Socket]>();
  port = 0;

  constructor(toPort: number) {
    this.#server = createServer((near) => {
      const far = tcp(toPort, "127.0.0.1");
      const pair = [near, far] as const;
      this.#pairs.add(pair);
      near.pipe(far);
      far.pipe(near);
      for (const socket of pair) {
        socket.on("error", () => undefined);
        socket.on("close", () => {
          for (const end of pair) end.destroy();
          this.#pairs.delete(pair);
        });
      }
    });
  }

  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    this.port = (this.#server.address() as { port: number }).port;
    return this;
  }

  /** The connections that stand now; new ones work. */
  freeze(): void {
    for (const [near, far] of this.#pairs) {
      near.unpipe(far);
      far.unpipe(near);
      near.resume();
      far.resume();
    }
  }

  close(): void {
    for (const pair of this.#pairs) for (const socket of pair) socket.destroy();
    this.#server.close();
  }
}
