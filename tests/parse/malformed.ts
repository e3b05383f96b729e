/** Malformed input, each with the code it gets and the place in the parser that says so. */
import { gzipSync } from "node:zlib";
import { MAX_MESSAGE_LENGTH, type ParseFlaw, parseEvent } from "../../processors/parse/index.ts";
import { decodeRecord, MAX_EVENT_BYTES } from "../../sources/index.ts";

export interface Malformed {
  readonly what: string;
  readonly code: string;
  /** A member's path, a part's name, or the reader that passed it through. */
  readonly path: string;
  /** What comes of it: a log line, metrics that could be read all the same, or a dead letter of the bridge. */
  readonly kind: "log" | "metrics" | "dead";
  readonly outcome: () => { code: string | undefined; path: string; kind: string };
}

const at = Date.UTC(2024, 0, 2, 3, 4, 5);
const groups = {
  system: "/aws/ec2/system",
  database: "/aws/rds/postgresql",
  function: "/aws/lambda/f",
  api: "/aws/apigateway/shop",
  application: "/application/logs",
  other: "elsewhere",
} as const;
type Group = keyof typeof groups;

function event(
  code: ParseFlaw,
  kind: Malformed["kind"],
  group: Group,
  [what, message, path]: readonly [what: string, message: string, path: string],
  timestampMs = at,
): Malformed {
  const outcome = () => {
    const parsed = parseEvent(groups[group], "stream", message, timestampMs);
    const reader = parsed.kind === "log" ? parsed.source : "metrics";
    return { code: parsed.flaw, path: parsed.flawAt ?? reader, kind: parsed.kind };
  };
  return { what, code, path, kind, outcome };
}

/** Cases of one code in one group of logs. */
const lines = (code: ParseFlaw, group: Group, cases: readonly (readonly [string, string, string])[]): Malformed[] =>
  cases.map((c) => event(code, "log", group, c));

type Document = Record<string, unknown>;
type Change = (document: Document, aws: Document, directive: Document) => void;

/** A right document in the embedded metric format, changed at one place. */
export function emf(change: Change): string {
  const directive: Document = {
    Namespace: "N",
    Dimensions: [["InstanceId"]],
    Metrics: [{ Name: "CPU", Unit: "Percent" }],
  };
  const aws: Document = { Timestamp: at, CloudWatchMetrics: [directive] };
  const document: Document = { _aws: aws, InstanceId: "i-1", CPU: 12.5 };
  change(document, aws, directive);
  return JSON.stringify(document);
}

const emfCases: readonly (readonly [string, Change, string])[] = [
  ["a stamp as text", (_, aws) => (aws.Timestamp = "now"), "_aws.Timestamp"],
  ["no stamp", (_, aws) => delete aws.Timestamp, "_aws.Timestamp"],
  ["a negative stamp", (_, aws) => (aws.Timestamp = -1), "_aws.Timestamp"],
  ["a stamp with a fraction", (_, aws) => (aws.Timestamp = 1.5), "_aws.Timestamp"],
  ["directives as an object", (_, aws) => (aws.CloudWatchMetrics = {}), "_aws.CloudWatchMetrics"],
  ["directives as null", (_, aws) => (aws.CloudWatchMetrics = null), "_aws.CloudWatchMetrics"],
  ["a directive as text", (_, aws) => (aws.CloudWatchMetrics = ["x"]), "_aws.CloudWatchMetrics[]"],
  ["a directive as a list", (_, aws) => (aws.CloudWatchMetrics = [[]]), "_aws.CloudWatchMetrics[]"],
  ["a namespace as a number", (_, __, d) => (d.Namespace = 7), "Namespace"],
  ["an empty namespace", (_, __, d) => (d.Namespace = ""), "Namespace"],
  ["no namespace", (_, __, d) => delete d.Namespace, "Namespace"],
  ["no dimensions", (_, __, d) => delete d.Dimensions, "Dimensions"],
  ["dimensions as text", (_, __, d) => (d.Dimensions = "InstanceId"), "Dimensions"],
  ["dimensions one level flat", (_, __, d) => (d.Dimensions = ["InstanceId"]), "Dimensions[]"],
  ["31 dimensions", (_, __, d) => (d.Dimensions = [Array(31).fill("InstanceId")]), "Dimensions[]"],
  ["a dimension's name as a number", (_, __, d) => (d.Dimensions = [[1]]), "Dimensions[][]"],
  ["an empty dimension's name", (_, __, d) => (d.Dimensions = [[""]]), "Dimensions[][]"],
  ["a dimension's name of 251 characters", (_, __, d) => (d.Dimensions = [["x".repeat(251)]]), "Dimensions[][]"],
  ["a dimension as a number", (doc) => (doc.InstanceId = 7), "dimension InstanceId"],
  ["a dimension too long", (doc) => (doc.InstanceId = "x".repeat(1_025)), "dimension InstanceId"],
  ["a dimension that is not there", (_, __, d) => (d.Dimensions = [["Gone"]]), "dimension Gone"],
  ["a dimension of every object", (_, __, d) => (d.Dimensions = [["toString"]]), "dimension toString"],
  ["a dimension named __proto__", (_, __, d) => (d.Dimensions = [["__proto__"]]), "dimension __proto__"],
  ["no metrics", (_, __, d) => delete d.Metrics, "Metrics"],
  ["101 metrics", (_, __, d) => (d.Metrics = Array(101).fill({ Name: "CPU" })), "Metrics"],
  ["a metric as text", (_, __, d) => (d.Metrics = ["CPU"]), "Metrics[]"],
  ["a metric without a name", (_, __, d) => (d.Metrics = [{}]), "Metrics[].Name"],
  ["a metric's name as a number", (_, __, d) => (d.Metrics = [{ Name: 1 }]), "Metrics[].Name"],
  ["a unit as a number", (_, __, d) => (d.Metrics = [{ Name: "CPU", Unit: 1 }]), "Metrics[].Unit"],
  [
    "a resolution of 30 s",
    (_, __, d) => (d.Metrics = [{ Name: "CPU", StorageResolution: 30 }]),
    "Metrics[].StorageResolution",
  ],
  ["a metric that is not there", (_, __, d) => (d.Metrics = [{ Name: "Gone" }]), "value of Gone"],
  ["a metric of every object", (_, __, d) => (d.Metrics = [{ Name: "valueOf" }]), "value of valueOf"],
  ["a metric named constructor", (_, __, d) => (d.Metrics = [{ Name: "constructor" }]), "value of constructor"],
  ["a metric named __proto__", (_, __, d) => (d.Metrics = [{ Name: "__proto__" }]), "value of __proto__.Min"],
  ["a long metric name", (_, __, d) => (d.Metrics = [{ Name: "n".repeat(999) }]), `value of ${"n".repeat(64)}`],
  ["a value as text", (doc) => (doc.CPU = "12.5"), "value of CPU"],
  ["a value that was NaN", (doc) => (doc.CPU = Number.NaN), "value of CPU"],
  ["a value as truth", (doc) => (doc.CPU = true), "value of CPU"],
  ["101 values", (doc) => (doc.CPU = Array(101).fill(1)), "value of CPU"],
  ["values with text among them", (doc) => (doc.CPU = [1, "2"]), "value of CPU[]"],
  ["values with null among them", (doc) => (doc.CPU = [1, null]), "value of CPU[]"],
  ["a summary without its minimum", (doc) => (doc.CPU = {}), "value of CPU.Min"],
  ["a summary with text", (doc) => (doc.CPU = { Min: 1, Max: "1", Sum: 1, Count: 1 }), "value of CPU.Max"],
  ["a summary upside down", (doc) => (doc.CPU = { Min: 5, Max: 1, Sum: 6, Count: 2 }), "value of CPU.Max"],
  ["a summary whose sum is too large", (doc) => (doc.CPU = { Min: 1, Max: 2, Sum: 9, Count: 2 }), "value of CPU.Sum"],
  ["a summary without its count", (doc) => (doc.CPU = { Min: 1, Max: 1, Sum: 1 }), "value of CPU.Count"],
  ["a summary of a billion", (doc) => (doc.CPU = { Min: 1, Max: 1, Sum: 1e9, Count: 1e9 }), "value of CPU.Count"],
  ["counts without values", (doc) => (doc.CPU = { Values: null, Counts: [1] }), "value of CPU.Values"],
  ["counted values as text", (doc) => (doc.CPU = { Values: ["1"], Counts: [1] }), "value of CPU.Values[]"],
  ["more counts than values", (doc) => (doc.CPU = { Values: [1], Counts: [1, 1] }), "value of CPU.Counts"],
  ["a negative count", (doc) => (doc.CPU = { Values: [1], Counts: [-1] }), "value of CPU.Counts[]"],
  ["a fractional count", (doc) => (doc.CPU = { Values: [1], Counts: [1.5] }), "value of CPU.Counts[]"],
  ["a billion by its counts", (doc) => (doc.CPU = { Values: [1], Counts: [1e9] }), "value of CPU.Counts[]"],
];

const osDocument = { instanceID: "d", instanceResourceID: "db-A", cpuUtilization: { total: 1 } };
const os = (change: Document): string => JSON.stringify({ ...osDocument, ...change });
const osRefused: readonly (readonly [string, string, string])[] = [
  ["instance as a number", os({ instanceID: 7 }), "instanceID"],
  ["an empty instance", os({ instanceID: "" }), "instanceID"],
  ["processor as null", os({ cpuUtilization: null }), "cpuUtilization"],
  ["processor as a list", os({ cpuUtilization: [10] }), "cpuUtilization"],
  ["processor's total as text", os({ cpuUtilization: { total: "10" } }), "cpuUtilization.total"],
];
const inObject = (part: string, members: readonly string[]) => [
  [`${part} as text`, os({ [part]: "1" }), part] as const,
  ...members.map((m) => [`${part}'s ${m} as text`, os({ [part]: { [m]: "1" } }), `${part}.${m}`] as const),
];
const inList = (part: string, members: readonly string[]) => [
  [`${part} as an object`, os({ [part]: {} }), part] as const,
  [`${part} of numbers`, os({ [part]: [1] }), `${part}[]`] as const,
  ...members.map((m) => [`${part}'s ${m} as text`, os({ [part]: [{ [m]: "1" }] }), `${part}[].${m}`] as const),
];
const osPartly = [
  [
    "memory beyond numbers",
    os({ memory: { total: 1, free: 1 } }).replace('"total":1,"free"', '"total":1e999,"free"'),
    "memory.total",
  ] as const,
  ...inObject("memory", ["total", "free", "cached", "buffers"]),
  ...inObject("swap", ["total", "free"]),
  ...inObject("loadAverageMinute", ["one"]),
  ...inList("network", ["rx", "tx"]),
  ...inList("diskIO", ["readIOsPS", "writeIOsPS", "avgQueueLen", "diskQueueDepth", "readLatency", "writeLatency"]),
  ...inList("fileSys", ["usedPercent"]),
];

const datum = (change: Document): string => {
  const value = { count: 1, sum: 1, max: 1, min: 1, ...(change.value as object) };
  const whole = { metric_stream_name: "s", metric_name: "m", namespace: "n", dimensions: {}, ...change };
  return JSON.stringify({ ...whole, value: typeof change.value === "number" ? change.value : value });
};

const nested = (open: string, depth: number, close: string) => open.repeat(depth) + close.repeat(depth);
const TOO_LONG = MAX_MESSAGE_LENGTH + 1;
const id = "6f1d8a0e-1111-2222-3333-444455556666";
const platform = (type: string, record: unknown): string =>
  JSON.stringify({ time: "t", type: `platform.${type}`, record });
const everyGroup = Object.keys(groups) as Group[];
const rfc5424 = "<34>1 2024-01-02T03:04:05Z h app - -";

export const malformedEvents: readonly Malformed[] = [
  ...lines(
    "emf_shape",
    "application",
    emfCases.map(([what, change, path]) => [what, emf(change), path] as const),
  ),
  ...lines("emf_shape", "function", [
    ["wrong behind Lambda's prefix", `t2024-01-02T\t6f\tINFO\t${emf((doc) => (doc.CPU = "1"))}`, "value of CPU"],
  ]),
  ...lines("emf_shape", "application", [
    ["a stamp beyond numbers", emf(() => {}).replace(`${at}`, "1e999"), "_aws.Timestamp"],
    ["duplicate keys, the last one wrong", emf(() => {}).replace('"CPU":12.5', '"CPU":1,"CPU":"x"'), "value of CPU"],
  ]),
  ...lines("os_metrics_shape", "database", osRefused),
  ...osPartly.map((c) => event("os_metrics_shape", "metrics", "database", c)),
  ...lines("metric_stream_shape", "other", [
    ["a datum's name as a number", datum({ metric_name: 1 }), "metric_name"],
    ["a datum without namespace", datum({ namespace: undefined }), "namespace"],
    ["a datum's dimensions as a list", datum({ dimensions: [] }), "dimensions"],
    ["a datum's dimension as a number", datum({ dimensions: { Queue: 7 } }), "dimensions.Queue"],
    ["a datum's value as a number", datum({ value: 1 }), "value"],
    ["a datum's unit as a number", datum({ unit: 1 }), "unit"],
    ["a datum's minimum as text", datum({ value: { min: "1" } }), "value.min"],
    ["a datum upside down", datum({ value: { max: 0 } }), "value.max"],
    ["a datum's sum as text", datum({ value: { sum: "1" } }), "value.sum"],
    ["a datum of a million", datum({ value: { count: 1e6, sum: 1e6 } }), "value.count"],
  ]),
  ...lines("json_broken", "application", [
    ["an object cut short", '{"level":"error"', "comma in an object"],
    ["only a brace", "{", "member's name"],
    ["an object cut short behind a colon", '  \n{"a":', "cut short"],
    ["a list cut short", '{"a":[1', "comma in a list"],
    ["a list of words", '{"a":[1 b]}', "comma in a list"],
    ["an open text", '{"level":"error","msg":"x', "text without an end"],
    ["an open text for a megabyte", `{"a":"${"x".repeat(1e6)}`, "text without an end"],
    ["backslashes for a megabyte", `{"a":"${"\\".repeat(1e6)}`, "text without an end"],
    ["a text after the object", '{"a":1} and more', "text behind it"],
    ["two objects", '{"a":1}{"b":2}', "text behind it"],
    ["two objects on lines", '{"a":1}\n{"b":2}', "text behind it"],
    ["single quotes", "{'level':'error'}", "member's name"],
    ["keys without quotes", "{level:50}", "member's name"],
    ["a trailing comma", '{"level":50,}', "member's name"],
    ["a comment", '{/* x */"level":50}', "member's name"],
    ["no colon", '{"level" 50}', "colon"],
    ["NaN as a word", '{"level":NaN}', "value"],
    ["Infinity as a word", '{"level":-Infinity}', "number"],
    ["a number with a leading zero", '{"level":050}', "number"],
    ["a number without a fraction", '{"level":5.}', "number"],
    ["a number without an exponent", '{"level":5e}', "number"],
    ["a raw line break in text", '{"msg":"a\nb"}', "control character"],
    ["NUL in text", '{"msg":"a\u0000b"}', "control character"],
    ["a bad escape", '{"msg":"\\x41"}', "escape"],
    ["a bad Unicode escape", '{"msg":"\\u00zz"}', "escape"],
  ]),
  ...everyGroup.map((group) =>
    event("json_too_deep", "log", group, [`lists in lists, in ${group}`, `{"a":${nested("[", 600, "]")}}`, group]),
  ),
  ...lines("json_too_deep", "application", [
    ["objects in objects", `${'{"a":'.repeat(600)}1${"}".repeat(600)}`, "application"],
    ["a hundred thousand levels", `{"a":${nested("[", 100_000, "]")}}`, "application"],
    ["open lists for a megabyte", `{"a":${"[".repeat(1e6)}`, "application"],
    ["metrics, deep", emf((doc) => (doc.x = 0)).replace('"x":0', `"x":${nested("[", 600, "]")}`), "application"],
  ]),
  ...everyGroup.map((group) =>
    event("too_long", "log", group, [`a megabyte and one, in ${group}`, "x".repeat(TOO_LONG), group]),
  ),
  ...lines("too_long", "application", [
    ["a document beyond it", JSON.stringify({ a: "x".repeat(MAX_MESSAGE_LENGTH) }), "application"],
    ["embedded metrics beyond it", emf((doc) => (doc.x = "x".repeat(MAX_MESSAGE_LENGTH))), "application"],
    ["blanks beyond it", " ".repeat(TOO_LONG), "application"],
  ]),
  ...lines("syslog_shape", "system", [
    ["a priority above 191", "<999>Jan 12 03:04:05 h app: x", "priority"],
    ["a priority of 192", "<192>1 2024-01-02T03:04:05Z h app - - - x", "priority"],
    ["a priority and nothing like a header", "<34>it's down", "header"],
    ["a month that is none", "<34>jan 12 03:04:05 h app: x", "header"],
    ["a priority of seven digits", "<9999999>Jan 12 03:04:05 h app: x", "header"],
    ["version 2", "<34>2 2024-01-02T03:04:05Z h app - - - x", "header of RFC 5424"],
    ["a stamp that is none", "<34>1 2024-01-02 h app - - - x", "header of RFC 5424"],
    ["a header cut short", "<34>1 2024-01-02T03:04:05Z h app", "header of RFC 5424"],
    ["structured data without an end", `${rfc5424} [a b="c" x`, "structured data"],
    ["a second element without an end", `${rfc5424} [a b="c"][d`, "structured data"],
    ["a quote without an end", `${rfc5424} [a b="c] x`, "value in structured data"],
    ["a backslash at the end", `${rfc5424} [a b="\\`, "value in structured data"],
    ["an element without an id", `${rfc5424} [] x`, "id of structured data"],
  ]),
  ...lines("postgres_shape", "database", [
    ["no severity", "2024-01-02 03:04:05 UTC:h(1):a@b:[9]:deadlock detected", "severity"],
    ["an unknown severity", "2024-01-02 03:04:05 UTC:h(1):a@b:[9]:OOPS:  x", "severity"],
    ["a prefix longer than any", `2024-01-02 03:04:05 UTC:${"h".repeat(300)}:LOG:  x`, "severity"],
    ["a duration in words", "2024-01-02 03:04:05 UTC:h(1):a@b:[9]:LOG:  duration: long ms", "duration"],
    ["a negative duration", "2024-01-02 03:04:05 UTC:h(1):a@b:[9]:LOG:  duration: -1.5 ms", "duration"],
  ]),
  ...lines("lambda_shape", "function", [
    ["a report cut short", "REPORT RequestI", "report"],
    ...["Duration", "Billed Duration", "Init Duration", "Restore Duration"].map(
      (label) => [`${label} in words`, `REPORT RequestId: ${id}\t${label}: long ms`, label] as const,
    ),
    ["a negative duration", `REPORT RequestId: ${id}\tDuration: -3 ms`, "Duration"],
    ["a memory size in words", `REPORT RequestId: ${id}\tMemory Size: big MB`, "Memory Size"],
    ["memory used in words", `REPORT RequestId: ${id}\tMax Memory Used: most MB`, "Max Memory Used"],
    ["an event without a record", platform("start", undefined), "record"],
    ["a record as text", platform("report", "x"), "record"],
    ["a request as a number", platform("start", { requestId: 7 }), "record.requestId"],
    ["a status as a number", platform("report", { status: 1 }), "record.status"],
    ["dropped records in words", platform("logsDropped", { droppedRecords: "many" }), "record.droppedRecords"],
    ["a report without metrics", platform("report", { status: "success" }), "record.metrics"],
    ["metrics as a list", platform("report", { metrics: [] }), "record.metrics"],
    ...["durationMs", "billedDurationMs", "initDurationMs", "restoreDurationMs", "memorySizeMB", "maxMemoryUsedMB"].map(
      (name) =>
        [`${name} as text`, platform("report", { metrics: { [name]: "1" } }), `record.metrics.${name}`] as const,
    ),
  ]),
  ...everyGroup.map((group) => event("nul_bytes", "log", group, [`NUL in ${group}`, "ERROR a\u0000b", group])),
  event("nul_bytes", "metrics", "function", ["NUL before metrics", `\u0000\t6f\tINFO\t${emf(() => {})}`, "metrics"]),
  ...lines("nul_bytes", "application", [
    ["UTF-16 read as UTF-8", [..."ERROR x"].map((c) => `${c}\u0000`).join(""), "application"],
    ["NUL alone", "\u0000", "application"],
  ]),
  ...everyGroup.map((group) =>
    event("not_utf8", "log", group, [
      `a byte that is not UTF-8 in ${group}`,
      Buffer.from([0x45, 0xff]).toString(),
      group,
    ]),
  ),
  event("not_utf8", "metrics", "application", ["a bad byte in metrics", emf((doc) => (doc.x = "\ufffd")), "metrics"]),
  ...lines("not_utf8", "application", [
    ["Latin-1 read as UTF-8", Buffer.from("caf\xe9", "latin1").toString(), "application"],
    ["a cut character", Buffer.from("naïve").subarray(0, 3).toString(), "application"],
    ["bytes of gzip read as text", Buffer.from([0x1f, 0x8b, 0x08, 0xff]).toString(), "application"],
  ]),
  ...(
    [
      ["seconds taken for milliseconds, so 1970", Math.floor(at / 1_000), "seconds"],
      ["microseconds", at * 1_000, "microseconds"],
      ["nanoseconds", at * 1_000_000, "nanoseconds"],
      ["a fraction", at + 0.5, "fraction"],
      ["a negative time", -1, "negative"],
      ["zero, so 1970", 0, "before 2000"],
      ["the last millisecond of 1999", Date.UTC(2000, 0) - 1, "before 2000"],
      ["2100", Date.UTC(2100, 0), "after 2099"],
      ["no number", Number.NaN, "no number"],
      ["infinity", Number.POSITIVE_INFINITY, "no number"],
    ] as const
  ).flatMap(([what, time, path]) => [
    event("time_range", "log", "application", [`${what}, of a line`, "hello", path], time),
    event("time_range", "metrics", "application", [`${what}, of metrics`, emf(() => {}), path], time),
  ]),
];

const envelope = (change: Document): Document => {
  const logEvents = [{ id: "1", timestamp: at, message: "x" }];
  return { messageType: "DATA_MESSAGE", owner: "1", logGroup: "g", logStream: "s", logEvents, ...change };
};
const record = (value: unknown): Buffer => gzipSync(typeof value === "string" ? value : JSON.stringify(value));
const withEvent = (change: Document): Buffer =>
  record(envelope({ logEvents: [{ id: "1", timestamp: at, message: "x", ...change }] }));
const whole = record(envelope({ text: "a text that is long enough to be cut and corrupted" }));
const corrupted = Buffer.from(whole);
corrupted[corrupted.length - 6]! ^= 0xff;

/** Records of the stream, which the bridge refuses before an event is seen. The path: words that the reason holds. */
const records: readonly (readonly [what: string, data: () => Uint8Array, code: string, path: string])[] = [
  ["text that is not packed", () => Buffer.from("{}"), "not_gzip", "1f 8b"],
  ["nothing", () => Buffer.alloc(0), "not_gzip", "1f 8b"],
  ["gzip, truncated", () => whole.subarray(0, whole.length - 12), "truncated_gzip", "end of"],
  ["gzip with a wrong checksum", () => corrupted, "corrupt_gzip", "check"],
  ["100 MB inflating", () => gzipSync(Buffer.alloc(100 << 20)), "inflate_limit", "larger"],
  ["an aggregate of another library", () => Buffer.from([0xf3, 0x89, 0x9a, 0xc2]), "kpl_aggregate", "aggregate"],
  ["JSON cut short", () => record('{"messageType":'), "bad_json", "JSON"],
  ["a list", () => record("[]"), "bad_envelope", "not an object"],
  ["no type", () => record({ logEvents: [] }), "bad_envelope", "messageType"],
  ["a group as a number", () => record(envelope({ logGroup: 7 })), "bad_envelope", "logGroup"],
  ["events as an object", () => record(envelope({ logEvents: {} })), "bad_envelope", "logEvents"],
  ["a clock that is none", () => record({ messageType: "WEIR_CLOCK", clockMs: "x" }), "bad_envelope", "clockMs"],
  ["an unknown type", () => record(envelope({ messageType: "X" })), "unknown_type", "messageType"],
  [
    "a clock in the future",
    () => record({ messageType: "WEIR_CLOCK", clockMs: at + 1e9 }),
    "future_timestamp",
    "clock",
  ],
  ["an event in the future", () => withEvent({ timestamp: at + 1e9 }), "future_timestamp", "event"],
  ["an event of a negative time", () => withEvent({ timestamp: -1 }), "bad_event", "timestamp"],
  ["an event without a message", () => withEvent({ message: null }), "bad_event", "timestamp"],
  [
    "an event beyond a message of Kafka",
    () => withEvent({ message: "x".repeat(MAX_EVENT_BYTES) }),
    "oversize_event",
    "larger",
  ],
];

export const malformedRecords: readonly Malformed[] = records.map(([what, data, code, path]) => {
  const outcome = () => {
    const decoded = decodeRecord(data(), { arrivalMs: at, clockMode: "records" });
    const refused = decoded.kind === "data" ? decoded.items[0] : decoded;
    if (refused && "reason" in refused)
      return { code: refused.code, path: refused.reason.includes(path) ? path : refused.reason, kind: "dead" };
    return { code: undefined, path: decoded.kind, kind: decoded.kind };
  };
  return { what, code, path, kind: "dead", outcome };
});
