import { hash as digest } from "node:crypto";
import { gzipSync } from "node:zlib";
import type { StreamRecord } from "./types.ts";

/** One event of a CloudWatch Logs subscription record. */
export interface LogEvent {
  readonly id: string;
  readonly timestamp: number;
  readonly message: string;
}

export interface LogStream {
  readonly logGroup: string;
  readonly logStream: string;
}

/** The account all simulated telemetry comes from. */
export const account = "123456789012";

export const metricsGroup = "/aws/cwagent/metrics";

/** The digits that all ids of one telemetry source end in, so that two runs with other seeds share none. */
export const idTail = (source: string): string =>
  BigInt(`0x${digest("sha256", source).slice(0, 22)}`)
    .toString()
    .padStart(27, "0")
    .slice(0, 27);

/** 56 digits, as CloudWatch has them; unique by time, stream and sequence number inside one tail. */
export const eventId = (timestampMs: number, stream: number, sequence: number, tail: string): string =>
  `3${String(timestampMs).padStart(13, "0")}${String(stream).padStart(8, "0")}${String(sequence).padStart(7, "0")}${tail}`;

/** The id under which a record is audited that has no readable events: the first 16 hex digits of its SHA-256. */
export const recordId = (bytes: Uint8Array): string => digest("sha256", bytes).slice(0, 16);

/** Gzip with a header that does not name the system it was made on; zlib leaves the time zero. */
export function gzip(text: string): Buffer {
  const bytes = gzipSync(text, { level: 6 });
  bytes[9] = 255;
  return bytes;
}

/** CloudWatch spreads by log stream; Kinesis takes keys of at most 256 characters. */
export const partitionKeyOf = (stream: LogStream): string => `${stream.logGroup}/${stream.logStream}`.slice(0, 256);

export const envelope = (stream: LogStream, logEvents: readonly LogEvent[]): string =>
  JSON.stringify({
    messageType: "DATA_MESSAGE",
    owner: account,
    logGroup: stream.logGroup,
    logStream: stream.logStream,
    subscriptionFilters: ["weir"],
    logEvents,
  });

/** A subscription record with these events. `unsent` ids go into the ledger all the same. */
export function dataRecord(
  stream: LogStream,
  events: readonly LogEvent[],
  unsent: readonly string[] = [],
): StreamRecord {
  return {
    partitionKey: partitionKeyOf(stream),
    data: gzip(envelope(stream, events)),
    eventIds: [...events.map((e) => e.id), ...unsent],
  };
}

/** CloudWatch's own check that the destination is there: to be counted, never emitted. */
export function controlRecord(atMs: number): StreamRecord {
  const message = "CWL CONTROL MESSAGE: Checking health of destination Kinesis stream.";
  const body = {
    messageType: "CONTROL_MESSAGE",
    owner: "CloudwatchLogs",
    logGroup: "",
    logStream: "",
    subscriptionFilters: [],
    logEvents: [{ id: "", timestamp: atMs, message }],
  };
  return { partitionKey: `control-${atMs}`, data: gzip(JSON.stringify(body)), eventIds: [] };
}

/** The source's own word on time: all events below `clockMs` have been delivered to this shard. */
export const clockBytes = (clockMs: number): Buffer => gzip(JSON.stringify({ messageType: "WEIR_CLOCK", clockMs }));

/** The `_aws` member of a metric document (embedded metric format) but for its time; computed once per set of names. */
export const metricDirective = (namespace: string, metrics: readonly { Name: string; Unit?: string }[]): string =>
  JSON.stringify([{ Namespace: namespace, Dimensions: [["InstanceId"]], Metrics: metrics }]);

/** The directive of a machine's six metrics. */
export const machineDirective = (namespace: string): string =>
  metricDirective(namespace, [
    { Name: "CPUUtilization", Unit: "Percent" },
    { Name: "MemoryUtilization", Unit: "Percent" },
    { Name: "NetworkIn", Unit: "Bytes" },
    { Name: "NetworkOut", Unit: "Bytes" },
    { Name: "DiskReadOps", Unit: "Count" },
    { Name: "DiskWriteOps", Unit: "Count" },
  ]);

/** One metric document: one instance, one time. */
export function metricDocument(
  directive: string,
  timestampMs: number,
  instanceId: string,
  values: Readonly<Record<string, number>>,
): string {
  const members = JSON.stringify({ InstanceId: instanceId, ...values }).slice(1);
  return `{"_aws":{"Timestamp":${timestampMs},"CloudWatchMetrics":${directive}},${members}`;
}
