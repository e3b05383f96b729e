import { expect, test } from "vitest";
import { mskToken, presign } from "../../streams/kafka/msk-token.ts";

const key = { accessKeyId: "AKIAIOSFODNN7EXAMPLE", secretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY" };

test("a URL is signed as in AWS's own example of a presigned request", () => {
  // https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
  const url = presign(
    {
      host: "examplebucket.s3.amazonaws.com",
      path: "/test.txt",
      query: {},
      service: "s3",
      region: "us-east-1",
      expiresSeconds: 86_400,
      payload: "UNSIGNED-PAYLOAD",
    },
    key,
    Date.parse("2013-05-24T00:00:00Z"),
  );
  expect(new URL(url).searchParams.get("X-Amz-Signature")).toBe(
    "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404",
  );
});

test("the token is a presigned kafka-cluster:Connect of the region, valid for 15 minutes from now", () => {
  const nowMs = Date.parse("2026-11-23T23:59:58.123Z");
  const token = mskToken("eu-central-1", { ...key, sessionToken: "temporary/token+" }, nowMs);
  expect(token).toMatch(/^[\w-]+$/);
  const url = new URL(Buffer.from(token, "base64url").toString());
  expect(url.origin).toBe("https://kafka.eu-central-1.amazonaws.com");
  const { "X-Amz-Signature": signature, ...rest } = Object.fromEntries(url.searchParams);
  expect(signature).toMatch(/^[0-9a-f]{64}$/);
  expect(rest).toEqual({
    Action: "kafka-cluster:Connect",
    "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
    "X-Amz-Credential": "AKIAIOSFODNN7EXAMPLE/20261123/eu-central-1/kafka-cluster/aws4_request",
    "X-Amz-Date": "20261123T235958Z",
    "X-Amz-Expires": "900",
    "X-Amz-SignedHeaders": "host",
    "X-Amz-Security-Token": "temporary/token+",
    "User-Agent": "weir",
  });
});

test("another second, another signature", () => {
  const tokens = [0, 1_000].map((ms) => mskToken("us-east-1", key, ms));
  expect(tokens[0]).not.toBe(tokens[1]);
});
