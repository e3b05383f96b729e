import { S3Client } from "@aws-sdk/client-s3";
import type { Config } from "../config.ts";
import { kinesisClient } from "../sources/index.ts";
import type { AwsCredentials } from "../streams/index.ts";

/** Credentials come from the SDK's own chain: environment, profile or role. */
export const kinesisOf = (config: Config) =>
  kinesisClient({ region: config.awsRegion, ...(config.kinesisEndpoint && { endpoint: config.kinesisEndpoint }) });

export const s3Of = (config: Config): S3Client =>
  new S3Client({
    region: config.awsRegion,
    ...(config.s3Endpoint && { endpoint: config.s3Endpoint, forcePathStyle: true }),
  });

const chains = new Map<string, S3Client>();

/** What the SDK's chain gives now; it keeps temporary ones until shortly before they expire. */
export async function credentialsOf(region: string): Promise<AwsCredentials> {
  const client = chains.get(region) ?? new S3Client({ region });
  chains.set(region, client);
  return await client.config.credentials();
}
