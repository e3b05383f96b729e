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

/** kinesis-local: a mock with exact shard semantics. It writes its memory to a file at a clean stop and now and then. */
export const kinesis: Component = {
  portCount: 2,
  startTimeoutMs: 60_000,
  async launch({ dataDir, ports, shards }) {
    const [port, tlsPort] = ports;
    const endpoint = kinesisEndpoint(port!);
    return {
      command: process.execPath,
      args: [packageFile("main.js")],
      env: {
        KINESIS_MOCK_PLAIN_PORT: String(port),
        KINESIS_MOCK_TLS_PORT: String(tlsPort),
        KINESIS_MOCK_CERT_PATH: packageFile("server.json"),
        SHARD_LIMIT: "200",
        CREATE_STREAM_DURATION: "10ms",
        LOG_LEVEL: "ERROR",
        SHOULD_PERSIST_DATA: "true",
        PERSIST_PATH: dataDir,
        PERSIST_INTERVAL: "30s",
      },
      endpoints: { kinesis: endpoint },
      isReady: () => answersOk(`${endpoint.endpoint}/healthcheck`),
      afterReady: () => createStream(endpoint, shards),
    };
  },
};

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
