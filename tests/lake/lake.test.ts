import type { S3Client } from "@aws-sdk/client-s3";
import { HeadObjectCommand, PutObjectCommand } from "@aws-sdk/client-s3";
import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { compareLakeWithTopic, lakeRowCounts, withLake } from "../../ops/index.ts";
import type { LogBatch } from "../../schemas/index.ts";
import {
  createLake,
  type Lake,
  type LakeLimits,
  type LakeOptions,
  type LakeStage,
  type S3,
} from "../../sinks/index.ts";
import { WeirError } from "../../streams/index.ts";
import { FakeBroker, FaultyS3, type PutFault } from "./fakes.ts";
import {
  codecs,
  columnNames,
  columns,
  featureBatch,
  features,
  hourMs,
  logBatch,
  logsRaw,
  minuteMs,
  startMs,
} from "./logs.ts";
import { type S3Server, startS3 } from "./s3-server.ts";

vi.setConfig({ testTimeout: 30_000 });

let server: S3Server;
let bucket: string;
let broker: FakeBroker;

beforeAll(async () => {
  server = await startS3();
}, 60_000);
afterAll(() => server?.stop(), 30_000);
beforeEach(async () => {
  bucket = await server.bucket();
  broker = new FakeBroker();
  broker.createTopic(features, 2);
  broker.createTopic(logsRaw, 2);
});

type More = { s3?: S3; limits?: Partial<LakeLimits>; partitions?: number[] } & Pick<LakeOptions, "onStep" | "log">;
const lakeOf = (stage: LakeStage, more: More = {}): Lake =>
  createLake({
    broker,
    codecs,
    s3: more.s3 ?? server.client,
    bucket,
    stage,
    topic: stage === "lake-raw" ? logsRaw : features,
    partitions: more.partitions ?? [0, 1],
    columns,
    ...(more.limits ? { limits: more.limits } : {}),
    ...(more.onStep ? { onStep: more.onStep } : {}),
    ...(more.log ? { log: more.log } : {}),
  });

const caughtUp = (lake: Lake) =>
  Promise.race([
    vi.waitFor(() => expect(lake.status().map((t) => t.lag)).toEqual(lake.status().map(() => 0)), { timeout: 20_000 }),
    lake.failed,
  ]);

/** Runs a lake over everything there is, files closed at the end. */
async function runThrough(
  stage: LakeStage,
  more: Parameters<typeof lakeOf>[1] = {},
): Promise<ReturnType<Lake["status"]>> {
  const lake = lakeOf(stage, more);
  try {
    await lake.start();
    await caughtUp(lake);
    await lake.flush();
    return lake.status();
  } finally {
    await lake.stop();
  }
}

const putFeatures = (partition: number, windowEndMs: number, entities: string[], more = {}) =>
  broker.append(features, partition, codecs.encode(features, featureBatch(windowEndMs, entities, more)));
const putLogs = (partition: number, batch: LogBatch) =>
  broker.append(logsRaw, partition, codecs.encode(logsRaw, batch));

/** Every event in the raw files as `partition/offset/index id message`, in that order. */
const rawRows = () =>
  withLake({ s3: server.client, bucket }, async (db, dir) => {
    const result = await db.runAndReadAll(
      `SELECT kafka_partition, kafka_offset, event_index, event_id, message, timestamp_ms, filename
       FROM read_parquet('${dir}/raw-logs/**/*.parquet', filename = true, hive_partitioning = false)
       ORDER BY kafka_partition, kafka_offset, event_index`,
    );
    return result.getRows().map(([p, o, i, id, message, ms, file]) => {
      const hour = new Date(Number(ms)).toISOString().slice(0, 13).replaceAll(/[-T]/g, "/");
      expect(String(file)).toContain(`/raw-logs/${hour}/data_${hour.slice(0, 10).replaceAll("/", "")}-logs.raw-${p}-`);
      return `${p}/${o}/${i} ${id} ${message}`;
    });
  });

const rawWanted = (batches: { partition: number; offset: number; batch: LogBatch }[]) =>
  batches.flatMap(({ partition, offset, batch }) =>
    batch.events.map((e, i) => `${partition}/${offset}/${i} ${e.id} ${e.message}`),
  );

test("feature rows come back from the files as they stand in the topic, every bit of every float", async () => {
  for (let m = 1; m <= 180; m++) {
    const entities = Array.from({ length: m % 7 }, (_, i) => `i-${String(i).padStart(4, "0")}`);
    putFeatures(m % 2, startMs + m * minuteMs, entities);
    if (m % 10 === 0) broker.gap(features, m % 2, 2);
  }
  const status = await runThrough("lake-features");
  const comparison = await compareLakeWithTopic({
    source: { s3: server.client, bucket },
    broker,
    codecs,
    topic: features,
    columns,
  });
  const rows = Array.from({ length: 180 }, (_, i) => (i + 1) % 7).reduce((a, b) => a + b, 0);
  expect(comparison).toEqual({ rows, equal: rows, missing: 0, extra: 0, different: 0, faults: [] });
  expect(status.reduce((n, t) => n + t.counters.out, 0)).toBe(rows);
  expect(status.reduce((n, t) => n + t.counters.control, 0)).toBe(25); // minutes without a row
  const days = (await server.keys(bucket)).map((k) => k.split("/")[1]);
  expect([...new Set(days)]).toEqual(["2026-01-06", "2026-01-07"]);
});

test("files hold named columns in zstd row groups of 10,000 rows, and their range in both metadata", async () => {
  const entities = Array.from({ length: 512 }, (_, i) => `i-${i}`);
  for (let chunk = 0; chunk < 24; chunk++) putFeatures(0, startMs, entities, { chunk, chunks: 24 });
  await runThrough("lake-features", { partitions: [0] });
  const [key] = await server.keys(bucket);
  await withLake({ s3: server.client, bucket }, async (db, dir) => {
    const rows = async (sql: string) => (await db.runAndReadAll(sql)).getRows().map((r) => r.map(String));
    expect(await rows(`SELECT name FROM parquet_schema('${dir}/${key}') WHERE type IS NOT NULL`)).toEqual(
      ["entity", "window_end_ms", "quality", "kafka_partition", "kafka_offset", "row_index", ...columnNames].map(
        (n) => [n],
      ),
    );
    expect(
      await rows(`SELECT DISTINCT row_group_num_rows, compression FROM parquet_metadata('${dir}/${key}') ORDER BY 1`),
    ).toEqual([
      ["2288", "ZSTD"],
      ["10000", "ZSTD"],
    ]);
    const footer = await rows(`SELECT decode(key), decode(value) FROM parquet_kv_metadata('${dir}/${key}')`);
    const head = await server.client.send(new HeadObjectCommand({ Bucket: bucket, Key: key! }));
    expect(head.Metadata).toMatchObject({
      topic: "features",
      partition: "0",
      first: "0",
      last: "23",
      rows: "12288",
      safe: "24",
    });
    expect(Object.fromEntries(footer)).toMatchObject(head.Metadata!);
  });
});

test("a record with events of two hours is split over two folders and lies in each once", async () => {
  const batch = logBatch(startMs, [startMs - 1, startMs, startMs + 1, startMs - 2], "a");
  const offset = putLogs(1, batch);
  await runThrough("lake-raw");
  expect(await rawRows()).toEqual(rawWanted([{ partition: 1, offset, batch }]));
  expect(await server.keys(bucket)).toEqual([
    "raw-logs/2026/01/06/21/data_20260106-logs.raw-1-00000000000000000000.parquet",
    "raw-logs/2026/01/06/22/data_20260106-logs.raw-1-00000000000000000000.parquet",
  ]);
});

test("an hour's file is written when the clocks in the records pass it, without a flush", async () => {
  const lake = lakeOf("lake-raw", { partitions: [0] });
  putLogs(0, logBatch(startMs, [startMs + 1], "a"));
  await lake.start();
  await caughtUp(lake);
  expect(await server.keys(bucket)).toEqual([]);
  putLogs(0, logBatch(startMs + hourMs + 5 * minuteMs, [], "tick"));
  await vi.waitFor(async () => expect(await server.keys(bucket)).toHaveLength(1), { timeout: 10_000 });
  await lake.stop();
});

test("idle files are closed", async () => {
  putLogs(0, logBatch(startMs, [startMs + 1], "a"));
  const lake = lakeOf("lake-raw", { partitions: [0], limits: { idleMs: 20 } });
  await lake.start();
  await vi.waitFor(async () => expect(await server.keys(bucket)).toHaveLength(1), { timeout: 10_000 });
  await lake.stop();
});

test("a restart goes on from the highest safe, keeps its counters, and writes only what is new", async () => {
  const put = (from: number, to: number) => {
    for (let m = from; m < to; m++) putFeatures(0, startMs + m * minuteMs, m % 3 ? ["a", "b"] : []);
  };
  put(0, 30);
  const first = await runThrough("lake-features", { partitions: [0] });
  put(30, 60);
  broker.deleteBelow(features, 0, 30); // what is safe may be deleted
  const second = await runThrough("lake-features", { partitions: [0] });
  expect(first[0]?.counters).toMatchObject({ in: 50, accepted: 40, control: 10, out: 40 });
  expect(second[0]?.counters).toMatchObject({ in: 100, accepted: 80, control: 20, out: 80 });
  expect(await lakeRowCounts({ s3: server.client, bucket })).toEqual({ features: 80, raw: 0, files: 2 });
});

test("safe stays below the rows of an hour still open, so that a crash after another hour's file loses nothing", async () => {
  const batches = [
    { partition: 0, batch: logBatch(startMs, [startMs + 1], "late hour, stays open") },
    { partition: 0, batch: logBatch(startMs, [startMs + hourMs], "next hour 1") },
    { partition: 0, batch: logBatch(startMs, [startMs + hourMs], "next hour 2") },
  ].map((b) => ({ ...b, offset: putLogs(b.partition, b.batch) }));
  const crashed = lakeOf("lake-raw", { partitions: [0], limits: { maxRows: 2 } });
  await crashed.start();
  await vi.waitFor(async () => expect(await server.keys(bucket)).toHaveLength(1), { timeout: 10_000 });
  await crashed.stop(); // its open file is lost with it
  await runThrough("lake-raw", { partitions: [0] });
  expect(await rawRows()).toEqual(rawWanted(batches));
});

/** Random hours, so that a partition fills several folders at once, forth and back. */
const randomLog = fc.array(
  fc.record({
    partition: fc.nat(1),
    hours: fc.array(fc.nat(2), { maxLength: 4 }),
    clock: fc.nat(200),
  }),
  { minLength: 5, maxLength: 40 },
);

const fillLog = (spec: { partition: number; hours: number[]; clock: number }[]) =>
  spec.map(({ partition, hours, clock }, n) => {
    const times = hours.map((h, i) => startMs + h * hourMs + n * 1000 + i);
    const batch = logBatch(startMs + clock * minuteMs, times, `r${n}`);
    return { partition, batch, offset: putLogs(partition, batch) };
  });

const inOrder = <T extends { partition: number; offset: number }>(list: T[]) =>
  list.sort((a, b) => a.partition - b.partition || a.offset - b.offset);

test("killed at any upload, before or after the server has it, the bucket holds each event exactly once", async () => {
  const fault = fc.constantFrom<PutFault>("none", "none", "fails before", "fails after", "stored late");
  await fc.assert(
    fc.asyncProperty(
      randomLog,
      fc.array(fault, { maxLength: 12 }),
      fc.integer({ min: 1, max: 6 }),
      async (spec, faults, maxRows) => {
        bucket = await server.bucket();
        broker = new FakeBroker();
        broker.createTopic(logsRaw, 2);
        const batches = fillLog(spec);
        // Each fault is one life: the process dies with the upload that met it.
        for (const one of faults.filter((f) => f !== "none")) {
          let met = false;
          const s3 = new FaultyS3(server.client, (n) => {
            if (n % 3 !== 2 || met) return met ? "fails before" : "none";
            met = true;
            return one;
          });
          const lake = lakeOf("lake-raw", { s3, limits: { maxRows } });
          await lake.start();
          await Promise.race([
            vi.waitFor(() => expect(met || lake.status().every((t) => t.lag === 0)).toBe(true), {
              interval: 2,
              timeout: 10_000,
            }),
            lake.failed,
          ]);
          await lake.stop();
          if (one !== "stored late") await s3.settle();
        }
        await runThrough("lake-raw", { limits: { maxRows } });
        expect(await rawRows()).toEqual(rawWanted(inOrder(batches)));
      },
    ),
    { numRuns: 12 },
  );
}, 120_000);

test("two writers of the same partitions at once write each event exactly once", async () => {
  await fc.assert(
    fc.asyncProperty(randomLog, fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 5 }), async (spec, a, b) => {
      bucket = await server.bucket();
      broker = new FakeBroker();
      broker.createTopic(logsRaw, 2);
      const batches = fillLog(spec);
      const twins = await Promise.all([a, b].map((maxRows) => runThrough("lake-raw", { limits: { maxRows } })));
      const events = batches.reduce((n, { batch }) => n + batch.events.length, 0);
      for (const twin of twins) expect(twin.reduce((n, t) => n + t.counters.out, 0)).toBe(events);
      if (events > 0) expect(await rawRows()).toEqual(rawWanted(inOrder(batches)));
    }),
    { numRuns: 12 },
  );
}, 120_000);

test("an upload whose reply is lost is recognised as done and repeated by nobody", async () => {
  for (let m = 0; m < 4; m++) putFeatures(0, startMs + m * minuteMs, ["a"]);
  const s3 = new FaultyS3(server.client, (n) => (n === 0 ? "fails after" : "none"));
  const [status] = await runThrough("lake-features", { s3, partitions: [0] });
  expect(status?.counters.out).toBe(4);
  expect(s3.puts).toBe(2);
  expect(await lakeRowCounts({ s3: server.client, bucket })).toMatchObject({ features: 4, files: 1 });
});

test("each upload is called out right before it and right after the server's word", async () => {
  for (const partition of [0, 1]) putFeatures(partition, startMs, ["a"]);
  const s3 = new FaultyS3(server.client, () => "none");
  const steps: string[] = [];
  const onStep: LakeOptions["onStep"] = (partition, step) => steps.push(`${partition} ${step} ${s3.puts}`);
  await runThrough("lake-features", { s3, partitions: [1], onStep });
  expect(steps).toEqual(["1 UPLOAD 0", "1 UPLOADED 1"]);
});

test("while S3 is away nothing more is read and nothing is lost; status and log say what it waits for", async () => {
  for (let m = 0; m < 40; m++) putFeatures(0, startMs + m * minuteMs, ["a"]);
  let isAway = true;
  const real = server.client;
  const away = () => Promise.reject(new Error("connection refused (on purpose)"));
  const send = ((...args: unknown[]) =>
    isAway ? away() : (real.send as (...a: unknown[]) => unknown)(...args)) as S3["send"];
  const lines: string[] = [];
  const lake = lakeOf("lake-features", {
    s3: { send },
    limits: { maxRows: 10 },
    partitions: [0],
    log: (l) => lines.push(l),
  });
  const started = lake.start();
  await vi.waitFor(() => expect(lines.join()).toContain("LAKE_UNREACHABLE"));
  isAway = false;
  await started;
  await caughtUp(lake);
  isAway = true;
  for (let m = 40; m < 80; m++) putFeatures(0, startMs + m * minuteMs, ["a"]);
  await vi.waitFor(() => expect(lake.status()[0]?.problem).toContain("LAKE_UNREACHABLE"), { timeout: 10_000 });
  const held = lake.status()[0]!;
  expect(held.lag).toBeGreaterThan(0);
  await vi.waitFor(() => expect(lines.length).toBe(2));
  expect(lake.status()[0]).toMatchObject({ state: "running", stateBytes: held.stateBytes });
  isAway = false;
  await vi.waitFor(() => expect(lake.status()[0]).not.toHaveProperty("problem"), { timeout: 20_000 });
  await caughtUp(lake);
  await lake.flush();
  await lake.stop();
  expect(await lakeRowCounts({ s3: server.client, bucket })).toMatchObject({ features: 80 });
});

test("a new feature set begins a new file", async () => {
  const wide = (set: string, hash: string) => (hash === "h2" ? ["other"] : columns(set, hash));
  putFeatures(0, startMs, ["a"]);
  putFeatures(0, startMs, ["a", "b"], {
    featureSetHash: "h2",
    columns: 1,
    matrix: Buffer.from(new Float32Array([1, 2]).buffer),
  });
  const lake = createLake({
    broker,
    codecs,
    s3: server.client,
    bucket,
    stage: "lake-features",
    topic: features,
    partitions: [0],
    columns: wide,
  });
  await lake.start();
  await caughtUp(lake);
  await lake.flush();
  await lake.stop();
  expect(await server.keys(bucket)).toHaveLength(2);
  const compared = await compareLakeWithTopic({
    source: { s3: server.client, bucket },
    broker,
    codecs,
    topic: features,
    columns: wide,
  });
  expect(compared).toMatchObject({ rows: 3, equal: 3, faults: [] });
});

test("a record nobody can read is counted as dead and stops nothing", async () => {
  putFeatures(0, startMs, ["a"]);
  broker.append(features, 0, Buffer.from("no avro"));
  broker.append(features, 0, codecs.encode(features, featureBatch(startMs, ["a", "b"], { quality: Buffer.alloc(4) })));
  putFeatures(0, startMs, ["b"]);
  const [status] = await runThrough("lake-features", { partitions: [0] });
  expect(status?.counters).toMatchObject({ in: 4, accepted: 2, dead: 2, out: 2 });
});

test("a feature set that is not known stops the lake with a code instead of being skipped", async () => {
  putFeatures(0, startMs, ["a"], { featureSet: "unheard of" });
  const lake = lakeOf("lake-features", { partitions: [0] });
  await lake.start();
  await expect(lake.failed).rejects.toMatchObject({ code: "LAKE_FEATURE_SET" });
  await lake.stop();
});

test("a server that takes the condition and ignores it is refused at the start", async () => {
  const ignoring = {
    send: ((command: { input: { IfNoneMatch?: string } }, options: never) => {
      delete command.input.IfNoneMatch;
      return server.client.send(command as never, options);
    }) as unknown as S3Client["send"],
  };
  const lake = lakeOf("lake-raw", { s3: ignoring });
  await expect(lake.start()).rejects.toMatchObject({ code: "LAKE_NO_CONDITIONAL_PUT", disposition: "fatal" });
  await lake.stop();
});

test("a bucket that is not there is refused at the start, by name", async () => {
  bucket = "not-there";
  const lake = lakeOf("lake-raw");
  const error = await lake.start().catch((e: unknown) => e);
  expect(error).toBeInstanceOf(WeirError);
  expect(String(error)).toMatch(/^LAKE_REFUSED: .*not-there/);
  await lake.stop();
});

test("records deleted before they were written are reported as a gap, not passed over", async () => {
  for (let m = 0; m < 4; m++) putFeatures(0, startMs + m * minuteMs, ["a"]);
  await runThrough("lake-features", { partitions: [0] });
  for (let m = 4; m < 8; m++) putFeatures(0, startMs + m * minuteMs, ["a"]);
  broker.deleteBelow(features, 0, 6);
  const lake = lakeOf("lake-features", { partitions: [0] });
  await expect(lake.start()).rejects.toMatchObject({ code: "LAKE_GAP" });
  await lake.stop();
});

test("a topic that was recreated under the same name is refused", async () => {
  for (let m = 0; m < 4; m++) putFeatures(0, startMs + m * minuteMs, ["a"]);
  await runThrough("lake-features", { partitions: [0] });
  broker.createTopic(features, 1);
  const lake = lakeOf("lake-features", { partitions: [0] });
  await expect(lake.start()).rejects.toMatchObject({ code: "LAKE_AHEAD" });
  await lake.stop();
});

test("an object with the lake's name but without its metadata stops the lake before it writes beside it", async () => {
  const Key = "raw-logs/2026/01/06/22/data_20260106-logs.raw-0-00000000000000000000.parquet";
  await server.client.send(new PutObjectCommand({ Bucket: bucket, Key, Body: "?" }));
  const lake = lakeOf("lake-raw", { partitions: [0] });
  await expect(lake.start()).rejects.toMatchObject({ code: "LAKE_FOREIGN_OBJECT" });
  await lake.stop();
});

test("a partition whose objects lie only in old folders is found through the whole listing", async () => {
  putLogs(1, logBatch(startMs - 60 * hourMs, [startMs - 60 * hourMs], "old"));
  for (let h = 0; h < 30; h++) putLogs(0, logBatch(startMs + h * hourMs, [startMs + h * hourMs], `h${h}`));
  await runThrough("lake-raw");
  const again = await runThrough("lake-raw");
  expect(again.map((t) => t.counters.out)).toEqual([30, 1]);
  expect(await lakeRowCounts({ s3: server.client, bucket })).toMatchObject({ raw: 31, files: 31 });
});
