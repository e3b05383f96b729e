import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { fileURLToPath } from "node:url";
import { KinesisClient } from "@aws-sdk/client-kinesis";
import { NodeHttpHandler } from "@smithy/node-http-handler";

const packageFile = (file: string) =>
  fileURLToPath(new URL(`../../node_modules/kinesis-local/${file}`, import.meta.url));

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  return typeof address === "object" && address ? address.port : 0;
}

/** A Kinesis of one's own, in memory; waits until it answers. */
export async function startKinesis(): Promise<{ client: KinesisClient; stop: () => Promise<void> }> {
  const [port, tlsPort] = [await freePort(), await freePort()];
  const child: ChildProcess = spawn(process.execPath, [packageFile("main.js")], {
    stdio: "ignore",
    env: {
      ...process.env,
      KINESIS_MOCK_PLAIN_PORT: String(port),
      KINESIS_MOCK_TLS_PORT: String(tlsPort),
      KINESIS_MOCK_CERT_PATH: packageFile("server.json"),
      CREATE_STREAM_DURATION: "10ms",
      SPLIT_SHARD_DURATION: "10ms",
      LOG_LEVEL: "ERROR",
    },
  });
  const exited = once(child, "exit");
  const endpoint = `http://127.0.0.1:${port}`;
  await until(async () => {
    if (child.exitCode !== null) throw new Error(`kinesis-local exited with ${child.exitCode}`);
    return (await fetch(`${endpoint}/healthcheck`).catch(() => null))?.ok === true;
  });
  const client = new KinesisClient({
    endpoint,
    region: "us-east-1",
    credentials: { accessKeyId: "test", secretAccessKey: "test" },
    requestHandler: new NodeHttpHandler(),
  });
  const stop = async () => {
    client.destroy();
    child.kill("SIGTERM");
    await exited;
  };
  return { client, stop };
}

/** Asks until the answer is yes; 30 seconds at most. */
export async function until(holds: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error("The condition did not come about in 30 seconds.");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
