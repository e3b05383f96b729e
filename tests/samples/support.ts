import {
  compileFeatureSet,
  type FeatureRow,
  MemoryOutput,
  rowsOf,
  SamplesProcessor,
} from "../../processors/features/index.ts";
import type { FeatureBatch } from "../../schemas/index.ts";
import { JsonSampleReader } from "../../sources/samples/index.ts";
import { type RawRecord, topicName } from "../../streams/index.ts";

export const MINUTE = 60_000;
export const T = Date.UTC(2024, 0, 1, 9);
export const GRACE = 60_000;

const value = (name: string) => ({ name, metric: name, unit: "None", centre: 0, smallestUnit: 1 });

/** Two metrics and a count over five minutes, with the first and the last value. */
export const smallSet = compileFeatureSet({
  name: "small",
  hopMinutes: 1,
  windowMinutes: 5,
  timezone: "UTC",
  signals: [
    { ...value("cpu"), range: [0, 100], rules: [{ outside: [-50, 1_000], outcome: "refused" }] },
    value("memory"),
    { name: "errors", levels: ["error"] },
  ],
  columns: [
    { name: "cpu_mean", signal: "cpu", statistic: "mean" },
    { name: "cpu_std", signal: "cpu", statistic: "std", ofOne: 0 },
    { name: "cpu_last", signal: "cpu", statistic: "last" },
    { name: "memory_first", signal: "memory", statistic: "first" },
    { name: "errors_sum", signal: "errors", statistic: "sum" },
    { name: "cpu_lag_2", signal: "cpu", lagMinutes: 2 },
    { name: "minute", calendar: "hour_of_day", beforeMinutes: 1 },
  ],
});

export const newProcessor = (closeAfterMs = 1_000, featureSet = smallSet): SamplesProcessor =>
  new SamplesProcessor({
    featureSet,
    topic: topicName("samples.features"),
    partition: 0,
    reader: new JsonSampleReader(featureSet),
    graceMs: GRACE,
    closeAfterMs,
  });

/** A record as a consumer finds it; what is no text is written as JSON. */
export const record = (value: unknown, offset = 0, timestampMs = Date.UTC(2030, 0, 1)): RawRecord => ({
  offset,
  timestampMs,
  key: null,
  value: Buffer.from(typeof value === "string" ? value : JSON.stringify(value)),
});

export class RawMemoryOutput extends MemoryOutput {
  /** Offsets of the records that rejections belong to. */
  readonly origins: number[] = [];

  at({ offset }: { readonly offset: number }): void {
    this.origins.push(offset);
  }
}

export const rowsIn = (output: MemoryOutput): FeatureRow[] =>
  output.sent.flatMap(({ value }) => rowsOf(value as FeatureBatch));

/** A row as text that differs if a bit differs; where its samples lie is not part of it. */
export const bits = (row: FeatureRow): string =>
  `${row.windowEndMs} ${row.entity} ${Buffer.from(new Float32Array(row.values).buffer).toString("hex")} ${row.quality}`;

export function run(samples: readonly unknown[], processor = newProcessor()) {
  const output = new RawMemoryOutput();
  processor.takeRaw(
    samples.map((sample, offset) => record(sample, offset)),
    output,
  );
  return { output, rows: rowsIn(output), processor };
}

/** What a task does at a commit. */
export function commit(processor: SamplesProcessor): [store: string, key: string, value: Buffer | null][] {
  const written: [string, string, Buffer | null][] = [];
  for (const store of processor.stores) store.flush((key, of) => void written.push([store.name, key, of]));
  for (const store of processor.stores) store.merge();
  return written;
}
