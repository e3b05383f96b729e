import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Level, type LogLine, type MetricSamples, parseEvent } from "../../processors/parse/index.ts";

const at = Date.UTC(2024, 0, 2, 3, 4, 5);
const parse = (group: string, message: string) => parseEvent(group, "stream", message, at);
const line = (group: string, message: string) => parse(group, message) as LogLine;

describe("source and level", () => {
  const cases: readonly [what: string, group: string, message: string, source: string, level: Level, text: string][] = [
    [
      "syslog",
      "/aws/ec2/system",
      "Jan  2 03:04:05 host-1 sshd[411]: Accepted publickey for ec2-user",
      "system",
      "info",
      "Accepted publickey for ec2-user",
    ],
    [
      "syslog that states a level",
      "/aws/ec2/system",
      "Jan 12 03:04:05 host-1 app: ERROR cannot bind",
      "system",
      "error",
      "ERROR cannot bind",
    ],
    [
      "syslog with a lower-case level before a colon",
      "/aws/ec2/system",
      "Jan 12 03:04:05 host-1 app[3]: warning: low space",
      "system",
      "warn",
      "warning: low space",
    ],
    [
      "syslog with a priority",
      "/aws/ec2/system",
      "<11>Jan 12 03:04:05 host-1 app[3]: it broke",
      "system",
      "error",
      "it broke",
    ],
    [
      "syslog of RFC 5424 time",
      "/aws/ec2/system",
      "2024-01-02T03:04:05.123+00:00 host-1 kernel: [ 12.5] Out of memory: Killed process 7",
      "system",
      "critical",
      "[ 12.5] Out of memory: Killed process 7",
    ],
    [
      "syslog by its shape alone",
      "whatever",
      "Jan  2 03:04:05 host-1 cron[1]: (root) CMD (true)",
      "system",
      "info",
      "(root) CMD (true)",
    ],
    [
      "a line of an unknown shape in the system group",
      "/aws/ec2/system",
      "[   12.3] usb 1-1: new device",
      "system",
      "info",
      "[   12.3] usb 1-1: new device",
    ],
    [
      "PostgreSQL of RDS",
      "/aws/rds/postgresql",
      "2024-01-02 03:04:05 UTC:10.0.0.4(5432):app@shop:[811]:ERROR:  deadlock detected",
      "database",
      "error",
      "deadlock detected",
    ],
    [
      "PostgreSQL of RDS with the long prefix",
      "/aws/rds/instance/x/postgresql",
      "2024-01-02 03:04:05.123 UTC:10.0.0.4(5432):app@shop:[811]:3:40P01:2024-01-02 03:00:00 UTC:1/2:0:FATAL:  too many connections",
      "database",
      "critical",
      "too many connections",
    ],
    [
      "PostgreSQL with the default prefix",
      "/aws/rds/postgresql",
      "2024-01-02 03:04:05.123 UTC [811] app@shop LOG:  checkpoint complete",
      "database",
      "info",
      "checkpoint complete",
    ],
    [
      "PostgreSQL warning",
      "/aws/rds/postgresql",
      "2024-01-02 03:04:05 UTC::@:[9]:WARNING:  there is no transaction in progress",
      "database",
      "warn",
      "there is no transaction in progress",
    ],
    [
      "PostgreSQL continuation",
      "/aws/rds/postgresql",
      "2024-01-02 03:04:05 UTC:h(1):a@b:[9]:STATEMENT:  SELECT 'ERROR:  x'",
      "database",
      "info",
      "SELECT 'ERROR:  x'",
    ],
    [
      "PostgreSQL text that mentions an error",
      "/aws/rds/postgresql",
      "2024-01-02 03:04:05 UTC:h(1):a@b:[9]:LOG:  the word ERROR:  in it",
      "database",
      "info",
      "the word ERROR:  in it",
    ],
    [
      "Lambda start",
      "/aws/lambda/resize",
      "START RequestId: 6f1d8a0e-1111-2222-3333-444455556666 Version: 7",
      "function",
      "info",
      "START RequestId: 6f1d8a0e-1111-2222-3333-444455556666 Version: 7",
    ],
    [
      "Lambda report of a failure",
      "/aws/lambda/resize",
      "REPORT RequestId: 6f1d\tDuration: 3.1 ms\tStatus: timeout",
      "function",
      "error",
      "REPORT RequestId: 6f1d\tDuration: 3.1 ms\tStatus: timeout",
    ],
    [
      "Lambda time-out",
      "/aws/lambda/resize",
      "2024-01-02T03:04:05.123Z 6f1d8a0e-1111-2222-3333-444455556666 Task timed out after 3.00 seconds",
      "function",
      "error",
      "2024-01-02T03:04:05.123Z 6f1d8a0e-1111-2222-3333-444455556666 Task timed out after 3.00 seconds",
    ],
    [
      "Lambda text",
      "/aws/lambda/resize",
      "2024-01-02T03:04:05.123Z\t6f1d8a0e-1111-2222-3333-444455556666\tWARN\tslow upload",
      "function",
      "warn",
      "slow upload",
    ],
    [
      "Lambda JSON",
      "/aws/lambda/resize",
      '{"timestamp":"2024-01-02T03:04:05Z","level":"ERROR","message":"no bucket","requestId":"6f"}',
      "function",
      "error",
      "no bucket",
    ],
    [
      "Lambda platform report of a failure",
      "/aws/lambda/resize",
      '{"time":"2024-01-02T03:04:05Z","type":"platform.report","record":{"requestId":"6f","status":"timeout"}}',
      "function",
      "error",
      '{"time":"2024-01-02T03:04:05Z","type":"platform.report","record":{"requestId":"6f","status":"timeout"}}',
    ],
    [
      "pino",
      "/application/logs",
      '{"level":50,"time":1,"pid":2,"msg":"payment refused"}',
      "application",
      "error",
      "payment refused",
    ],
    [
      "bunyan",
      "/application/logs",
      '{"name":"a","hostname":"h","pid":1,"level":40,"msg":"slow","v":0}',
      "application",
      "warn",
      "slow",
    ],
    ["winston", "/application/logs", '{"level":"warn","message":"retrying"}', "application", "warn", "retrying"],
    [
      "logback",
      "/application/logs",
      '{"@timestamp":"x","level":"ERROR","logger_name":"c.x","message":"boom","stack_trace":"…"}',
      "application",
      "error",
      "boom",
    ],
    [
      "python-json-logger",
      "/application/logs",
      '{"levelname":"CRITICAL","message":"gone"}',
      "application",
      "critical",
      "gone",
    ],
    ["structlog", "/application/logs", '{"event":"cache miss","level":"debug"}', "application", "debug", "cache miss"],
    ["ECS fields", "/application/logs", '{"log.level":"error","message":"x"}', "application", "error", "x"],
    [
      "ECS fields nested",
      "/application/logs",
      '{"log":{"level":"fatal"},"message":"x"}',
      "application",
      "critical",
      "x",
    ],
    ["a level as digits in a string", "/application/logs", '{"level":"30","msg":"x"}', "application", "info", "x"],
    [
      "JSON without a level",
      "/application/logs",
      '{"message":"error budget: 0 errors"}',
      "application",
      "info",
      "error budget: 0 errors",
    ],
    [
      "text with stamp and level",
      "/application/logs",
      "2024-01-02 03:04:05,123 ERROR com.x.Y - failed",
      "application",
      "error",
      "2024-01-02 03:04:05,123 ERROR com.x.Y - failed",
    ],
    [
      "text with thread and level",
      "/application/logs",
      "03:04:05.123 [main] WARN  c.x.Y - slow",
      "application",
      "warn",
      "03:04:05.123 [main] WARN  c.x.Y - slow",
    ],
    ["python's default", "/application/logs", "ERROR:root:failed", "application", "error", "ERROR:root:failed"],
    [
      "python's fields set off by dashes",
      "/application/logs",
      "2024-01-02 03:04:05 - shop.cart - WARNING - slow",
      "application",
      "warn",
      "2024-01-02 03:04:05 - shop.cart - WARNING - slow",
    ],
    [
      "logfmt",
      "/application/logs",
      "time=2024-01-02 level=error msg=failed",
      "application",
      "error",
      "time=2024-01-02 level=error msg=failed",
    ],
    [
      "a bracketed level",
      "/application/logs",
      "[error] 12#0: upstream timed out",
      "application",
      "error",
      "[error] 12#0: upstream timed out",
    ],
    [
      "an exception's head",
      "/application/logs",
      "java.lang.IllegalStateException: no session",
      "application",
      "error",
      "java.lang.IllegalStateException: no session",
    ],
    ["an api group", "/aws/apigateway/shop", "WARN throttled", "api", "warn", "WARN throttled"],
    ["an unknown group", "somewhere", "hello", "other", "info", "hello"],
  ];
  test.each(cases)("%s", (_, group, message, source, level, text) => {
    expect(line(group, message)).toMatchObject({ kind: "log", timestampMs: at, source, level, message: text });
  });

  test.each([
    "0 errors found",
    "GET /api/errors 200",
    "error_count=0 done",
    "Error rate is fine",
    "user said ERROR",
    "the ERROR: is in the middle",
    "warning lights are off",
    "errors: 0",
    "no panic: all good",
  ])("a word in the text is not a level: %s", (message) => {
    expect(line("/application/logs", message).level).toBe("info");
  });

  test("the document of a JSON line is its metadata", () => {
    expect(line("/application/logs", '{"level":30,"msg":"x","orderId":7}').metadata).toMatchObject({ orderId: 7 });
    expect("metadata" in line("/application/logs", "x")).toBe(false);
  });
});

const document = (more: Record<string, unknown>, directive: Record<string, unknown> = {}) =>
  JSON.stringify({
    _aws: {
      Timestamp: 999,
      CloudWatchMetrics: [
        {
          Namespace: "N",
          Dimensions: [["InstanceId"]],
          Metrics: [{ Name: "CPUUtilization", Unit: "Percent" }],
          ...directive,
        },
      ],
    },
    InstanceId: "i-1",
    CPUUtilization: 12.5,
    ...more,
  });

describe("embedded metric format", () => {
  const metrics = (message: string, group = "anything") => parse(group, message) as MetricSamples;

  test("a valid document gives samples with their unit and the instance", () => {
    expect(metrics(document({}))).toEqual({
      kind: "metrics",
      timestampMs: at,
      source: "metric",
      entity: "i-1",
      samples: [{ name: "CPUUtilization", values: [12.5], unit: "Percent" }],
    });
  });

  test("an array of values is as many observations", () => {
    expect(metrics(document({ CPUUtilization: [1, 2, 3] })).samples[0]!.values).toEqual([1, 2, 3]);
  });

  test("a metric under several dimension sets or directives is taken once", () => {
    const message = document({ Zone: "z" }, { Dimensions: [["Zone"], ["Zone", "InstanceId"], []] });
    expect(metrics(message)).toMatchObject({ entity: "i-1" });
    expect(metrics(message).samples).toHaveLength(1);
    const twice = JSON.parse(message);
    twice._aws.CloudWatchMetrics.push(twice._aws.CloudWatchMetrics[0]);
    expect(metrics(JSON.stringify(twice)).samples).toHaveLength(1);
  });

  test.each([
    ["cpu_usage_active", 30, "CPUUtilization", 30],
    ["cpu_usage_idle", 30, "CPUUtilization", 70],
    ["mem_used_percent", 30, "MemoryUtilization", 30],
    ["mem_available_percent", 30, "MemoryUtilization", 70],
    ["Processor % Processor Time", 30, "CPUUtilization", 30],
    ["Processor % Idle Time", 30, "CPUUtilization", 70],
    ["Memory % Committed Bytes In Use", 30, "MemoryUtilization", 30],
    ["net_bytes_recv", 30, "NetworkIn", 30],
    ["net_bytes_sent", 30, "NetworkOut", 30],
    ["diskio_reads", 30, "DiskReadOps", 30],
    ["diskio_writes", 30, "DiskWriteOps", 30],
    ["queue.depth", 30, "queue.depth", 30],
  ])("%s = %d is known as %s = %d", (theirs, value, ours, expected) => {
    const message = document({ [theirs]: value }, { Metrics: [{ Name: theirs }] });
    expect(metrics(message).samples).toEqual([{ name: ours, values: [expected], unit: "None" }]);
  });

  test("on Lambda a stamp and a request id may stand before the document, elsewhere not", () => {
    const message = `2024-01-02T03:04:05.123Z\t6f\tINFO\t${document({})}`;
    expect(metrics(message, "/aws/lambda/f").kind).toBe("metrics");
    expect(parse("/application/logs", message).kind).toBe("log");
  });

  test.each([
    ["a value that is text", document({ CPUUtilization: "12" })],
    ["a value that is null", document({ CPUUtilization: null })],
    ["a value that is missing", document({}, { Metrics: [{ Name: "Absent" }] })],
    ["a nested target", document({ A: { b: 1 } }, { Metrics: [{ Name: "A.b" }] })],
    ["a name found only on the prototype", document({}, { Metrics: [{ Name: "constructor" }] })],
    ["text among the values", document({ CPUUtilization: [1, "2"] })],
    ["more than 100 values", document({ CPUUtilization: Array(101).fill(1) })],
    ["more than 100 metrics", document({}, { Metrics: Array(101).fill({ Name: "CPUUtilization" }) })],
    ["a dimension that is a number", document({ InstanceId: 7 })],
    ["a dimension that is missing", document({}, { Dimensions: [["Gone"]] })],
    ["dimensions of a wrong shape", document({}, { Dimensions: ["InstanceId"] })],
    ["no dimensions", document({}, { Dimensions: undefined })],
    ["no namespace", document({}, { Namespace: undefined })],
    ["no metrics", document({}, { Metrics: undefined })],
    ["a stamp that is text", document({}).replace("999", '"now"')],
    ["directives of a wrong shape", '{"_aws":{"Timestamp":1,"CloudWatchMetrics":{}}}'],
  ])("%s: the event stays a log line, marked as such", (_, message) => {
    expect(parse("/application/logs", message)).toMatchObject({
      kind: "log",
      flaw: "emf_shape",
      metadata: JSON.parse(message),
    });
  });

  test("text that only looks like JSON is a plain line, marked as such where it begins like an object", () => {
    expect(parse("/application/logs", '{"_aws": {')).toMatchObject({
      kind: "log",
      message: '{"_aws": {',
      flaw: "json_broken",
    });
    expect(parse("/application/logs", "[1,2]")).not.toHaveProperty("flaw");
  });

  test("a member named __proto__ changes nothing but its own document", () => {
    parse("/application/logs", '{"__proto__":{"level":"fatal"},"message":"x"}');
    expect(({} as { level?: string }).level).toBeUndefined();
  });
});

test("no text in any group makes it throw or take long", () => {
  const groups = ["/aws/ec2/system", "/aws/rds/postgresql", "/aws/lambda/f", "/application/logs", "x"];
  const heads = ["", "{", "2024-01-02 03:04:05 ", "Jan  2 03:04:05 h ", "<34>", '{"_aws":', "[[[[", "\u0000", "\ud800"];
  fc.assert(
    fc.property(
      fc.constantFrom(...groups),
      fc.constantFrom(...heads),
      fc.string({ unit: "binary", maxLength: 300 }),
      (g, h, t) => {
        expect(["log", "metrics"]).toContain(parse(g, h + t).kind);
      },
    ),
    { numRuns: 2000 },
  );
  for (const bait of [
    "a.".repeat(500_000),
    "A".repeat(1_000_000),
    "[".repeat(1_000_000),
    "{".repeat(1_000_000),
    " ".repeat(1_000_000),
    '{"a":'.repeat(200_000),
  ]) {
    for (const group of groups) {
      for (const head of heads) expect(["log", "metrics"]).toContain(parse(group, head + bait).kind);
    }
  }
});
