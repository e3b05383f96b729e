/**
 * From logs.raw to committed predictions, with broker, registry, model server, the stages `features` and `score` (a process
 * each) all on the same machine: predictions a second over a log that is written beforehand, where a row's input is one
 * metric document of six signals, with each part's share of the CPU time; the same at a mix of logs and metrics of about
 * 5.6 KB a row; and how long after the features transaction a batch's predictions can be read, 1,500 rows a minute.
 *
 * `-- --rows 200000` for a shorter log, `--bursts 40` minutes for the latency, `--only predictions` to leave out the mix.
 */
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { brokerOf } from "../../commands/clients.ts";
import { connectCodecs, initialise } from "../../commands/init.ts";
import { ensureModels } from "../../commands/models.ts";
import { publishRouting } from "../../commands/routing.ts";
import { prepareScenario } from "../../commands/scenario.ts";
import { readConfig } from "../../config.ts";
import { defaultCacheDir, silentProgress, startStack } from "../../local/index.ts";
import { topics } from "../../pipeline.ts";
import type { Codecs, PredictionBatch } from "../../schemas/index.ts";
import type { Broker, TopicName } from "../../streams/index.ts";
import { flagsOf } from "../support/flags.ts";
import { Feed, type FeedOptions } from "./pipeline/feed.ts";
import { cpuSeconds, StageProcess } from "./pipeline/parts.ts";

const ENTITIES = 1_500;
const PARTITIONS = 2;
const START_MS = Date.UTC(2026, 0, 5);
/** Brings a row's input to about 5.6 KB. */
const MIXED_LINES = 25;
/** Between two minutes of the latency run: each is a burst of 1,500 rows, as in a real minute. */
const BURST_EVERY_MS = 1_500;
/** A minute's rows come once its grace is over. */
const OPEN_MINUTES = 2;

const flags = flagsOf(import.meta.url, {
  rows: { type: "string", default: "2000000" },
  bursts: { type: "string", default: "40" },
  only: { type: "string" },
});
const two = (value: number) => Math.round(value * 100) / 100;

interface Bench {
  readonly broker: Broker;
  readonly codecs: Codecs;
  readonly feed: Feed;
  readonly stages: readonly StageProcess[];
  readonly start: () => Promise<void>;
  /** CPU seconds so far, by part. */
  readonly cpu: () => Record<string, number>;
}

async function withPipeline<T>(options: FeedOptions, use: (bench: Bench) => Promise<T>): Promise<T> {
  const scratch = mkdtempSync(join(tmpdir(), "weir-bench-pipeline-"));
  const stack = await startStack({ runDir: join(scratch, "run"), components: ["kafka", "registry", "triton"] });
  const stages: StageProcess[] = [];
  try {
    const cache = defaultCacheDir();
    const fleet = { seed: 1, instances: 60, minutes: 60, inject: { late: 0, malformed: 0, duplicate: 0, drop: 0 } };
    const scenario = prepareScenario(fleet, scratch);
    const trained = join(cache, "trained", scenario.modelsKey);
    await ensureModels(scenario, trained, cache, silentProgress, new AbortController().signal);
    const { triton, kafka, registry } = stack.endpoints;
    cpSync(trained, triton.modelRepository, { recursive: true });
    const named = {
      WEIR_KAFKA_BROKERS: kafka.join(","),
      WEIR_REGISTRY_URL: registry,
      WEIR_TRITON_GRPC: triton.grpc,
      WEIR_MODEL_REPOSITORY: triton.modelRepository,
      WEIR_PARTITIONS: String(options.partitions),
      WEIR_ORDINAL: "0/1",
    };
    const config = readConfig(named, []);
    const broker = brokerOf(config);
    const codecs = await connectCodecs(config);
    await initialise(config, broker);
    await publishRouting(broker, codecs, config, 0);
    const feed = new Feed(broker, codecs, options);
    await feed.open();
    const start = async () => {
      for (const role of ["features", "score"]) stages.push(new StageProcess(role, { ...process.env, ...named }));
      await Promise.all(stages.map((stage) => stage.running()));
    };
    const cpu = () => ({
      ...Object.fromEntries(
        stack.status().flatMap(({ name, pid }) => (pid > 0 ? [[name as string, cpuSeconds(pid)]] : [])),
      ),
      ...Object.fromEntries(stages.map((stage) => [stage.role, cpuSeconds(stage.pid)])),
    });
    return await use({ broker, codecs, feed, stages, start, cpu });
  } finally {
    await Promise.all(stages.map((stage) => stage.stop()));
    await stack.stop();
    rmSync(scratch, { recursive: true, force: true });
  }
}

interface Throughput {
  readonly perSecond: number;
  readonly rows: number;
  readonly bytesPerRow: number;
  readonly microsPerRow: Record<string, number>;
  readonly cores: number;
}

/** The log is written first; the clock runs from the first twentieth of the rows to the last row. */
async function throughput({ feed, start, stages, cpu, broker, codecs }: Bench, rows: number): Promise<Throughput> {
  const minutes = Math.ceil(rows / ENTITIES) + OPEN_MINUTES;
  for (let minute = 0; minute < minutes; minute++) await feed.minute();
  const expected = (minutes - 1) * ENTITIES;
  await start();
  const score = stages.find((stage) => stage.role === "score")!;
  let began = { ms: 0, rows: 0, cpu: {} as Record<string, number> };
  let done = 0;
  for (let lastMs = performance.now(); done < expected; ) {
    await sleep(200);
    const now = await score.count("accepted");
    if (now > done) lastMs = performance.now();
    if (performance.now() - lastMs > 60_000) throw new Error(`no prediction for a minute, after ${now} of ${expected}`);
    done = now;
    if (began.rows === 0 && done > expected / 20) began = { ms: performance.now(), rows: done, cpu: cpu() };
  }
  const seconds = (performance.now() - began.ms) / 1_000;
  const measured = done - began.rows;
  const spent = cpu();
  const used = Object.entries(spent).map(([name, total]) => [name, total - (began.cpu[name] ?? 0)] as const);
  const found = await countPredictions(broker, codecs);
  if (found !== expected) throw new Error(`${found} predictions can be read, ${expected} were expected`);
  return {
    perSecond: Math.round(measured / seconds),
    rows: expected,
    bytesPerRow: Math.round(feed.bytes / feed.rows),
    microsPerRow: Object.fromEntries(used.map(([name, s]) => [name, two((s * 1e6) / measured)])),
    cores: two(used.reduce((sum, [, s]) => sum + s, 0) / seconds),
  };
}

/** Every row once: batches are counted by their key. */
async function countPredictions(broker: Broker, codecs: Codecs): Promise<number> {
  let rows = 0;
  const keys = new Set<string>();
  for (let partition = 0; partition < PARTITIONS; partition++) {
    const reader = broker.reader();
    for (let offset = 0; ; ) {
      const batch = await reader.fetch(topics.predictions, partition, offset, { maxWaitMs: 0, maxBytes: 4_000_000 });
      for (const { key, value } of batch.records) {
        if (!value || keys.has(key!.toString())) throw new Error(`batch ${key} is empty or came twice`);
        keys.add(key!.toString());
        rows += codecs.decode<PredictionBatch>(topics.predictions, value).entities.length;
      }
      offset = batch.nextOffset;
      if (offset >= batch.endOffset) break;
    }
    await reader.close();
  }
  return rows;
}

/** Milliseconds from when a features record can be read to when its predictions can, for each batch of the bursts. */
async function latencies({ broker, feed }: Bench, bursts: number): Promise<number[]> {
  const seen = { features: new Map<string, number>(), predictions: new Map<string, number>() };
  const stop = new AbortController();
  const follow = async (topic: TopicName, partition: number, at: Map<string, number>) => {
    const [reader, admin] = [broker.reader(), broker.admin()];
    let { endOffset: offset } = await admin.offsets(topic, partition, "read_committed");
    await admin.close();
    ready();
    while (!stop.signal.aborted) {
      const batch = await reader.fetch(topic, partition, offset, { maxWaitMs: 200 });
      const nowMs = performance.now();
      for (const { key } of batch.records) at.set(key!.toString(), nowMs);
      offset = batch.nextOffset;
    }
    await reader.close();
  };
  let waiting = 2 * PARTITIONS;
  let allReady = () => {};
  const readers = new Promise<void>((resolve) => {
    allReady = resolve;
  });
  const ready = () => {
    if (--waiting === 0) allReady();
  };
  const followers = Array.from({ length: PARTITIONS }, (_, p) => [
    follow(topics.features, p, seen.features),
    follow(topics.predictions, p, seen.predictions),
  ]).flat();
  await readers;
  for (let burst = 0; burst < bursts; burst++) {
    await feed.minute();
    await sleep(BURST_EVERY_MS);
  }
  await sleep(2_000);
  stop.abort();
  await Promise.all(followers);
  const lost = [...seen.features.keys()].filter((key) => !seen.predictions.has(key));
  if (lost.length > 0) throw new Error(`no predictions for ${lost.join(", ")}`);
  // The first bursts find code that was never run at this pace.
  const keys = [...seen.features.keys()].slice(4 * PARTITIONS);
  return keys.map((key) => Math.max(0, seen.predictions.get(key)! - seen.features.get(key)!)).sort((a, b) => a - b);
}

const rows = Number(flags.rows);
const fed = { entities: ENTITIES, partitions: PARTITIONS, startMs: START_MS };
const plain = await withPipeline({ ...fed, linesPerRow: 0 }, async (bench) => {
  const figures = await throughput(bench, rows);
  console.log(`metrics only: ${JSON.stringify(figures)}`);
  return { figures, latencyMs: await latencies(bench, Number(flags.bursts)) };
});
const at = (share: number) => two(plain.latencyMs[Math.floor(plain.latencyMs.length * share)] ?? Number.NaN);
console.log(`latency of ${plain.latencyMs.length} batches, ms: median ${at(0.5)}, 95 % ${at(0.95)}, 99 % ${at(0.99)}`);
const mixed =
  flags.only === "predictions"
    ? undefined
    : await withPipeline({ ...fed, linesPerRow: MIXED_LINES }, (bench) => throughput(bench, rows / 10));
if (mixed) console.log(`logs and metrics: ${JSON.stringify(mixed)}`);
console.log(
  JSON.stringify({
    bench: "pipeline",
    figures: {
      predictionsPerSecond: plain.figures.perSecond,
      mixedPredictionsPerSecond: mixed?.perSecond ?? null,
      p95Ms: at(0.95),
      p50Ms: at(0.5),
      cpuMicrosPerRow: plain.figures.microsPerRow,
      mixedCpuMicrosPerRow: mixed?.microsPerRow ?? null,
    },
    conditions: {
      rows: plain.figures.rows,
      rowInputBytes: plain.figures.bytesPerRow,
      mixedRows: mixed?.rows ?? null,
      mixedRowInputBytes: mixed?.bytesPerRow ?? null,
      input: "one logs.raw record a row, one metric document of six signals; written before the clock starts",
      entities: ENTITIES,
      partitions: PARTITIONS,
      processes: "features, score, broker, registry, Triton (python backend), all on this machine; both arms score",
      coresUsed: plain.figures.cores,
      cores: availableParallelism(),
      latency: `${flags.bursts} bursts of 1,500 rows, one every ${BURST_EVERY_MS} ms`,
      node: process.version,
      loadAverage: loadavg().map(two),
    },
  }),
);
process.exit();
