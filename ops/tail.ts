import { type Broker, type RawRecord, type TopicName, WeirError } from "../streams/index.ts";
import { decodeValue, type TopicCodecs } from "./read-topic.ts";

export interface TailOptions {
  readonly broker: Broker;
  readonly codecs: TopicCodecs;
  readonly topic: TopicName;
  /** One JSON object a line, whole; else lines for people, cut. */
  readonly json: boolean;
  /** Else only records that come from now on. */
  readonly fromBeginning: boolean;
  /** Go on at the end of the topic, until the signal. */
  readonly follow: boolean;
  /** Stop after this many records. */
  readonly limit?: number;
  readonly signal?: AbortSignal;
  readonly write: (line: string) => void;
}

const lineWidth = 240;
const cellWidth = 60;

/** Prints the committed records of a topic, decoded; keys and sizes of a changelog. Order holds within a partition. */
export async function tailTopic(options: TailOptions): Promise<void> {
  const { broker, topic, fromBeginning, follow, signal } = options;
  const admin = broker.admin();
  const reader = broker.reader();
  let left = options.limit ?? Number.POSITIVE_INFINITY;
  try {
    const positions: { next: number; end: number }[] = [];
    const partitions = await admin.partitionsOf(topic);
    for (let p = 0; p < partitions; p++) {
      const { startOffset, endOffset } = await admin.offsets(topic, p, "read_committed");
      positions.push({ next: fromBeginning ? startOffset : endOffset, end: endOffset });
    }
    // All partitions share one reader, so none may be waited for long.
    const maxWaitMs = Math.max(20, Math.floor(500 / partitions));
    while (left > 0 && !signal?.aborted && (follow || positions.some((p) => p.next < p.end))) {
      for (const [partition, position] of positions.entries()) {
        if (!follow && position.next >= position.end) continue;
        const fetched = await reader.fetch(topic, partition, position.next, { maxWaitMs, maxBytes: 256 * 1024 });
        for (const record of fetched.records) {
          if (left <= 0 || (!follow && record.offset >= position.end)) break;
          left--;
          for (const line of await linesOf(options, partition, record)) options.write(line);
        }
        position.next = fetched.nextOffset;
      }
    }
  } finally {
    await Promise.all([reader.close(), admin.close()]);
  }
}

async function linesOf(options: TailOptions, partition: number, record: RawRecord): Promise<string[]> {
  const { codecs, topic, json } = options;
  const key = record.key?.toString() ?? null;
  const origin = { topic, partition, offset: record.offset, timestampMs: record.timestampMs, key };
  const head = `${topic}/${partition}@${record.offset} ${timeText(record.timestampMs)} ${key ?? "-"}`;
  const sizeBytes = record.value?.length ?? 0;
  if (record.value === null || topic.endsWith(".changelog"))
    return [
      json
        ? JSON.stringify({ ...origin, sizeBytes })
        : cut(`${head} ${record.value ? `${sizeBytes} B` : "deleted"}`, lineWidth),
    ];
  let value: Record<string, unknown>;
  try {
    value = isJson(record.value)
      ? JSON.parse(record.value.toString())
      : await decodeValue<Record<string, unknown>>(codecs, topic, record.value);
  } catch (error) {
    if (error instanceof WeirError) throw error;
    const reason = (error as Error).message;
    return [
      json
        ? JSON.stringify({ ...origin, sizeBytes, undecodable: reason })
        : `${head} undecodable, ${sizeBytes} B: ${reason}`,
    ];
  }
  if (json) return [JSON.stringify({ ...origin, value: plainValue(value) })];
  const fields = Object.entries(value).filter(([name]) => !(name in rowFields(value)));
  const text = fields.map(([name, v]) => `${name}=${cut(cellText(v), cellWidth)}`).join(" ");
  return [cut(`${head} ${text}`, lineWidth), ...rowLines(value)];
}

/** Values of ours begin with the zero byte of the registry's wire format; foreign producers write JSON objects. */
const isJson = (value: Buffer): boolean => value[0] === "{".charCodeAt(0);

/** Fields that hold one value, or one row of values, an entity. */
function rowFields(value: Record<string, unknown>): Record<string, number[][]> {
  const entities = value.entities;
  if (!Array.isArray(entities) || entities.length === 0) return {};
  const fields: Record<string, number[][]> = {};
  for (const [name, bytes] of Object.entries(value)) {
    if (!Buffer.isBuffer(bytes) || bytes.length % entities.length !== 0) continue;
    const perRow = bytes.length / entities.length;
    fields[name] = entities.map((_, i) => numbersOf(name, bytes.subarray(i * perRow, (i + 1) * perRow)));
  }
  return fields;
}

function rowLines(value: Record<string, unknown>): string[] {
  const fields = Object.entries(rowFields(value));
  if (fields.length === 0) return [];
  return (value.entities as string[]).map((entity, i) =>
    cut(
      `  ${entity} ${fields.map(([name, rows]) => `${name}=${rows[i]!.map(numberText).join(",")}`).join(" ")}`,
      lineWidth,
    ),
  );
}

/** `arm` is a byte a row; every other packed field is float32, little-endian. */
function numbersOf(name: string, bytes: Buffer): number[] {
  if (name === "arm") return [...bytes];
  return Array.from({ length: bytes.length >> 2 }, (_, i) => bytes.readFloatLE(i * 4));
}

/** Numbers as JSON has them (NaN becomes null), packed fields as rows, bytes as text if they are text, else base64. */
function plainValue(value: Record<string, unknown>): Record<string, unknown> {
  const rows = rowFields(value);
  return Object.fromEntries(
    Object.entries(value).map(([name, v]) => {
      const perEntity = rows[name];
      if (perEntity) return [name, name === "matrix" ? perEntity : perEntity.map((row) => row[0])];
      return [name, Buffer.isBuffer(v) ? bytesText(v) : v];
    }),
  );
}

function bytesText(bytes: Buffer): string {
  const text = bytes.toString("utf8");
  return text.includes("\ufffd") ? bytes.toString("base64") : text;
}

function cellText(v: unknown): string {
  if (Buffer.isBuffer(v)) return bytesText(v);
  if (typeof v === "string") return v;
  return JSON.stringify(v) ?? "";
}

const numberText = (v: number): string => (Number.isInteger(v) ? String(v) : v.toPrecision(5));
const timeText = (ms: number): string => (Math.abs(ms) <= 8.64e15 ? new Date(ms).toISOString() : String(ms));

function cut(text: string, width: number): string {
  const line = text.replaceAll(/[\r\n\t]+/g, " ");
  return line.length <= width ? line : `${line.slice(0, width - 1)}…`;
}
