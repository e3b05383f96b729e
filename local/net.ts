import { once } from "node:events";
import { get } from "node:http";
import { connect, createServer, type Server } from "node:net";

/** Ports on 127.0.0.1 that nobody listens on, all different, as the operating system gives them. */
export async function freePorts(count: number): Promise<number[]> {
  // All are held until the last one is known, so that none comes twice.
  const servers: Server[] = [];
  try {
    for (let i = 0; i < count; i++) {
      const server = createServer();
      server.listen(0, "127.0.0.1");
      servers.push(server);
      await once(server, "listening");
    }
    return servers.map((server) => {
      const address = server.address();
      return typeof address === "object" && address !== null ? address.port : 0;
    });
  } finally {
    await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  }
}

/** True if somebody accepts connections there. */
export function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port, timeout: 1_000 });
    const end = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.once("connect", () => end(true));
    socket.once("timeout", () => end(false));
    socket.once("error", () => end(false));
  });
}

/** True if a GET is answered with a 2xx within two seconds. Leaves no connection open: Triton waits for those at its end. */
export function answersOk(url: string): Promise<boolean> {
  return new Promise((resolve) => {
    const request = get(url, { agent: false, timeout: 2_000 }, (response) => {
      response.resume();
      const status = response.statusCode ?? 0;
      response.once("end", () => resolve(status >= 200 && status < 300));
      response.once("error", () => resolve(false));
    });
    request.once("timeout", () => request.destroy(new Error("no answer")));
    request.once("error", () => resolve(false));
  });
}
