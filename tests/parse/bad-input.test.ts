import { describe, expect, test } from "vitest";
import {
  MAX_MESSAGE_LENGTH,
  type ParsedEvent,
  type ParseFlaw,
  parseEvent,
  parseFlaws,
} from "../../processors/parse/index.ts";

const at = Date.UTC(2024, 0, 2, 3, 4, 5);
const parse = (message: string, group = "/application/logs", timestampMs = at) =>
  parseEvent(group, "stream", message, timestampMs);
const SYSTEM = "/aws/ec2/system";
const LAMBDA = "/aws/lambda/f";

/** Changes an embedded metric document that is right, at one place. */
function emf(
  change: (document: Record<string, unknown>, aws: Record<string, unknown>, directive: Record<string, unknown>) => void,
) {
  const directive = { Namespace: "N", Dimensions: [["InstanceId"]], Metrics: [{ Name: "CPU", Unit: "Percent" }] };
  const document = { _aws: { Timestamp: at, CloudWatchMetrics: [directive] }, InstanceId: "i-1", CPU: 12.5 };
  change(document, document._aws, directive);
  return JSON.stringify(document);
}

function osMetrics(change: Record<string, unknown>) {
  return JSON.stringify({ instanceID: "d", instanceResourceID: "db-A", cpuUtilization: { total: 1 }, ...change });
}

function datum(change: Record<string, unknown>) {
  const value = { count: 1, sum: 1, max: 1, min: 1 };
  return JSON.stringify({
    metric_stream_name: "s",
    metric_name: "m",
    namespace: "n",
    dimensions: {},
    value,
    ...change,
  });
}

const nested = (open: string, depth: number, close: string) => open.repeat(depth) + close.repeat(depth);

/** Every one stays a log line, with this code at this place. */
const refused: readonly [what: string, message: string, flaw: ParseFlaw, at: string | undefined, group?: string][] = [
  ["a stamp as text", emf((_, aws) => (aws.Timestamp = "now")), "emf_shape", "_aws.Timestamp"],
  ["a stamp that is null", emf((_, aws) => (aws.Timestamp = null)), "emf_shape", "_aws.Timestamp"],
  ["no stamp", emf((_, aws) => delete aws.Timestamp), "emf_shape", "_aws.Timestamp"],
  ["a stamp beyond numbers", emf(() => {}).replace(`${at}`, "1e999"), "emf_shape", "_aws.Timestamp"],
  ["directives as an object", emf((_, aws) => (aws.CloudWatchMetrics = {})), "emf_shape", "_aws.CloudWatchMetrics"],
  ["directives as null", emf((_, aws) => (aws.CloudWatchMetrics = null)), "emf_shape", "_aws.CloudWatchMetrics"],
  ["a directive as text", emf((_, aws) => (aws.CloudWatchMetrics = ["x"])), "emf_shape", "_aws.CloudWatchMetrics[]"],
  ["a directive as a list", emf((_, aws) => (aws.CloudWatchMetrics = [[]])), "emf_shape", "_aws.CloudWatchMetrics[]"],
  ["a namespace as a number", emf((_, __, d) => (d.Namespace = 7)), "emf_shape", "Namespace"],
  ["no namespace", emf((_, __, d) => delete d.Namespace), "emf_shape", "Namespace"],
  ["no dimensions", emf((_, __, d) => delete d.Dimensions), "emf_shape", "Dimensions"],
  ["dimensions as text", emf((_, __, d) => (d.Dimensions = "InstanceId")), "emf_shape", "Dimensions"],
  ["dimensions one level flat", emf((_, __, d) => (d.Dimensions = ["InstanceId"])), "emf_shape", "Dimensions[]"],
  ["31 dimensions", emf((_, __, d) => (d.Dimensions = [Array(31).fill("InstanceId")])), "emf_shape", "Dimensions[]"],
  ["a dimension's name as a number", emf((_, __, d) => (d.Dimensions = [[1]])), "emf_shape", "Dimensions[][]"],
  ["a dimension as a number", emf((doc) => (doc.InstanceId = 7)), "emf_shape", "dimension InstanceId"],
  ["a dimension as null", emf((doc) => (doc.InstanceId = null)), "emf_shape", "dimension InstanceId"],
  ["a dimension too long", emf((doc) => (doc.InstanceId = "x".repeat(1_025))), "emf_shape", "dimension InstanceId"],
  ["a dimension that is not there", emf((_, __, d) => (d.Dimensions = [["Gone"]])), "emf_shape", "dimension Gone"],
  [
    "a dimension of every object",
    emf((_, __, d) => (d.Dimensions = [["toString"]])),
    "emf_shape",
    "dimension toString",
  ],
  [
    "a dimension named __proto__",
    emf((_, __, d) => (d.Dimensions = [["__proto__"]])),
    "emf_shape",
    "dimension __proto__",
  ],
  ["no metrics", emf((_, __, d) => delete d.Metrics), "emf_shape", "Metrics"],
  ["101 metrics", emf((_, __, d) => (d.Metrics = Array(101).fill({ Name: "CPU" }))), "emf_shape", "Metrics"],
  ["a metric as text", emf((_, __, d) => (d.Metrics = ["CPU"])), "emf_shape", "Metrics[].Name"],
  ["a metric without a name", emf((_, __, d) => (d.Metrics = [{}])), "emf_shape", "Metrics[].Name"],
  ["a metric's name as a number", emf((_, __, d) => (d.Metrics = [{ Name: 1 }])), "emf_shape", "Metrics[].Name"],
  ["a metric that is not there", emf((_, __, d) => (d.Metrics = [{ Name: "Gone" }])), "emf_shape", "value of Gone"],
  ["a metric of every object", emf((_, __, d) => (d.Metrics = [{ Name: "valueOf" }])), "emf_shape", "value of valueOf"],
  [
    "a metric named constructor",
    emf((_, __, d) => (d.Metrics = [{ Name: "constructor" }])),
    "emf_shape",
    "value of constructor",
  ],
  [
    "a metric named __proto__",
    emf((_, __, d) => (d.Metrics = [{ Name: "__proto__" }])),
    "emf_shape",
    "value of __proto__",
  ],
  [
    "a long metric name",
    emf((_, __, d) => (d.Metrics = [{ Name: "n".repeat(5e3) }])),
    "emf_shape",
    `value of ${"n".repeat(64)}`,
  ],
  [
    "a nested metric",
    emf((doc, _, d) => Object.assign(doc, { A: { b: 1 } }, Object.assign(d, { Metrics: [{ Name: "A.b" }] }) && {})),
    "emf_shape",
    "value of A.b",
  ],
  ["a value as text", emf((doc) => (doc.CPU = "12.5")), "emf_shape", "value of CPU"],
  ["a value as text NaN", emf((doc) => (doc.CPU = "NaN")), "emf_shape", "value of CPU"],
  ["a value that was NaN", emf((doc) => (doc.CPU = Number.NaN)), "emf_shape", "value of CPU"],
  ["a value as truth", emf((doc) => (doc.CPU = true)), "emf_shape", "value of CPU"],
  ["a value as an empty object", emf((doc) => (doc.CPU = {})), "emf_shape", "value of CPU"],
  ["values with text among them", emf((doc) => (doc.CPU = [1, "2"])), "emf_shape", "value of CPU"],
  ["values with null among them", emf((doc) => (doc.CPU = [1, null])), "emf_shape", "value of CPU"],
  ["values in lists", emf((doc) => (doc.CPU = [[1]])), "emf_shape", "value of CPU"],
  ["101 values", emf((doc) => (doc.CPU = Array(101).fill(1))), "emf_shape", "value of CPU"],
  [
    "a summary with text",
    emf((doc) => (doc.CPU = { Min: "1", Max: 1, Sum: 1, Count: 1 })),
    "emf_shape",
    "value of CPU",
  ],
  ["a summary without its count", emf((doc) => (doc.CPU = { Min: 1, Max: 1, Sum: 1 })), "emf_shape", "value of CPU"],
  [
    "a summary that contradicts itself",
    emf((doc) => (doc.CPU = { Min: 5, Max: 1, Sum: 6, Count: 2 })),
    "emf_shape",
    "value of CPU",
  ],
  [
    "a summary whose sum is too large",
    emf((doc) => (doc.CPU = { Min: 1, Max: 2, Sum: 9, Count: 2 })),
    "emf_shape",
    "value of CPU",
  ],
  [
    "a summary of a billion",
    emf((doc) => (doc.CPU = { Min: 1, Max: 1, Sum: 1e9, Count: 1e9 })),
    "emf_shape",
    "value of CPU",
  ],
  ["a negative count", emf((doc) => (doc.CPU = { Values: [1], Counts: [-1] })), "emf_shape", "value of CPU"],
  ["a fractional count", emf((doc) => (doc.CPU = { Values: [1], Counts: [1.5] })), "emf_shape", "value of CPU"],
  ["a count as text", emf((doc) => (doc.CPU = { Values: [1], Counts: ["1"] })), "emf_shape", "value of CPU"],
  ["more counts than values", emf((doc) => (doc.CPU = { Values: [1], Counts: [1, 1] })), "emf_shape", "value of CPU"],
  ["counts without values", emf((doc) => (doc.CPU = { Values: null, Counts: [1] })), "emf_shape", "value of CPU"],
  ["a billion by its counts", emf((doc) => (doc.CPU = { Values: [1], Counts: [1e9] })), "emf_shape", "value of CPU"],
  [
    "duplicate keys, the last one wrong",
    emf(() => {}).replace('"CPU":12.5', '"CPU":12.5,"CPU":"x"'),
    "emf_shape",
    "value of CPU",
  ],
  [
    "wrong behind Lambda's prefix",
    `2024-01-02T03:04:05.123Z\t6f\tINFO\t${emf((doc) => (doc.CPU = "1"))}`,
    "emf_shape",
    "value of CPU",
    LAMBDA,
  ],

  ["instance as a number", osMetrics({ instanceID: 7 }), "os_metrics_shape", "instanceID"],
  ["no instance", osMetrics({ instanceID: undefined }), "os_metrics_shape", "instanceID"],
  ["an empty instance", osMetrics({ instanceID: "" }), "os_metrics_shape", "instanceID"],
  ["processor as text", osMetrics({ cpuUtilization: "10" }), "os_metrics_shape", "cpuUtilization.total"],
  ["processor as null", osMetrics({ cpuUtilization: null }), "os_metrics_shape", "cpuUtilization.total"],
  ["processor as a list", osMetrics({ cpuUtilization: [10] }), "os_metrics_shape", "cpuUtilization.total"],
  [
    "processor's total as text",
    osMetrics({ cpuUtilization: { total: "10" } }),
    "os_metrics_shape",
    "cpuUtilization.total",
  ],

  ["a datum's name as a number", datum({ metric_name: 1 }), "metric_stream_shape", "metric_name"],
  ["a datum's name as null", datum({ metric_name: null }), "metric_stream_shape", "metric_name"],
  ["a datum without namespace", datum({ namespace: undefined }), "metric_stream_shape", "namespace"],
  ["a datum's dimensions as a list", datum({ dimensions: [] }), "metric_stream_shape", "dimensions"],
  ["a datum without dimensions", datum({ dimensions: undefined }), "metric_stream_shape", "dimensions"],
  ["a datum's value as a number", datum({ value: 1 }), "metric_stream_shape", "value"],
  ["a datum's value as null", datum({ value: null }), "metric_stream_shape", "value"],
  ["a datum's sum as text", datum({ value: { count: 1, sum: "1", max: 1, min: 1 } }), "metric_stream_shape", "value"],
  ["a datum without count", datum({ value: { sum: 1, max: 1, min: 1 } }), "metric_stream_shape", "value"],
  ["a datum of a million", datum({ value: { count: 1e6, sum: 1e6, max: 1, min: 1 } }), "metric_stream_shape", "value"],

  ["an object cut short", '{"level":"error","msg":"x', "json_broken", undefined],
  ["an object cut short on Lambda", '{"level":"error"', "json_broken", undefined, LAMBDA],
  ["an object cut short in a system group", '{"level":"error"', "json_broken", undefined, SYSTEM],
  ["an object cut short behind blanks", '  \n{"a":', "json_broken", undefined],
  ["an embedded document cut short", emf(() => {}).slice(0, -9), "json_broken", undefined],
  ["a text after the object", '{"a":1} and more', "json_broken", undefined],
  ["two objects", '{"a":1}{"b":2}', "json_broken", undefined],
  ["two objects on lines", '{"a":1}\n{"b":2}', "json_broken", undefined],
  ["single quotes", "{'level':'error'}", "json_broken", undefined],
  ["keys without quotes", "{level:50}", "json_broken", undefined],
  ["a trailing comma", '{"level":50,}', "json_broken", undefined],
  ["NaN as a word", '{"level":NaN}', "json_broken", undefined],
  ["Infinity as a word", '{"level":-Infinity}', "json_broken", undefined],
  ["a raw line break in text", '{"msg":"a\nb"}', "json_broken", undefined],
  ["NUL in text", '{"msg":"a\u0000b"}', "json_broken", undefined],
  ["a bad escape", '{"msg":"\\x41"}', "json_broken", undefined],
  ["a number with a leading zero", '{"level":050}', "json_broken", undefined],
  ["a comment", '{/* x */"level":50}', "json_broken", undefined],
  ["only a brace", "{", "json_broken", undefined],
  ["an open text for a megabyte", `{"a":"${"x".repeat(1e6)}`, "json_broken", undefined],
  ["backslashes for a megabyte", `{"a":"${"\\".repeat(1e6)}`, "json_broken", undefined],

  ["lists in lists", `{"a":${nested("[", 600, "]")}}`, "json_too_deep", undefined],
  ["objects in objects", `${'{"a":'.repeat(600)}1${"}".repeat(600)}`, "json_too_deep", undefined],
  ["a hundred thousand levels", `{"a":${nested("[", 100_000, "]")}}`, "json_too_deep", undefined],
  ["open lists for a megabyte", `{"a":${"[".repeat(1e6)}`, "json_too_deep", undefined],
  [
    "embedded metrics, deep",
    emf((doc) => (doc.x = 0)).replace('"x":0', `"x":${nested("[", 600, "]")}`),
    "json_too_deep",
    undefined,
  ],

  ["a line beyond what an event may hold", "x".repeat(MAX_MESSAGE_LENGTH + 1), "too_long", undefined],
  ["a document beyond it", JSON.stringify({ a: "x".repeat(MAX_MESSAGE_LENGTH) }), "too_long", undefined],
  ["embedded metrics beyond it", emf((doc) => (doc.x = "x".repeat(MAX_MESSAGE_LENGTH))), "too_long", undefined],
  ["blanks beyond it", " ".repeat(MAX_MESSAGE_LENGTH + 1), "too_long", undefined, LAMBDA],

  ["a priority above 191", "<999>Jan 12 03:04:05 h app: x", "syslog_shape", "priority", SYSTEM],
  ["a priority of 192", "<192>1 2024-01-02T03:04:05Z h app - - - x", "syslog_shape", "priority", SYSTEM],
  [
    "structured data without an end",
    '<34>1 2024-01-02T03:04:05Z h app - - [a b="c" x',
    "syslog_shape",
    "structured data",
    SYSTEM,
  ],
  [
    "a quote without an end",
    '<34>1 2024-01-02T03:04:05Z h app - - [a b="c] x',
    "syslog_shape",
    "structured data",
    SYSTEM,
  ],
  [
    "a backslash at the end",
    '<34>1 2024-01-02T03:04:05Z h app - - [a b="\\',
    "syslog_shape",
    "structured data",
    SYSTEM,
  ],
  [
    "a second element without an end",
    '<34>1 2024-01-02T03:04:05Z h app - - [a b="c"][',
    "syslog_shape",
    "structured data",
    SYSTEM,
  ],

  ["NUL in a line", "ERROR a\u0000b", "nul_bytes", undefined],
  ["UTF-16 read as UTF-8", [..."ERROR x"].map((c) => `${c}\u0000`).join(""), "nul_bytes", undefined],
  ["NUL alone", "\u0000", "nul_bytes", undefined],
  ["NUL in syslog", "Jan 12 03:04:05 h app: \u0000", "nul_bytes", undefined, SYSTEM],
  ["NUL on Lambda", "START RequestId: \u0000", "nul_bytes", undefined, LAMBDA],
  ["a byte that was not UTF-8", Buffer.from([0x45, 0xff, 0x41]).toString(), "not_utf8", undefined],
  ["Latin-1 read as UTF-8", Buffer.from("caf\xe9", "latin1").toString(), "not_utf8", undefined],
  ["a cut character", Buffer.from("naïve").subarray(0, 3).toString(), "not_utf8", undefined],
  ["bytes of gzip read as text", Buffer.from([0x1f, 0x8b, 0x08, 0xff]).toString(), "not_utf8", undefined],
  ["a bad byte in a document", `{"level":50,"msg":"${Buffer.from([0xff]).toString()}"}`, "not_utf8", undefined],
];

describe("an event its reader refuses stays a log line with a code", () => {
  test.each(refused)("%s", (_, message, flaw, flawAt, group) => {
    const parsed = parse(message, group);
    expect(parsed.kind).toBe("log");
    expect([parsed.flaw, parsed.flawAt]).toEqual([flaw, flawAt]);
    // The text is kept, but for what lies behind the head of a line that is too long.
    if (parsed.kind === "log" && parsed.metadata === undefined && flaw !== "too_long") {
      expect(parsed.message).toBe(message);
    }
  });

  test("every code is met", () => {
    expect(new Set([...refused.map(([, , flaw]) => flaw), "time_range"])).toEqual(new Set(parseFlaws));
  });
});

describe("an event time that cannot be", () => {
  const times: readonly [string, number][] = [
    ["negative", -1],
    ["zero", 0],
    ["1970: seconds taken for milliseconds", Math.floor(at / 1_000)],
    ["the last millisecond of 1999", Date.UTC(2000, 0) - 1],
    ["2100", Date.UTC(2100, 0)],
    ["microseconds taken for milliseconds", at * 1_000],
    ["a fraction", at + 0.5],
    ["not a number", Number.NaN],
    ["infinite", Number.POSITIVE_INFINITY],
  ];
  test.each(times)("%s is told and passed through, in a line and in metrics", (_, time) => {
    expect(parse("hello", "g", time)).toMatchObject({ kind: "log", timestampMs: time, flaw: "time_range" });
    expect(
      parse(
        emf(() => {}),
        "g",
        time,
      ),
    ).toMatchObject({ kind: "metrics", timestampMs: time, flaw: "time_range" });
  });

  test.each([
    ["13 digits", at],
    ["the first of 2000", Date.UTC(2000, 0)],
    ["the last of 2099", Date.UTC(2100, 0) - 1],
  ])("%s is in order", (_, time) => {
    expect(parse("hello", "g", time)).not.toHaveProperty("flaw");
  });

  test("a format's own code goes before it", () => {
    expect(parse("{", "g", -1)).toMatchObject({ flaw: "json_broken" });
  });
});

describe("odd input that is in order", () => {
  test("of duplicate keys the last one counts", () => {
    const document = emf(() => {}).replace('"CPU":12.5', '"CPU":"x","CPU":3');
    expect(parse(document)).toMatchObject({ kind: "metrics", samples: [{ values: [3] }] });
    expect(parse('{"level":"info","level":"error","msg":"a","msg":"b"}')).toMatchObject({
      level: "error",
      message: "b",
    });
  });

  test.each(["__proto__", "constructor", "prototype", "toString", "hasOwnProperty"])(
    "a member named %s changes neither other objects nor what is read",
    (key) => {
      const before = Object.getOwnPropertyNames(Object.prototype).length;
      const parsed = parse(`{"${key}":{"level":"fatal","polluted":true},"message":"x"}`);
      expect(parsed).toMatchObject({ kind: "log", level: "info", message: "x" });
      expect(({} as Record<string, unknown>).polluted).toBeUndefined();
      expect(Object.getOwnPropertyNames(Object.prototype)).toHaveLength(before);
    },
  );

  test("a metric may even be named __proto__, if it is there", () => {
    const document = emf((_, __, d) => (d.Metrics = [{ Name: "__proto__" }])).replace('"CPU":', '"__proto__":');
    expect(parse(document)).toMatchObject({ kind: "metrics", samples: [{ name: "__proto__", values: [12.5] }] });
  });

  test("a depth of 500 is read, brackets within text do not count", () => {
    expect(parse(`{"a":${nested("[", 499, "]")}}`)).toHaveProperty("metadata");
    expect(parse(`{"a":"${"[{".repeat(2_000)}\\"","b":1}`)).toHaveProperty("metadata");
  });

  test("a value may be huge or negative; judging it is not the parser's business", () => {
    expect(parse(emf((doc) => (doc.CPU = [-5, 1.7e308]))).kind).toBe("metrics");
  });

  test.each<[string, string]>([
    ["", "an empty line"],
    [" ", "a blank"],
    ["\n\n", "line breaks"],
    ["null", "null"],
    ["[]", "a list"],
    ["{}", "an empty object"],
    ["\ufeff{}", "a byte order mark"],
    ["\ud800", "half a character"],
    ["a\u2028b", "a line separator"],
  ])("%j is a line without a code", (message) => {
    expect(parse(message)).toMatchObject({ kind: "log", level: "info" });
    expect(parse(message)).not.toHaveProperty("flaw");
  });
});

describe("a megabyte that baits a pattern into going back and forth ends: going back and forth would take days", () => {
  const baits: Readonly<Record<string, string>> = {
    "names with dots": "a.",
    capitals: "A",
    "an exception that never is": "java.lang.E",
    "stamps of PostgreSQL": "2024-01-02 03:04:05 UTC:",
    "severities of PostgreSQL": "2024-01-02 03:04:05 LOG ERROR ",
    "heads of syslog": "Jan  2 03:04:05 ",
    "structured data": '[a b="\\"c"]',
    "open brackets": "[",
    "tabs of Lambda": "REPORT \t",
    "request ids": "6f1d8a0e-1111-2222-3333-444455556666 ",
    "coloured levels": "\u001b[31m",
    "braces before a marker": '{"_aws"',
    "equals signs": "level=",
    blanks: " ",
    digits: "1",
  };
  const heads = [
    "",
    "2024-01-02 03:04:05",
    "<34>1 2024-01-02T03:04:05Z h a - - ",
    "Jan  2 03:04:05 h ",
    "REPORT RequestId: ",
  ];
  test.each(Object.entries(baits))("%s", (_, bait) => {
    const text = bait.repeat(Math.ceil(1e6 / bait.length));
    for (const group of [SYSTEM, "/aws/rds/postgresql", LAMBDA, "/application/logs", "x"]) {
      for (const head of heads) {
        const parsed: ParsedEvent = parse(head + text, group);
        expect(parsed.kind).toBe("log");
      }
    }
  });
});
