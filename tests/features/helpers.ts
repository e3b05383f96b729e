import {
  collectFeatureRows,
  createFeaturesProcessor,
  type FeatureRow,
  type FeatureSet,
  type FeaturesProcessor,
  loadFeatureSet,
  MemoryOutput,
  rowsOf,
} from "../../processors/features/index.ts";
import type { FeatureBatch, LogBatch, LogEvent, SourceSign } from "../../schemas/index.ts";
import { type InputRecord, type Processor, topicName } from "../../streams/index.ts";

export const MINUTE = 60_000;
/** Monday 2024-01-01 00:00 UTC, in minutes. */
export const DAY_ONE = Date.UTC(2024, 0, 1) / MINUTE;
export const core37 = loadFeatureSet("core-37");
export const featuresTopic = topicName("features");

/** A source's record without its place in the partition. */
export type SourceRecord = Omit<LogBatch, "sequence" | "arrivalMs">;

export const sign = (source: string, kind: SourceSign, clockMs: number): SourceRecord => ({
  kind,
  source,
  clockMs,
  account: "",
  logGroup: "",
  logStream: "",
  entity: "",
  events: [],
});

export const eventsOf = (source: string, entity: string, clockMs: number, events: LogEvent[]): SourceRecord => ({
  kind: "events",
  source,
  clockMs,
  account: "123456789012",
  logGroup: "/application/logs",
  logStream: entity,
  entity,
  events,
});

export const metricNames = {
  cpu: "CPUUtilization",
  memory: "MemoryUtilization",
  network_in: "NetworkIn",
  network_out: "NetworkOut",
  disk_read: "DiskReadOps",
  disk_write: "DiskWriteOps",
} as const;
export type MetricKey = keyof typeof metricNames;
export type Metrics = Partial<Record<MetricKey, number | number[]>>;

/** One document in the embedded metric format. */
export function emf(entity: string, timestampMs: number, metrics: Record<string, number | number[]>): string {
  return JSON.stringify({
    _aws: {
      Timestamp: timestampMs,
      CloudWatchMetrics: [
        {
          Namespace: "CWAgent",
          Dimensions: [["InstanceId"]],
          Metrics: Object.keys(metrics).map((Name) => ({ Name, Unit: "None" })),
        },
      ],
    },
    InstanceId: entity,
    ...metrics,
  });
}

let ids = 0;
export const nextId = (): string => `event-${++ids}`;

export const metricEvent = (entity: string, timestampMs: number, metrics: Metrics, id = nextId()): LogEvent => ({
  id,
  timestampMs,
  message: emf(
    entity,
    timestampMs,
    Object.fromEntries(Object.entries(metrics).map(([k, v]) => [metricNames[k as MetricKey], v])),
  ),
});

export const lineEvent = (timestampMs: number, level: string, id = nextId()): LogEvent => ({
  id,
  timestampMs,
  message: JSON.stringify({ level, message: "something happened" }),
});

export const inLog = (records: readonly SourceRecord[], firstOffset = 0): InputRecord<LogBatch>[] =>
  records.map((value, i) => ({
    topic: topicName("logs.raw"),
    partition: 0,
    offset: firstOffset + i,
    timestampMs: value.clockMs,
    key: value.entity,
    value: { ...value, sequence: `${i}`, arrivalMs: value.clockMs },
  }));

export const newProcessor = (featureSet: FeatureSet = core37, partitions = 1): FeaturesProcessor =>
  createFeaturesProcessor({ featureSet, topic: featuresTopic, partition: 0, partitions });

/** What came out of some records: rows, batches, and what became of the events. */
export function run(records: readonly SourceRecord[], processor: Processor<LogBatch> = newProcessor()) {
  const output = new MemoryOutput();
  for (const record of inLog(records)) processor.process(record, output);
  return { output, batches: batchesOf(output), rows: [...rowsIn(output)] };
}

export const batchesOf = (output: MemoryOutput): FeatureBatch[] => output.sent.map((s) => s.value as FeatureBatch);

/** The rows by way of the harness the trainer uses. */
export const collect = (records: readonly SourceRecord[], processor = newProcessor()): FeatureRow[] => [
  ...collectFeatureRows(processor, inLog(records)),
];

function* rowsIn(output: MemoryOutput): Generator<FeatureRow> {
  for (const batch of batchesOf(output)) yield* rowsOf(batch);
}

/** A row as text that differs if a bit differs. */
export const bits = (row: FeatureRow): string =>
  `${row.windowEndMs} ${row.entity} ${Buffer.from(new Float32Array(row.values).buffer).toString("hex")} ${row.quality}`;

export function column(row: FeatureRow, name: string, set: FeatureSet = core37): number {
  const at = set.columns.indexOf(name);
  if (at < 0) throw new Error(`no column ${name}`);
  return row.values[at]!;
}
