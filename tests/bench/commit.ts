/**
 * What exactly-once costs the features stage (core-37, four partitions). Throughput: the same log, written beforehand,
 * through the same stage in turns with the product's transactional producer and with an idempotent one that knows no
 * transactions and commits its offset behind each send (tests/bench/commit/at-least-once.ts); same commit interval, same
 * processor, same encoding. Live: a fleet delivers at its own pace, and what the stage writes into its changelog is set
 * against what comes in. Last line: the figures as JSON.
 *
 *   npm run bench -- commit [--minutes N] [--rounds N, 0: not] [--live SECONDS, 0: not]
 */
import { randomUUID } from "node:crypto";
import { readdirSync, statSync } from "node:fs";
import { loadavg } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Stack } from "../../local/index.ts";
import { settingsOf, stages, topics, writtenBy } from "../../pipeline.ts";
import { createFeaturesProcessor, loadFeatureSet } from "../../processors/index.ts";
import type { LogBatch } from "../../schemas/index.ts";
import { type Broker, changelogTopicFor, initialiseStage, StageRunner, stageName } from "../../streams/index.ts";
import { KafkaClient } from "../../streams/kafka/kafkajs.ts";
import { flagsOf } from "../support/flags.ts";
import { testStack, until } from "../support/kafka.ts";
import { atLeastOnce } from "./commit/at-least-once.ts";
import { benchEnvironment } from "./live/environment.ts";
import { LiveFeed } from "./live/feed.ts";
import { LiveFleet } from "./live/fleet.ts";
import { follow } from "./live/follow.ts";
import { median, rounded } from "./measure/figures.ts";
import { Feed } from "./pipeline/feed.ts";
import { StageProcess } from "./pipeline/parts.ts";

const values = flagsOf(import.meta.url, {
  minutes: { type: "string", default: "30" },
  rounds: { type: "string", default: "5" },
  live: { type: "string", default: "120" },
});
const INSTANCES = 1_500;
const PARTITIONS = 4;
const LINES_PER_ROW = 25;
const COMMIT_INTERVAL_MS = 200;
const POLL_MS = 250;
const T0 = Date.UTC(2026, 0, 5);
const MINUTE_MS = 60_000;
const featureSet = loadFeatureSet("core-37");

async function withStack<T>(use: (at: Awaited<ReturnType<typeof started>>) => Promise<T>): Promise<T> {
  const { stack, runDir, stop } = await testStack(["kafka", "registry"]);
  try {
    return await use(await started(stack, runDir));
  } finally {
    await stop();
  }
}

async function started(stack: Stack, runDir: string) {
  const environment = await benchEnvironment(stack, PARTITIONS, COMMIT_INTERVAL_MS);
  return { ...environment, runDir, brokers: [...stack.endpoints.kafka] };
}
type Started = Awaited<ReturnType<typeof started>>;

/** Events a second from the first twentieth to the last, and commits a second, of a stage with a changelog of its own. */
async function round({ codecs }: Started, broker: Broker, real: Broker, events: number) {
  const stage = stageName(`features-${randomUUID().slice(0, 8)}`);
  const admin = real.admin();
  const changelog = { name: changelogTopicFor(stage), partitions: PARTITIONS, replication: 1 };
  await admin.createTopics([{ ...changelog, settings: settingsOf("compact", 1) }]);
  await admin.close();
  await initialiseStage({ stage }, PARTITIONS, { broker: real, env: "bench" });
  const all = Array.from({ length: PARTITIONS }, (_, p) => p);
  const runner = new StageRunner(
    {
      stage,
      input: topics.logsRaw,
      outputs: writtenBy(stages.features),
      create: (partition) =>
        createFeaturesProcessor({ featureSet, topic: topics.features, partition, partitions: PARTITIONS }),
      eventsOf: (batch: LogBatch) => (batch.kind === "events" ? batch.events.length : 1),
      fingerprint: "bench",
    },
    all,
    { broker, codecs, env: "bench", commitIntervalMs: COMMIT_INTERVAL_MS },
  );
  const sum = (of: "accepted" | "transactions") =>
    runner.status().reduce((n, t) => n + (of === "accepted" ? t.counters.accepted : (t.transactions ?? 0)), 0);
  const cpuBefore = process.cpuUsage();
  await runner.start();
  let begin = { ms: 0, accepted: 0, transactions: 0 };
  await until(
    "the log is through",
    () => {
      const accepted = sum("accepted");
      if (begin.ms === 0 && accepted > events / 20)
        begin = { ms: performance.now(), accepted, transactions: sum("transactions") };
      return accepted >= events;
    },
    600_000,
  );
  const seconds = (performance.now() - begin.ms) / 1_000;
  const { user, system } = process.cpuUsage(cpuBefore);
  await runner.stop();
  if (sum("accepted") !== events) throw new Error(`${events} events in, ${sum("accepted")} counted.`);
  return {
    perSecond: (events - begin.accepted) / seconds,
    commitsPerSecond: (sum("transactions") - begin.transactions) / seconds,
    cpuSeconds: (user + system) / 1e6,
  };
}

async function throughput(at: Started) {
  const feed = new Feed(at.broker, at.codecs, {
    entities: INSTANCES,
    partitions: PARTITIONS,
    linesPerRow: LINES_PER_ROW,
    startMs: T0,
  });
  await feed.open();
  for (let minute = 0; minute < Number(values.minutes); minute++) await feed.minute();
  await feed.close();
  const events = feed.rows * (LINES_PER_ROW + 1);
  const plain = atLeastOnce(new KafkaClient({ brokers: at.brokers, clientId: "bench" }), at.broker, topics.logsRaw);
  await round(at, at.broker, at.broker, events); // warms up
  await round(at, plain, at.broker, events);
  const pairs = [];
  for (let i = 0; i < Number(values.rounds); i++) {
    // Who comes first changes: the second finds more in the broker's caches, and more topics.
    const order = i % 2 === 0 ? (["once", "plain"] as const) : (["plain", "once"] as const);
    const pair = { once: Number.NaN, plain: Number.NaN };
    for (const which of order) {
      const { perSecond, commitsPerSecond, cpuSeconds } = await round(
        at,
        which === "once" ? at.broker : plain,
        at.broker,
        events,
      );
      pair[which] = perSecond;
      console.log(
        `${which === "once" ? "exactly once" : "at least once"}: ${Math.round(perSecond)} events/s, ${rounded(commitsPerSecond)} commits/s, ${rounded(cpuSeconds)} CPU s`,
      );
    }
    pairs.push(pair);
  }
  return { pairs, megabytes: feed.bytes / 1e6 };
}

/** Bytes that a topic has in its broker's log, batches' headers and markers included. */
function logBytes(runDir: string, topic: string): number {
  const files = readdirSync(runDir, { recursive: true, encoding: "utf8" });
  const own = files.filter((f) => f.endsWith(".log") && path.basename(path.dirname(f)).replace(/-\d+$/, "") === topic);
  return own.reduce((sum, file) => sum + statSync(path.join(runDir, file)).size, 0);
}

async function live({ env, broker, codecs, runDir }: Started) {
  const feed = new LiveFeed(broker, codecs, new LiveFleet(INSTANCES), PARTITIONS);
  const stage = new StageProcess("features", { ...process.env, ...env });
  try {
    await stage.running();
    await feed.open(T0);
    // Two minutes at once, so that from here on one closes each minute.
    for (let second = 0; second < 120; second += 10)
      await feed.deliver(T0 + second * 1_000, T0 + (second + 10) * 1_000);
    await until("the beginning is through", async () => (await stage.watermarkMs()) >= T0 + 2 * MINUTE_MS, 60_000);
    await sleep(1_000);
    const changelog = changelogTopicFor(stages.features.name);
    const bytes = { in: 0, changelog: 0 };
    const count = (of: keyof typeof bytes) => (r: { key: Buffer | null; value: Buffer | null }) => {
      bytes[of] += (r.key?.length ?? 0) + (r.value?.length ?? 0);
    };
    const followers = [
      await follow(broker, topics.logsRaw, PARTITIONS, count("in")),
      await follow(broker, changelog, PARTITIONS, count("changelog")),
    ];
    const wire = () => ({ in: logBytes(runDir, topics.logsRaw), changelog: logBytes(runDir, changelog) });
    const before = { wire: wire(), transactions: await stage.transactions() };
    const seconds = Number(values.live);
    const beganAt = performance.now();
    for (let sentMs = 0; sentMs < seconds * 1_000; ) {
      await sleep(Math.max(0, sentMs + POLL_MS - (performance.now() - beganAt)));
      const nowMs = Math.min(seconds * 1_000, Math.max(sentMs + POLL_MS, Math.floor(performance.now() - beganAt)));
      await feed.deliver(T0 + 2 * MINUTE_MS + sentMs, T0 + 2 * MINUTE_MS + nowMs);
      sentMs = nowMs;
    }
    const tookSeconds = (performance.now() - beganAt) / 1_000;
    const after = { wire: wire(), transactions: await stage.transactions() };
    await sleep(1_000);
    await Promise.all(followers.map((f) => f.stop()));
    const grown = (of: "in" | "changelog") => after.wire[of] - before.wire[of];
    return {
      changelogBytesPerInputByte: bytes.changelog / bytes.in,
      wireRatio: grown("changelog") / grown("in"),
      transactionsPerSecond: (after.transactions - before.transactions) / tookSeconds,
      inBytesPerSecond: bytes.in / tookSeconds,
      tookSeconds,
    };
  } finally {
    await stage.stop();
    await feed.close();
  }
}

const measured = Number(values.rounds) > 0 ? await withStack(throughput) : undefined;
const lost = measured?.pairs.map(({ once, plain }) => 100 * (1 - once / plain));
if (lost) console.log(`throughput lost, a pair each: ${lost.map((p) => `${rounded(p)} %`).join(", ")}`);
const seen = Number(values.live) > 0 ? await withStack(live) : undefined;
const of = (which: "once" | "plain") => measured && Math.round(median(measured.pairs.map((p) => p[which])));
console.log(
  JSON.stringify({
    bench: "commit",
    figures: {
      overheadPercent: lost ? rounded(median(lost)) : null,
      changelogBytesPerInputByte: seen ? rounded(seen.changelogBytesPerInputByte, 2) : null,
      changelogWireBytesPerInputByte: seen ? rounded(seen.wireRatio, 2) : null,
      transactionsPerSecond: seen ? rounded(seen.transactionsPerSecond) : null,
    },
    conditions: {
      overhead: "throughput lost against at least once, median of the pairs; same process, warm, in turns",
      atLeastOnce:
        "same stage; idempotent producer, acks all, no transactions, no progress record, offset committed behind each send; its batches are checksummed twice",
      eventsPerSecond: { exactlyOnce: of("once"), atLeastOnce: of("plain") },
      log: measured
        ? `${rounded(measured.megabytes, 0)} MB, ${values.minutes} minutes of ${INSTANCES} instances, ${LINES_PER_ROW} lines and a metric document each`
        : null,
      rounds: measured?.pairs.length ?? 0,
      commitIntervalMs: COMMIT_INTERVAL_MS,
      partitions: PARTITIONS,
      live: seen
        ? `${rounded(seen.tookSeconds, 0)} s of ${INSTANCES} instances, each a delivery every five seconds, ${Math.round(seen.inBytesPerSecond / 1_000)} KB/s; two shards polled every ${POLL_MS} ms`
        : null,
      bytes: "keys and values before compression; wire: as they lie in the broker's logs, headers and markers included",
      broker: "one, on the same machine",
      node: process.version,
      loadAverage: loadavg().map((v) => rounded(v, 2)),
    },
  }),
);
process.exit();
