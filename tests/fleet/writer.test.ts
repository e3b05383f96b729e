import { appendFileSync, existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  CreateStreamCommand,
  DescribeStreamSummaryCommand,
  GetRecordsCommand,
  GetShardIteratorCommand,
  type KinesisClient,
  ListShardsCommand,
  PutRecordsCommand,
  type PutRecordsRequestEntry,
  type Shard,
  SplitShardCommand,
} from "@aws-sdk/client-kinesis";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import {
  defaultInjection,
  eventIdHash,
  FleetWriter,
  type FleetWriterOptions,
  fleetRounds,
  planFleet,
  readFleetState,
  readLedger,
  type TelemetryRound,
} from "../../local/fleet/index.ts";
import { Ledger } from "../../local/fleet/ledger.ts";
import { decode, minutes, options, roundsOf, startMs } from "./decode.ts";
import { startKinesis, until } from "./kinesis-local.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "weir-fleet-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const writerOf = (client: KinesisClient, more: Partial<FleetWriterOptions> = {}) =>
  new FleetWriter({
    client,
    stream: "weir",
    ledgerFile: join(dir, "ledger.bin"),
    stateFile: join(dir, "fleet.json"),
    origin: { kind: "fleet", seed: 7, instances: 6, startMs },
    sleep: async () => {},
    ...more,
  });
const small = { instances: 6, endMs: startMs + minutes(60), inject: { late: 4, malformed: 5, duplicate: 3, drop: 1 } };

/** What lies in a shard, in order: clocks as numbers, records as their bytes in base64. */
async function read(client: KinesisClient, stream: string, shard: string): Promise<(number | string)[]> {
  const first = await client.send(
    new GetShardIteratorCommand({ StreamName: stream, ShardId: shard, ShardIteratorType: "TRIM_HORIZON" }),
  );
  const found: (number | string)[] = [];
  let iterator = first.ShardIterator;
  while (iterator) {
    const reply = await client.send(new GetRecordsCommand({ ShardIterator: iterator }));
    for (const { Data } of reply.Records ?? []) {
      const data = Buffer.from(Data!);
      const body = decode({ partitionKey: "", data, eventIds: [] }) as { messageType: string; clockMs?: number } | null;
      found.push(body?.messageType === "WEIR_CLOCK" ? body.clockMs! : data.toString("base64"));
    }
    if (reply.MillisBehindLatest === 0 && reply.Records?.length === 0) break;
    iterator = reply.NextShardIterator;
  }
  return found;
}

describe("a writer on a Kinesis stream", () => {
  let kinesis: Awaited<ReturnType<typeof startKinesis>>;
  beforeAll(async () => {
    kinesis = await startKinesis();
  }, 60_000);
  afterAll(() => kinesis?.stop());

  const shardsOf = async (stream: string): Promise<Shard[]> =>
    (await kinesis.client.send(new ListShardsCommand({ StreamName: stream }))).Shards ?? [];
  const active = (stream: string) =>
    until(async () => {
      const reply = await kinesis.client.send(new DescribeStreamSummaryCommand({ StreamName: stream }));
      return reply.StreamDescriptionSummary?.StreamStatus === "ACTIVE";
    });
  const create = async (stream: string, shards: number) => {
    await kinesis.client.send(new CreateStreamCommand({ StreamName: stream, ShardCount: shards }));
    await active(stream);
  };

  test("each record arrives once, and each shard holds every clock behind the records it closes", async () => {
    await create("plain", 3);
    const rounds = roundsOf(small);
    const writer = writerOf(kinesis.client, { stream: "plain" });
    for (const round of rounds) await writer.putRound(round);

    const clocks = rounds.map((r) => r.clockMs);
    const roundOf = new Map(rounds.flatMap((r) => r.records.map((x) => [x.data.toString("base64"), r.clockMs])));
    let records = 0;
    for (const { ShardId } of await shardsOf("plain")) {
      const held = await read(kinesis.client, "plain", ShardId!);
      expect(held.filter((x) => typeof x === "number")).toEqual(clocks);
      let clockMs = startMs;
      for (const x of held) {
        if (typeof x === "number") clockMs = x;
        else {
          expect(roundOf.get(x)).toBe(clocks.find((c) => c > clockMs));
          records++;
        }
      }
    }
    expect(records).toBe(rounds.reduce((sum, r) => sum + r.records.length, 0));
    expect(writer.state).toMatchObject({ rounds: 6, records, nextMs: small.endMs, injected: small.inject });
  });

  test("the ledger holds the ids of all rounds, whatever was on disk when a start was cut off", async () => {
    await create("ledger", 1);
    const rounds = roundsOf(small);
    await writerOf(kinesis.client, { stream: "ledger" }).putRound(rounds[0]!);
    appendFileSync(join(dir, "ledger.bin"), "torn");
    const second = writerOf(kinesis.client, { stream: "ledger" });
    expect(second.state.nextMs).toBe(rounds[0]!.clockMs);
    for (const round of fleetRounds(planFleet(options(small)), second.state.nextMs!)) await second.putRound(round);

    const ids = new Set(rounds.flatMap((r) => r.records.flatMap((x) => x.eventIds)));
    const hashes = [...ids].map(eventIdHash).sort((a, b) => (a < b ? -1 : 1));
    expect([...readLedger(join(dir, "ledger.bin"))]).toEqual(hashes);
    const [shard] = await shardsOf("ledger");
    const clocks = (await read(kinesis.client, "ledger", shard!.ShardId!)).filter((x) => typeof x === "number");
    expect(clocks).toEqual(rounds.map((r) => r.clockMs));
  });

  test("after a split the children hear the clock, the closed parent no more", async () => {
    await create("split", 1);
    const [first, second] = roundsOf(small);
    const writer = writerOf(kinesis.client, { stream: "split" });
    await writer.putRound(first!);
    const [parent] = await shardsOf("split");
    await kinesis.client.send(
      new SplitShardCommand({
        StreamName: "split",
        ShardToSplit: parent!.ShardId!,
        NewStartingHashKey: String(2n ** 127n),
      }),
    );
    await active("split");
    await writer.putRound(second!);
    const clocks: Record<string, (number | string)[]> = {};
    for (const { ShardId } of await shardsOf("split"))
      clocks[ShardId!] = (await read(kinesis.client, "split", ShardId!)).filter((x) => typeof x === "number");
    expect(Object.values(clocks)).toEqual([[first!.clockMs], [second!.clockMs], [second!.clockMs]]);
  });
});

/** A Kinesis that refuses what the script says; it keeps what it took, per shard. */
function scripted(refuse: (entry: PutRecordsRequestEntry, request: number) => boolean, shardIds = ["s0", "s1"]) {
  const taken: PutRecordsRequestEntry[] = [];
  const requests: PutRecordsRequestEntry[][] = [];
  const client = {
    async send(command: unknown) {
      if (command instanceof ListShardsCommand)
        return {
          Shards: shardIds.map((ShardId, i) => ({
            ShardId,
            HashKeyRange: { StartingHashKey: String(i) },
            SequenceNumberRange: {},
          })),
        };
      if (!(command instanceof PutRecordsCommand)) throw new Error("unexpected command");
      const entries = command.input.Records!;
      requests.push(entries);
      return {
        Records: entries.map((entry) => {
          if (refuse(entry, requests.length - 1)) return { ErrorCode: "ProvisionedThroughputExceededException" };
          taken.push(entry);
          return { ShardId: shardIds[Number(entry.ExplicitHashKey ?? 0)], SequenceNumber: "1" };
        }),
      };
    },
  } as unknown as KinesisClient;
  return { client, taken, requests };
}
const record = (key: string, bytes = 10) => ({ partitionKey: key, data: Buffer.alloc(bytes), eventIds: [key] });
const round = (records: TelemetryRound["records"]): TelemetryRound => ({
  clockMs: startMs,
  records,
  injected: { ...defaultInjection },
});

describe("a writer that is refused", () => {
  test("puts refused entries again, alone, before anything behind them", async () => {
    const records = Array.from({ length: 700 }, (_, i) => record(`k${i}`));
    const { client, requests } = scripted(
      (entry, n) => n < 2 && (entry.PartitionKey === "k3" || entry.PartitionKey === "k9"),
    );
    await writerOf(client).putRound(round(records));
    expect(requests.map((r) => r.length)).toEqual([500, 2, 2, 200, 2]);
    expect(requests[1]!.map((e) => e.PartitionKey)).toEqual(["k3", "k9"]);
    expect(requests.at(-1)!.map((e) => e.ExplicitHashKey)).toEqual(["0", "1"]);
  });

  test("gives up with a code, and then neither clock, ledger nor state know of the round", async () => {
    const { client, taken } = scripted((entry) => entry.PartitionKey === "k1");
    const writer = writerOf(client);
    await expect(writer.putRound(round([record("k0"), record("k1")]))).rejects.toMatchObject({
      code: "FLEET_PUT_FAILED",
      disposition: "retry",
    });
    expect(taken.map((e) => e.PartitionKey)).toEqual(["k0"]);
    expect(readLedger(join(dir, "ledger.bin"))).toHaveLength(0);
    expect(existsSync(join(dir, "fleet.json"))).toBe(false);
  });

  test("keeps every request within 500 entries and five megabytes", async () => {
    const { client, requests } = scripted(() => false);
    await writerOf(client).putRound(round(Array.from({ length: 12 }, (_, i) => record(`k${i}`, 900_000))));
    expect(requests.slice(0, -1).map((r) => r.length)).toEqual([5, 5, 2]);
  });

  test("lists the shards anew when a clock went to another shard than it was meant for", async () => {
    // The stream is split between the listing and the put: the answer names a child.
    let listings = 0;
    const put: string[] = [];
    const client = {
      async send(command: unknown) {
        if (command instanceof ListShardsCommand) {
          const shards = listings++ === 0 ? ["parent"] : ["left", "right"];
          return {
            Shards: shards.map((ShardId) => ({
              ShardId,
              HashKeyRange: { StartingHashKey: ShardId },
              SequenceNumberRange: {},
            })),
          };
        }
        const entries = (command as PutRecordsCommand).input.Records!;
        const to = entries.map((e) => (e.ExplicitHashKey === "parent" ? "left" : e.ExplicitHashKey!));
        put.push(...to);
        return { Records: to.map((ShardId) => ({ ShardId })) };
      },
    } as unknown as KinesisClient;
    await writerOf(client).putRound(round([]));
    expect(put).toEqual(["left", "right"]);
  });
});

describe("the state file", () => {
  test("of other telemetry is refused, with a next step", async () => {
    const { client } = scripted(() => false);
    await writerOf(client).putRound(round([record("a")]));
    expect(() => writerOf(client, { origin: { kind: "fleet", seed: 8, instances: 6, startMs } })).toThrow(
      expect.objectContaining({ code: "FLEET_STATE_MISMATCH" }),
    );
    expect(readFleetState(join(dir, "fleet.json"))).toMatchObject({ nextMs: startMs, rounds: 1, ids: 1 });
  });

  test.each(["", "{", "null", '{"origin":{}}'])("with %j in it is refused", (text) => {
    const file = join(dir, "fleet.json");
    writeFileSync(file, text);
    expect(() => readFleetState(file)).toThrow(expect.objectContaining({ code: "FLEET_STATE_UNREADABLE" }));
  });
});

describe("the ledger", () => {
  test("gives each id once, in ascending order, and nothing where there is no file", () => {
    const file = join(dir, "l.bin");
    expect(readLedger(file)).toHaveLength(0);
    const ledger = new Ledger(file);
    ledger.append(["b", "a"]);
    ledger.append(["a"]);
    const expected = [eventIdHash("a"), eventIdHash("b")].sort((x, y) => (x < y ? -1 : 1));
    expect([...readLedger(file)]).toEqual(expected);
    // The first eight bytes of SHA-256("a").
    expect(eventIdHash("a")).toBe(0xca978112ca1bbdcan);
  });
});
