import { createHash, createHmac } from "node:crypto";

export interface AwsCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
}

interface Presigned {
  readonly host: string;
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly service: string;
  readonly region: string;
  readonly expiresSeconds: number;
  /** SHA-256 of the body in hex, or a word that stands for it. */
  readonly payload: string;
}

const EXPIRES_SECONDS = 900;
const EMPTY = createHash("sha256").update("").digest("hex");

/**
 * The OAuth bearer token that Amazon MSK takes for IAM: a presigned `kafka-cluster:Connect` in base64url, valid for 15
 * minutes (https://github.com/aws/aws-msk-iam-auth). kafkajs asks for a fresh one with each connection and before the
 * session ends. Its form is tested; it was not run against MSK.
 */
export function mskToken(region: string, credentials: AwsCredentials, nowMs: number): string {
  const url = presign(
    {
      host: `kafka.${region}.amazonaws.com`,
      path: "/",
      query: { Action: "kafka-cluster:Connect" },
      service: "kafka-cluster",
      region,
      expiresSeconds: EXPIRES_SECONDS,
      payload: EMPTY,
    },
    credentials,
    nowMs,
  );
  return Buffer.from(`${url}&User-Agent=weir`).toString("base64url");
}

/** AWS Signature Version 4 in the query: https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html */
export function presign(request: Presigned, credentials: AwsCredentials, nowMs: number): string {
  const { host, path, service, region, payload } = request;
  const time = new Date(nowMs).toISOString().replace(/[-:]|\.\d{3}/g, "");
  const day = time.slice(0, 8);
  const scope = `${day}/${region}/${service}/aws4_request`;
  const query = canonicalQuery({
    ...request.query,
    "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
    "X-Amz-Credential": `${credentials.accessKeyId}/${scope}`,
    "X-Amz-Date": time,
    "X-Amz-Expires": String(request.expiresSeconds),
    "X-Amz-SignedHeaders": "host",
    ...(credentials.sessionToken && { "X-Amz-Security-Token": credentials.sessionToken }),
  });
  const canonical = ["GET", path, query, `host:${host}`, "", "host", payload].join("\n");
  const digest = createHash("sha256").update(canonical).digest("hex");
  const key = [day, region, service, "aws4_request"].reduce<string | Buffer>(
    (secret, part) => hmac(secret, part),
    `AWS4${credentials.secretAccessKey}`,
  );
  const signature = hmac(key, ["AWS4-HMAC-SHA256", time, scope, digest].join("\n")).toString("hex");
  return `https://${host}${path}?${query}&X-Amz-Signature=${signature}`;
}

const hmac = (key: string | Buffer, text: string): Buffer => createHmac("sha256", key).update(text).digest();

const canonicalQuery = (query: Readonly<Record<string, string>>): string =>
  Object.entries(query)
    .map(([name, value]) => `${encode(name)}=${encode(value)}`)
    .sort()
    .join("&");

const encode = (text: string): string =>
  encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
