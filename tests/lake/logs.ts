import type { FeatureBatch, LogBatch } from "../../schemas/index.ts";
import { topicName } from "../../streams/index.ts";
import { FakeCodecs } from "./fakes.ts";

export const features = topicName("features");
export const logsRaw = topicName("logs.raw");
export const codecs = new FakeCodecs({ features: "feature-batch", "logs.raw": "log-batch" });
export const minuteMs = 60_000;
export const hourMs = 60 * minuteMs;
/** A Tuesday, 22:00 UTC, so that a few hours cross a day. */
export const startMs = Date.UTC(2026, 0, 6, 22);

export const columnNames = ["cpu_mean", "cpu_std", "memory_lag_1"];
export const columns = (set: string, hash: string): readonly string[] => {
  if (set !== "test" || hash !== "h1") throw new Error(`No feature set ${set} ${hash}`);
  return columnNames;
};

export function featureBatch(windowEndMs: number, entities: string[], more: Partial<FeatureBatch> = {}): FeatureBatch {
  const values = entities.flatMap((_, i) => [
    i === 0 ? -0 : Math.fround(Math.sin(windowEndMs + i)),
    Number.NaN,
    [0, -0, i][i % 3]!,
  ]);
  return {
    featureSet: "test",
    featureSetHash: "h1",
    windowEndMs,
    watermarkMs: windowEndMs,
    chunk: 0,
    chunks: 1,
    entities,
    columns: columnNames.length,
    matrix: Buffer.from(new Float32Array(values).buffer),
    quality: Buffer.from(new Float32Array(entities.map((_, i) => 1 - i / 128)).buffer),
    firstOffset: entities.map(() => 0),
    lastOffset: entities.map(() => 0),
    silent: [],
    ...more,
  };
}

export function logBatch(
  clockMs: number,
  timesMs: readonly number[],
  id: string,
  more: Partial<LogBatch> = {},
): LogBatch {
  return {
    kind: timesMs.length > 0 ? "events" : "tick",
    source: "s@1/shard-0",
    clockMs,
    arrivalMs: clockMs + 1000,
    sequence: id,
    account: "000000000000",
    logGroup: "/application/logs",
    logStream: "i-1",
    entity: "i-1",
    events: timesMs.map((timestampMs, i) => ({ id: `${id}/${i}`, timestampMs, message: `message ${id} ${i} “ü”` })),
    ...more,
  };
}
