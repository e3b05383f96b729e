import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { CreateBucketCommand, ListObjectsV2Command, S3Client } from "@aws-sdk/client-s3";
import { startStack } from "../../local/index.ts";

export interface S3Server {
  readonly client: S3Client;
  /** A bucket of its own. */
  bucket(): Promise<string>;
  keys(bucket: string): Promise<string[]>;
  stop(): Promise<void>;
}

/** The local stack's real S3 server, on a folder that goes with it. */
export async function startS3(): Promise<S3Server> {
  const runDir = mkdtempSync(path.join(tmpdir(), "weir-test-s3-"));
  const stack = await startStack({ runDir, components: ["s3"] });
  const { s3 } = stack.endpoints;
  const client = new S3Client({
    endpoint: s3.endpoint,
    region: s3.region,
    credentials: { accessKeyId: s3.accessKeyId, secretAccessKey: s3.secretAccessKey },
    forcePathStyle: true,
  });
  let buckets = 0;
  return {
    client,
    async bucket() {
      const name = `test-${++buckets}`;
      await client.send(new CreateBucketCommand({ Bucket: name }));
      return name;
    },
    async keys(bucket) {
      const page = await client.send(new ListObjectsV2Command({ Bucket: bucket }));
      return (page.Contents ?? []).map((o) => o.Key ?? "");
    },
    async stop() {
      client.destroy();
      await stack.stop();
      rmSync(runDir, { recursive: true, force: true });
    },
  };
}
