import {
  DescribeStreamSummaryCommand,
  GetRecordsCommand,
  GetShardIteratorCommand,
  KinesisClient,
  type KinesisClientConfig,
  ListShardsCommand,
} from "@aws-sdk/client-kinesis";
import { NodeHttpHandler } from "@smithy/node-http-handler";
import { WeirError } from "../../streams/index.ts";
import type { ListedShard } from "./shard-plan.ts";
import type { ShardSource } from "./shard-source.ts";

/** A client fit for the bridge, which paces and repeats its calls itself. */
export function kinesisClient(config: KinesisClientConfig): KinesisClient {
  const isPlainHttp = typeof config.endpoint === "string" && config.endpoint.startsWith("http://");
  // The SDK's own handler speaks HTTP/2 from the first byte, which no emulator understands.
  return new KinesisClient({
    maxAttempts: 2,
    ...(isPlainHttp && { requestHandler: new NodeHttpHandler() }),
    ...config,
  });
}

/** The shards of real Kinesis or an emulator, by polling. */
export function kinesisShards(client: KinesisClient): ShardSource {
  const call = async <T>(what: string, send: () => Promise<T>): Promise<T> => {
    try {
      return await send();
    } catch (error) {
      throw kinesisError(what, error);
    }
  };
  const options = (signal: AbortSignal | undefined) => (signal ? { abortSignal: signal } : {});

  return {
    describe: (StreamName, signal) =>
      call(`DescribeStreamSummary of ${StreamName}`, async () => {
        const reply = await client.send(new DescribeStreamSummaryCommand({ StreamName }), options(signal));
        const { StreamCreationTimestamp, RetentionPeriodHours } = reply.StreamDescriptionSummary ?? {};
        return {
          createdMs: StreamCreationTimestamp?.getTime() ?? 0,
          retentionMs: (RetentionPeriodHours ?? DEFAULT_RETENTION_HOURS) * 3_600_000,
        };
      }),

    listShards: (stream, signal) =>
      call(`ListShards of ${stream}`, async () => {
        const shards: ListedShard[] = [];
        let NextToken: string | undefined;
        do {
          const input = NextToken ? { NextToken } : { StreamName: stream };
          const reply = await client.send(new ListShardsCommand(input), options(signal));
          for (const s of reply.Shards ?? []) {
            const parents = [s.ParentShardId, s.AdjacentParentShardId].filter((p) => p !== undefined);
            shards.push({ shard: s.ShardId ?? "", parents });
          }
          NextToken = reply.NextToken;
        } while (NextToken);
        return shards;
      }),

    iterator: (StreamName, ShardId, sequence, signal) =>
      call(`GetShardIterator of ${StreamName}/${ShardId}`, async () => {
        const from = sequence
          ? ({ ShardIteratorType: "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber: sequence } as const)
          : ({ ShardIteratorType: "TRIM_HORIZON" } as const);
        const reply = await client.send(new GetShardIteratorCommand({ StreamName, ShardId, ...from }), options(signal));
        return reply.ShardIterator ?? "";
      }),

    records: (ShardIterator, signal) =>
      call("GetRecords", async () => {
        const reply = await client.send(new GetRecordsCommand({ ShardIterator }), options(signal));
        return {
          records: (reply.Records ?? []).map((r) => ({
            sequence: r.SequenceNumber ?? "",
            ...arrivalOf(r.ApproximateArrivalTimestamp),
            data: r.Data ?? new Uint8Array(),
          })),
          next: reply.NextShardIterator ?? null,
          children: (reply.ChildShards ?? []).map((c) => ({ shard: c.ShardId ?? "", parents: c.ParentShards ?? [] })),
          millisBehindLatest: reply.MillisBehindLatest ?? 0,
        };
      }),

    holds: (stream, shard, sequence, signal) =>
      call(
        `Look-up of record ${sequence} in ${stream}/${shard}`,
        async () => (await recordAt(client, stream, shard, sequence, signal)) !== null,
      ),
  };
}

/** Replies without records that are borne with: Kinesis gives some on the way. */
const MAX_EMPTY_REPLIES = 20;

/** The bytes of one record; null if the stream no longer has it. */
export async function recordAt(
  client: KinesisClient,
  stream: string,
  shard: string,
  sequence: string,
  signal?: AbortSignal,
): Promise<Uint8Array | null> {
  const options = signal ? { abortSignal: signal } : {};
  const at = { ShardIteratorType: "AT_SEQUENCE_NUMBER", StartingSequenceNumber: sequence } as const;
  const input = { StreamName: stream, ShardId: shard, ...at };
  let { ShardIterator: iterator } = await client.send(new GetShardIteratorCommand(input), options);
  for (let i = 0; iterator && i < MAX_EMPTY_REPLIES; i++) {
    const reply = await client.send(new GetRecordsCommand({ ShardIterator: iterator, Limit: 1 }), options);
    const first = reply.Records?.[0];
    // Of a record that is gone Kinesis makes the oldest there is.
    if (first) return first.SequenceNumber === sequence ? (first.Data ?? new Uint8Array()) : null;
    if (reply.MillisBehindLatest === 0) return null;
    iterator = reply.NextShardIterator;
  }
  return null;
}

/** Kinesis's own where a stream does not say. */
const DEFAULT_RETENTION_HOURS = 24;

/** A record without a stamp arrived before it was read; more is not known. */
const arrivalOf = (stamp: Date | undefined) =>
  stamp ? { arrivalMs: stamp.getTime() } : { arrivalMs: Date.now(), isArrivalGuessed: true };

const throttled = new Set([
  "ProvisionedThroughputExceededException",
  "LimitExceededException",
  "KMSThrottlingException",
  "ThrottlingException",
]);
const refused = new Set([
  "AccessDeniedException",
  "InvalidArgumentException",
  "InvalidSignatureException",
  "UnrecognizedClientException",
  "ValidationException",
  "KMSAccessDeniedException",
]);

function kinesisError(what: string, cause: unknown): WeirError {
  const { name, message } = cause as Error;
  const make = (code: string, disposition: "retry" | "fatal", nextStep: string) =>
    new WeirError(code, disposition, `${what}: ${name}: ${message}`, nextStep, { cause });
  if (throttled.has(name)) return make("KINESIS_THROTTLED", "retry", "Add shards, or remove other readers.");
  if (name === "ExpiredIteratorException") return make("KINESIS_ITERATOR_EXPIRED", "retry", "Ask for a new iterator.");
  if (name === "ResourceNotFoundException")
    return make("KINESIS_NOT_FOUND", "retry", "Check the stream's name, region and account.");
  if (name === "InvalidArgumentException" && message.includes("reached max possible value"))
    return make("KINESIS_AT_END", "retry", "The shard is closed and read to its end.");
  if (refused.has(name))
    return make("KINESIS_REFUSED", "fatal", "Check the credentials and their rights on the stream.");
  return make("KINESIS_UNAVAILABLE", "retry", "Check that the endpoint can be reached.");
}
