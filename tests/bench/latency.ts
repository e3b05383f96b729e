/**
 * How long a feature row takes. First: from the commit of the logs.raw record that carries the minimum clock past a
 * window's end and the grace to the row being readable, read_committed; a fleet's minutes in quick motion, so that there
 * are enough of them. Then end to end in real time: a live fleet in shards of this process, the bridge polling them, the
 * features stage, and a reader; from a window's end to its rows, grace included. Last line: the figures as JSON.
 *
 *   npm run bench -- latency [--minutes N, 0: not] [--speed N] [--real MINUTES, 0: not]
 */
import { loadavg } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { topics } from "../../pipeline.ts";
import { DEFAULT_GRACE_MS } from "../../processors/index.ts";
import type { Codecs, FeatureBatch } from "../../schemas/index.ts";
import { createBridge } from "../../sources/index.ts";
import type { Broker } from "../../streams/index.ts";
import { flagsOf } from "../support/flags.ts";
import { testStack, until } from "../support/kafka.ts";
import { benchEnvironment } from "./live/environment.ts";
import { LiveFeed } from "./live/feed.ts";
import { FLUSH_EVERY_MS, LiveFleet } from "./live/fleet.ts";
import { follow } from "./live/follow.ts";
import { LiveShards } from "./live/shards.ts";
import { median, percentile, rounded } from "./measure/figures.ts";
import { StageProcess } from "./pipeline/parts.ts";

const values = flagsOf(import.meta.url, {
  minutes: { type: "string", default: "30" },
  speed: { type: "string", default: "20" },
  real: { type: "string", default: "2" },
});
const INSTANCES = 1_500;
const PARTITIONS = 4;
const COMMIT_INTERVAL_MS = 100;
const POLL_MS = 250;
const MINUTE_MS = 60_000;
/** The first minutes find code that was never run at this pace. */
const WARM_MINUTES = 5;

interface Row {
  readonly windowEndMs: number;
  readonly partition: number;
  readonly rows: number;
  readonly atMs: number;
}

interface Bench {
  readonly broker: Broker;
  readonly codecs: Codecs;
  readonly stage: StageProcess;
  readonly env: string;
  /** Batches of rows as they became readable. */
  readonly seen: readonly Row[];
}

async function withFeatures<T>(use: (bench: Bench) => Promise<T>): Promise<T> {
  const { stack, stop } = await testStack(["kafka", "registry"]);
  let stage: StageProcess | undefined;
  try {
    const { env, broker, codecs } = await benchEnvironment(stack, PARTITIONS, COMMIT_INTERVAL_MS);
    stage = new StageProcess("features", { ...process.env, ...env });
    await stage.running();
    const seen: Row[] = [];
    const following = await follow(broker, topics.features, PARTITIONS, ({ value }, atMs, partition) => {
      const { windowEndMs, entities } = codecs.decode<FeatureBatch>(topics.features, value!);
      if (entities.length > 0) seen.push({ windowEndMs, partition, rows: entities.length, atMs });
    });
    const result = await use({ broker, codecs, stage, env: env.WEIR_ENV, seen });
    await following.stop();
    return result;
  } finally {
    await stage?.stop();
    await stop();
  }
}

/** Milliseconds for each batch of rows of the minutes behind the warm ones. */
async function rowLatencies({ broker, codecs, seen }: Bench): Promise<number[]> {
  const startMs = Date.UTC(2026, 0, 5);
  const minutes = Number(values.minutes) + WARM_MINUTES;
  const step = POLL_MS * Number(values.speed);
  const feed = new LiveFeed(broker, codecs, new LiveFleet(INSTANCES), PARTITIONS);
  await feed.open(startMs);
  const passed = new Map<number, number>();
  const endMs = startMs + (minutes + 1) * MINUTE_MS + DEFAULT_GRACE_MS;
  for (let clockMs = startMs, dueMs = performance.now(); clockMs < endMs; dueMs += POLL_MS) {
    await sleep(Math.max(0, dueMs - performance.now()));
    const nextMs = clockMs + step;
    const atMs = await feed.deliver(clockMs, nextMs);
    const due = (ms: number) => Math.floor((ms - DEFAULT_GRACE_MS) / MINUTE_MS) * MINUTE_MS;
    for (let end = due(clockMs) + MINUTE_MS; end <= due(nextMs); end += MINUTE_MS) passed.set(end, atMs);
    clockMs = nextMs;
  }
  const counted = [...passed.keys()].filter((end) => end > startMs + WARM_MINUTES * MINUTE_MS);
  const rowsOf = (end: number) => seen.filter((r) => r.windowEndMs === end);
  const all = (end: number) => rowsOf(end).reduce((sum, r) => sum + r.rows, 0) >= INSTANCES;
  await until("all rows can be read", () => counted.every(all), 60_000);
  await feed.close();
  return counted.flatMap((end) => rowsOf(end).map((r) => r.atMs - passed.get(end)!));
}

/** Seconds from the end of a window to its rows, in real time, for each batch of rows. */
async function endToEnd({ broker, codecs, env, seen }: Bench): Promise<number[]> {
  const shards = new LiveShards(new LiveFleet(INSTANCES), 2);
  const bridge = createBridge({
    ...{ broker, codecs, env, kinesis: shards.source(), stream: "live", partitions: PARTITIONS },
    topics: { logsRaw: topics.logsRaw, checkpoints: topics.checkpoints, dead: topics.kinesisDead },
    clockMode: "arrival",
  });
  const wallAtZero = Date.now() - performance.now();
  const now = () => Math.floor(wallAtZero + performance.now());
  // A minute that began before the fleet counts too: every instance has delivered in what is left of it.
  const firstEnd = Math.ceil((now() + 4 * FLUSH_EVERY_MS) / MINUTE_MS) * MINUTE_MS;
  const lastEnd = firstEnd + (Number(values.real) - 1) * MINUTE_MS;
  await bridge.start();
  const isDone = () => {
    const rows = seen.filter((r) => r.windowEndMs === lastEnd).reduce((sum, r) => sum + r.rows, 0);
    return rows >= INSTANCES;
  };
  for (let sentMs = now(); !isDone(); ) {
    await sleep(20);
    const nowMs = now();
    shards.arrive(sentMs, nowMs);
    sentMs = nowMs;
    if (nowMs > lastEnd + DEFAULT_GRACE_MS + 60_000) throw new Error("No rows within a minute of their time.");
  }
  await bridge.stop();
  return seen
    .filter((r) => r.windowEndMs >= firstEnd && r.windowEndMs <= lastEnd)
    .map((r) => (wallAtZero + r.atMs - r.windowEndMs) / 1_000);
}

const latencies = Number(values.minutes) > 0 ? await withFeatures(rowLatencies) : [];
const at = (share: number) => (latencies.length > 0 ? Math.round(percentile(latencies, share)) : null);
console.log(`${latencies.length} batches, ms: median ${at(0.5)}, 95 % ${at(0.95)}, 99 % ${at(0.99)}, worst ${at(1)}`);
const seconds = Number(values.real) > 0 ? await withFeatures(endToEnd) : [];
if (seconds.length > 0) {
  const each = [...seconds].sort((a, b) => a - b).map((s) => s.toFixed(1));
  console.log(`end to end, ${seconds.length} batches, s: ${each.join(" ")}`);
}
console.log(
  JSON.stringify({
    bench: "latency",
    figures: {
      p95Ms: at(0.95),
      p50Ms: at(0.5),
      endToEndSeconds: seconds.length > 0 ? rounded(median(seconds)) : null,
      endToEndP95Seconds: seconds.length > 0 ? rounded(percentile(seconds, 0.95)) : null,
    },
    conditions: {
      from: "just before the commit of the transaction with the last shard's clock past end + grace is sent",
      to: "the fetch of a reader (read_committed) that brings the batch of rows comes back",
      batches: latencies.length,
      fleet: `${INSTANCES} instances, a delivery each every five seconds, two log lines each, a metric document a minute`,
      speed: `${values.speed} times real time, a transaction a shard every ${POLL_MS} ms; ${values.minutes} minutes behind ${WARM_MINUTES} that warm up`,
      commitIntervalMs: COMMIT_INTERVAL_MS,
      partitions: PARTITIONS,
      shards: 2,
      endToEnd: `${seconds.length} batches of ${values.real} windows in real time, of it ${DEFAULT_GRACE_MS / 1_000} s of grace; the bridge polls every ${POLL_MS} ms and its clock is the newest event's; in this process`,
      broker: "one, on the same machine",
      node: process.version,
      loadAverage: loadavg().map((v) => rounded(v, 2)),
    },
  }),
);
process.exit();
