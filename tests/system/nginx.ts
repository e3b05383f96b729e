import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { until } from "../support/kafka.ts";

/** A real nginx on `deploy/nginx/nginx.conf`, with nothing changed but the ports. */
export async function startNginx(ports: {
  first: number;
  second: number;
}): Promise<{ port: number; stop(): Promise<void> }> {
  const dir = mkdtempSync(path.join(tmpdir(), "weir-nginx-"));
  mkdirSync(path.join(dir, "tmp"));
  const port = await freePort();
  const conf = readFileSync(new URL("../../deploy/nginx/nginx.conf", import.meta.url), "utf8")
    .replace("listen 127.0.0.1:8080", `listen 0.0.0.0:${port}`)
    .replaceAll("127.0.0.1:8081", `127.0.0.1:${ports.first}`)
    .replaceAll("127.0.0.1:8082", `127.0.0.1:${ports.second}`);
  writeFileSync(path.join(dir, "nginx.conf"), conf);
  const args = ["-p", dir, "-c", path.join(dir, "nginx.conf"), "-g", "daemon off;"];
  const child: ChildProcess = spawn("nginx", args, { stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  let ended: string | null = null;
  child.stderr!.on("data", (bytes) => {
    said += bytes;
  });
  child.on("error", (error) => {
    ended = `nginx cannot be started (Debian package nginx): ${error.message}`;
  });
  child.on("exit", (code) => {
    ended ??= `nginx ended with ${code}: ${said}`;
  });
  await until("nginx listens", async () => {
    if (ended !== null) throw new Error(ended);
    return (await ask(port, "/nginx-health", {}).catch(() => ({ status: 0 }))).status === 200;
  });
  return {
    port,
    stop: async () => {
      const gone = new Promise((resolve) => child.once("exit", resolve));
      if (ended === null) {
        child.kill("SIGTERM");
        await gone;
      }
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

export interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

export interface Ask {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** One of 127.0.0.0/8: as another caller. */
  readonly from?: string;
}

export function ask(
  port: number,
  url: string,
  { method = "GET", headers = {}, body, from = "127.0.0.1" }: Ask,
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const sent = request(
      { host: "127.0.0.1", port, path: url, method, headers, localAddress: from, agent: false },
      (response) => {
        let text = "";
        response.on("data", (bytes) => {
          text += bytes;
        });
        response.on("end", () => resolve({ status: response.statusCode!, headers: response.headers, body: text }));
      },
    );
    sent.on("error", reject);
    sent.end(body);
  });
}
