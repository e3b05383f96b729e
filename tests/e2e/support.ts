import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { S3Client } from "@aws-sdk/client-s3";
import { expect } from "vitest";
import { connectCodecs } from "../../commands/init.ts";
import { startStack } from "../../local/index.ts";
import { compareLakeWithTopic, countTopics, lakeRowCounts, readTopic, type Summary } from "../../ops/index.ts";
import { stages, topicDefinitions, topics } from "../../pipeline.ts";
import type { Anomaly, Codecs, LogBatch } from "../../schemas/index.ts";
import { type Broker, type Counters, changelogTopicFor, connectBroker } from "../../streams/index.ts";
import { type Line, records, resultLines } from "../support/results.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
export const dataDir = process.env.WEIR_DATA ?? path.resolve(root, "../shared/data");

export interface Finished {
  readonly summary: Summary;
  readonly runDir: string;
}

/** `weir start --once --json` in a process and a folder of its own, as a person would start it. */
export async function runOnce(...args: string[]): Promise<Finished> {
  const runDir = mkdtempSync(path.join(tmpdir(), "weir-e2e-"));
  const child = spawn(
    process.execPath,
    [
      "--disable-warning=TimeoutNegativeWarning",
      `${root}main.ts`,
      "start",
      "--once",
      "--json",
      "--run-dir",
      runDir,
      ...args,
    ],
    {
      cwd: root,
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  let out = "";
  let err = "";
  child.stdout.on("data", (bytes) => {
    out += bytes;
  });
  child.stderr.on("data", (bytes) => {
    err += bytes;
  });
  const code = await new Promise((resolve) => child.on("close", resolve));
  if (code !== 0) throw new Error(`weir start ended with ${code}:\n${err.slice(-4_000)}`);
  return { summary: JSON.parse(out.trim().split("\n").at(-1)!) as Summary, runDir };
}

export interface Opened {
  readonly broker: Broker;
  readonly codecs: Codecs;
  readonly s3: S3Client;
  readonly bucket: string;
  stop(): Promise<void>;
}

/** The topics and files that a run left, on the same components started again. */
export async function reopen(runDir: string): Promise<Opened> {
  const stack = await startStack({ runDir: path.join(runDir, "stack"), components: ["kafka", "registry", "s3"] });
  const { kafka, registry, s3 } = stack.endpoints;
  return {
    broker: connectBroker({ brokers: [...kafka], clientId: "e2e" }),
    codecs: await connectCodecs({ registryUrl: registry }),
    s3: new S3Client({ region: s3.region, endpoint: s3.endpoint, forcePathStyle: true, credentials: s3 }),
    bucket: s3.bucket,
    stop: () => stack.stop(),
  };
}

/** Digests of everything that a second run over the same input must repeat bit for bit, texts and offsets apart. */
export async function results(run: Opened): Promise<Record<string, { count: number; digest: string }>> {
  const digest = (lines: readonly Line[]) => ({
    count: lines.length,
    digest: createHash("sha256")
      .update(
        lines
          .map(({ key, value }) => `${key} ${value}`)
          .sort()
          .join("\n"),
      )
      .digest("hex"),
  });
  const { rows, predictions, anomalies, incidents } = await resultLines(run);
  return {
    rows: digest(rows),
    predictions: digest(predictions),
    anomalies: digest(anomalies),
    incidents: digest(incidents),
  };
}

/** Design rule 4, over the committed counters of every task and what really lies in the topics. */
export async function expectCountersToAddUp(run: Opened): Promise<void> {
  const committed: Record<string, Counters> = {};
  for (const { name, changelog } of Object.values(stages)) {
    if (!changelog) continue;
    const last = new Map<number, Counters>();
    for await (const { key, partition, value } of readTopic(run.broker, changelogTopicFor(name))) {
      if (key?.toString() === "progress") last.set(partition, JSON.parse(value!.toString()).counters);
    }
    const sum = { in: 0, accepted: 0, late: 0, dead: 0, duplicate: 0, control: 0, out: 0 };
    for (const counters of last.values())
      for (const name of Object.keys(sum) as (keyof Counters)[]) sum[name] += counters[name];
    committed[name] = sum;
    const { in: in_, accepted, late, dead, duplicate, control } = sum;
    expect({ stage: name, in: in_ }).toEqual({ stage: name, in: accepted + late + dead + duplicate + control });
  }
  const counts = await countTopics({ ...run, topics: topicDefinitions.filter((t) => t.schema !== null) });
  const { features, score, incidents } = committed;
  expect(features!.in - features!.control).toBe(counts[topics.logsRaw]!.things);
  expect(features!.late).toBe(counts["logs.raw.late"]!.things);
  expect(features!.dead).toBe(counts["logs.raw.dead"]!.things);
  expect(features!.out).toBe(counts[topics.features]!.records);
  expect(score!.accepted).toBe(counts[topics.features]!.things);
  expect(score!.out).toBe(
    counts[topics.predictions]!.records + counts[topics.anomalies]!.records + counts[topics.anomaliesByGroup]!.records,
  );
  expect(incidents!.in).toBe(counts[topics.anomaliesByGroup]!.records);
}

/** Every row of the features topic stands in the Parquet files, every float32 bit, and every raw event once. */
export async function expectLakeToEqualTopics(
  run: Opened,
  columns: (set: string, hash: string) => readonly string[],
): Promise<void> {
  const source = { s3: run.s3, bucket: run.bucket };
  const compared = await compareLakeWithTopic({
    source,
    broker: run.broker,
    codecs: run.codecs,
    topic: topics.features,
    columns,
  });
  expect(compared).toMatchObject({ missing: 0, extra: 0, different: 0, faults: [] });
  expect(compared.rows).toBeGreaterThan(0);
  const counts = await countTopics({ ...run, topics: topicDefinitions.filter((t) => t.name === topics.logsRaw) });
  expect((await lakeRowCounts(source)).raw).toBe(counts[topics.logsRaw]!.things);
}

/** The offsets that an anomaly names are records of its entity that reach into its window. */
export async function expectEvidenceToResolve(run: Opened): Promise<void> {
  const wanted = new Map<string, Anomaly[]>();
  let resolved = 0;
  let named = 0;
  for await (const { decoded: a } of records<Anomaly>(run, topics.anomalies)) {
    if (a.evidence.firstOffset < 0) continue;
    named++;
    for (const offset of new Set([a.evidence.firstOffset, a.evidence.lastOffset])) {
      const place = `${a.evidence.partition}/${offset}`;
      wanted.set(place, [...(wanted.get(place) ?? []), a]);
    }
  }
  for await (const { partition, offset, decoded: batch } of records<LogBatch>(run, topics.logsRaw)) {
    for (const a of wanted.get(`${partition}/${offset}`) ?? []) {
      expect(batch.entity).toBe(a.entity);
      expect(batch.events.some((e) => e.timestampMs >= a.windowStartMs && e.timestampMs < a.windowEndMs)).toBe(true);
      resolved++;
    }
    wanted.delete(`${partition}/${offset}`);
  }
  expect(named).toBeGreaterThan(0);
  expect(resolved).toBeGreaterThanOrEqual(named);
  expect([...wanted.keys()]).toEqual([]);
}
