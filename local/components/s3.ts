import { existsSync, mkdirSync } from "node:fs";
import path from "node:path";
import { CreateBucketCommand, S3Client } from "@aws-sdk/client-s3";
import type { S3Endpoint } from "../endpoints.ts";
import { answersOk } from "../net.ts";
import { supportsXattr } from "../xattr.ts";
import type { Component } from "./component.ts";
import { motoServer } from "./moto.ts";

export function s3Endpoint(port: number): S3Endpoint {
  return {
    endpoint: `http://127.0.0.1:${port}`,
    region: "us-east-1",
    accessKeyId: "weir-local",
    secretAccessKey: "weir-local-secret",
    bucket: "weir",
  };
}

/** S3 on a folder (versitygw); where that could not be built, moto's, in memory. */
export const s3: Component = {
  portCount: 1,
  startTimeoutMs: 60_000,
  async launch({ cacheDir, dataDir, ports }) {
    const [port] = ports;
    const endpoint = s3Endpoint(port!);
    const afterReady = () => createBucket(endpoint);
    const gateway = path.join(cacheDir, "s3", "versitygw");
    if (!existsSync(gateway)) {
      const moto = motoServer(cacheDir, port!);
      return { ...moto, endpoints: { s3: endpoint }, afterReady, remark: "moto, in memory: lost at the end" };
    }
    const objects = path.join(dataDir, "objects");
    const flags = metadataFlags(dataDir);
    return {
      command: gateway,
      args: ["--port", `127.0.0.1:${port}`, "--health", "/health", "--quiet", "posix", ...flags, objects],
      env: { ROOT_ACCESS_KEY: endpoint.accessKeyId, ROOT_SECRET_KEY: endpoint.secretAccessKey },
      endpoints: { s3: endpoint },
      isReady: () => answersOk(`${endpoint.endpoint}/health`),
      afterReady,
    };
  },
};

/** Metadata lies in extended attributes, or beside the objects on a file system without them. Decided once per folder. */
function metadataFlags(dataDir: string): string[] {
  const sidecar = path.join(dataDir, "metadata");
  const objects = path.join(dataDir, "objects");
  if (!existsSync(objects)) {
    if (!supportsXattr(dataDir)) mkdirSync(sidecar);
    mkdirSync(objects);
  }
  return existsSync(sidecar) ? ["--sidecar", sidecar] : [];
}

/** Does nothing if it is there. */
export async function createBucket(to: S3Endpoint): Promise<void> {
  const client = new S3Client({
    endpoint: to.endpoint,
    region: to.region,
    credentials: { accessKeyId: to.accessKeyId, secretAccessKey: to.secretAccessKey },
    forcePathStyle: true,
  });
  try {
    await client.send(new CreateBucketCommand({ Bucket: to.bucket }));
  } catch (error) {
    const exists = error instanceof Error && /^BucketAlready(OwnedByYou|Exists)$/.test(error.name);
    if (!exists) throw error;
  } finally {
    client.destroy();
  }
}
