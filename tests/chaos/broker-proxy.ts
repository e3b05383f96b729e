import { connect, createServer, type Server, type Socket } from "node:net";

/** API keys of the requests whose replies matter most: https://kafka.apache.org/protocol#protocol_api_keys */
export const apiKeys = { Produce: 0, InitProducerId: 22, EndTxn: 26 } as const;
export type ApiName = keyof typeof apiKeys;

/**
 * - `cut`: the request arrives, then the connection breaks: the client cannot know what became of it.
 * - `swallow`: the request arrives, its reply never comes, the connection stays.
 * - `delay`: the reply comes `delayMs` late, and with it all behind it.
 */
export type ReplyFault = "cut" | "swallow" | "delay";

interface Armed {
  readonly apiKey: number;
  readonly fault: ReplyFault;
  readonly delayMs: number;
  readonly hit: () => void;
}

/**
 * A TCP proxy before one broker that reads the frames of Kafka's protocol (size int32, API key int16, version int16,
 * correlation id int32) and spoils the reply to the next request of a kind. Everything else passes as it is.
 *
 * Clients have to be led here by their own sockets: the broker goes on telling them its own address.
 */
export class BrokerProxy {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #armed: Armed | undefined;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(brokerPort: number): Promise<BrokerProxy> {
    const server = createServer();
    const proxy = new BrokerProxy(server);
    server.on("connection", (client) => proxy.#join(client, connect(brokerPort, "127.0.0.1")));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return proxy;
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === "object" && address ? address.port : 0;
  }

  /** Spoils the reply to the next request of this kind; resolves when it has. One fault at a time. */
  spoil(api: ApiName, fault: ReplyFault, delayMs = 0): Promise<void> {
    return new Promise((hit) => {
      this.#armed = { apiKey: apiKeys[api], fault, delayMs, hit };
    });
  }

  /** Takes back a fault that no request met. */
  disarm(): void {
    this.#armed = undefined;
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #join(client: Socket, broker: Socket): void {
    const both = [client, broker] as const;
    const spoiled = new Map<number, Armed>();
    const end = () => {
      for (const socket of both) socket.destroy();
    };
    for (const socket of both) {
      this.#sockets.add(socket);
      socket.setNoDelay(true);
      socket.on("error", end);
      socket.on("close", () => {
        this.#sockets.delete(socket);
        end();
      });
    }
    const requests = framesOf((frame) => {
      const armed = this.#armed;
      if (armed && frame.readInt16BE(4) === armed.apiKey) {
        this.#armed = undefined;
        spoiled.set(frame.readInt32BE(8), armed);
      }
      broker.write(frame);
    });
    // Replies wait for one another: Kafka's clients expect them in the order of the requests.
    let turn: Promise<void> = Promise.resolve();
    const replies = framesOf((frame) => {
      turn = turn.then(async () => {
        const armed = spoiled.get(frame.readInt32BE(4));
        armed?.hit();
        if (armed?.fault === "cut") return end();
        if (armed?.fault === "swallow") return;
        if (armed) await new Promise((resolve) => setTimeout(resolve, armed.delayMs));
        client.write(frame);
      });
    });
    client.on("data", requests);
    broker.on("data", replies);
  }
}

/** Gathers a stream's bytes into whole frames, size included. */
export function framesOf(take: (frame: Buffer) => void): (bytes: Buffer) => void {
  let held: Buffer[] = [];
  let heldBytes = 0;
  return (bytes) => {
    held.push(bytes);
    heldBytes += bytes.length;
    for (;;) {
      if (heldBytes < 4) return;
      if (held[0]!.length < 4) held = [Buffer.concat(held)];
      const size = held[0]!.readInt32BE(0) + 4;
      if (heldBytes < size) return;
      const all = held.length === 1 ? held[0]! : Buffer.concat(held);
      take(all.subarray(0, size));
      held = all.length > size ? [all.subarray(size)] : [];
      heldBytes -= size;
    }
  };
}
