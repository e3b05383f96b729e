import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { CreateStreamCommand, KinesisClient, waitUntilStreamExists } from "@aws-sdk/client-kinesis";
import { NodeHttpHandler } from "@smithy/node-http-handler";
import type { KinesisEndpoint } from "../endpoints.ts";
import { answersOk } from "../net.ts";
import type { Component } from "./component.ts";

const packageFile = (file: string) =>
  fileURLToPath(new URL(`../../node_modules/kinesis-local/${file}`, import.meta.url));

export function kinesisEndpoint(port: number): KinesisEndpoint {
  return {
    endpoint: `http://127.0.0.1:${port}`,
    region: "us-east-1",
    accessKeyId: "weir-local",
    secretAccessKey: "weir-local-secret",
    stream: "weir",
  };
}

/**
 * kinesis-local: a mock with exact shard semantics that lives in memory. At a clean stop it writes all of it to a file
 * and goes on from there. After a death there is no such file and the stream starts anew, with a new creation time:
 * an old state under the old name would give sequence numbers out twice.
 */
export const kinesis: Component = {
  portCount: 2,
  startTimeoutMs: 60_000,
  // Tens of thousands of records take seconds to be written out.
  stopTimeoutMs: 30_000,
  async launch({ dataDir, ports, shards }) {
    const [port, tlsPort] = ports;
    const file = path.join(dataDir, "stream.json");
    const running = path.join(dataDir, "running");
    const dropped = dropUnlessFromStop(file, running);
    const startedMs = Date.now();
    const endpoint = kinesisEndpoint(port!);
    return {
      command: process.execPath,
      // Without a bound the collector lets the heap grow to 4 GiB.
      args: ["--max-old-space-size=2048", packageFile("main.js")],
      env: {
        KINESIS_MOCK_PLAIN_PORT: String(port),
        KINESIS_MOCK_TLS_PORT: String(tlsPort),
        KINESIS_MOCK_CERT_PATH: packageFile("server.json"),
        SHARD_LIMIT: "200",
        CREATE_STREAM_DURATION: "10ms",
        LOG_LEVEL: "ERROR",
        SHOULD_PERSIST_DATA: "true",
        PERSIST_PATH: dataDir,
        PERSIST_FILE_NAME: path.basename(file),
        // It stands still while it writes, so it does so at the start and at the stop only.
        PERSIST_INTERVAL: "240h",
      },
      endpoints: { kinesis: endpoint },
      ...(dropped ? { remark: "the stream starts anew: the last run did not end cleanly" } : {}),
      // The first writing is part of the start: what is written later was written at the stop.
      isReady: async () => writtenMs(file) >= startedMs && (await answersOk(`${endpoint.endpoint}/healthcheck`)),
      async afterReady() {
        writeFileSync(running, "");
        await createStream(endpoint, shards);
      },
    };
  },
};

const writtenMs = (file: string) => statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;

/** Deletes the file unless it is whole and younger than the mark that the run before left when it was ready. */
function dropUnlessFromStop(file: string, running: string): boolean {
  if (!existsSync(file)) return existsSync(running);
  if (writtenMs(file) > writtenMs(running) && isWhole(file)) return false;
  rmSync(file);
  return true;
}

function isWhole(file: string): boolean {
  try {
    JSON.parse(readFileSync(file, "utf8"));
    return true;
  } catch {
    return false;
  }
}

/** Does nothing if it is there; else resolves once it can be written to. */
export async function createStream(to: KinesisEndpoint, shards: number): Promise<void> {
  const client = new KinesisClient({
    endpoint: to.endpoint,
    region: to.region,
    credentials: { accessKeyId: to.accessKeyId, secretAccessKey: to.secretAccessKey },
    // The mock speaks HTTP/1.1 only.
    requestHandler: new NodeHttpHandler(),
  });
  try {
    await client.send(new CreateStreamCommand({ StreamName: to.stream, ShardCount: shards }));
  } catch (error) {
    if (!(error instanceof Error && error.name === "ResourceInUseException")) throw error;
  }
  try {
    await waitUntilStreamExists({ client, maxWaitTime: 30, minDelay: 1, maxDelay: 1 }, { StreamName: to.stream });
  } finally {
    client.destroy();
  }
}
