import { describe, expect, test } from "vitest";
import { type Level, type LogLine, type MetricSamples, parseEvent } from "../../processors/parse/index.ts";

/** Lines written for these tests after the formats' public documentation. */
const at = Date.UTC(2024, 0, 2, 3, 4, 5);
const line = (group: string, message: string, stream = "stream") => parseEvent(group, stream, message, at) as LogLine;
const metrics = (document: unknown, stream = "stream", group = "g") =>
  parseEvent(group, stream, JSON.stringify(document), at) as MetricSamples;
const valuesOf = (parsed: MetricSamples) => Object.fromEntries(parsed.samples.map((s) => [s.name, s.values]));

type Case = readonly [what: string, message: string, level: Level, text: string, metadata: Record<string, unknown>];

describe("syslog", () => {
  const cases: readonly Case[] = [
    [
      "RFC 5424 with neither process nor structured data",
      "<34>1 2024-01-02T03:04:05.003Z db1.example su - ID47 - 'su root' failed for ann on pts/8",
      "critical",
      "'su root' failed for ann on pts/8",
      { host: "db1.example", program: "su", messageId: "ID47" },
    ],
    [
      "RFC 5424 with an offset and a byte order mark",
      "<165>1 2024-01-02T03:04:05.000003-07:00 192.0.2.1 myproc 8710 - - \ufeff%% It's time",
      "info",
      "%% It's time",
      { host: "192.0.2.1", program: "myproc", processId: "8710" },
    ],
    [
      "RFC 5424 with structured data that holds an escaped bracket and quote",
      '<163>1 2024-01-02T03:04:05Z h evnt - ID47 [ex@32473 iut="3" note="a\\]b\\"c"][pri@32473 class="high"] disk gone',
      "error",
      "disk gone",
      { structuredData: '[ex@32473 iut="3" note="a\\]b\\"c"][pri@32473 class="high"]' },
    ],
    ["RFC 5424 without a stamp or text", "<15>1 - h app - - -", "debug", "", { host: "h", program: "app" }],
    [
      "RFC 3164 with a process",
      "Jan  2 03:04:05 web-1 sshd[411]: Failed password for root",
      "info",
      "Failed password for root",
      { host: "web-1", program: "sshd", processId: "411" },
    ],
    ["RFC 3164 with a priority", "<30>Jan 12 03:04:05 web-1 systemd: Started x.", "info", "Started x.", {}],
    [
      "kernel ring buffer",
      "Jan 12 03:04:05 web-1 kernel: [12.5] java[7]: segfault at 0",
      "critical",
      "[12.5] java[7]: segfault at 0",
      { program: "kernel" },
    ],
    [
      "rsyslog's high-precision file format",
      "2024-01-02T03:04:05.123456+00:00 web-1 CRON[9]: (root) CMD (true)",
      "info",
      "(root) CMD (true)",
      { program: "CRON", processId: "9" },
    ],
  ];
  test.each(cases)("%s", (_, message, level, text, metadata) => {
    expect(line("/aws/ec2/system", message)).toMatchObject({ source: "system", level, message: text, metadata });
    expect(line("/aws/ec2/system", message)).not.toHaveProperty("flaw");
  });

  test("RFC 5424 is known by its shape in any group", () => {
    expect(line("elsewhere", cases[0]![1])).toMatchObject({ source: "system", level: "critical" });
  });
});

describe("PostgreSQL", () => {
  const short = "2024-01-02 03:04:05 UTC:10.0.0.4(5432):app@shop:[811]:";
  const long = "2024-01-02 03:04:05.123 UTC:10.0.0.4(5432):app@shop:[811]:3:40P01:2024-01-02 03:00:00 UTC:1/2:0:";
  const cases: readonly Case[] = [
    [
      "the short prefix of RDS",
      `${short}ERROR:  relation "x" does not exist at character 15`,
      "error",
      'relation "x" does not exist at character 15',
      { severity: "ERROR", host: "10.0.0.4", user: "app", database: "shop", processId: 811 },
    ],
    [
      "the short prefix with the t that its documentation prints",
      `${short}tFATAL:  password authentication failed`,
      "critical",
      "password authentication failed",
      { user: "app" },
    ],
    [
      "the long prefix of RDS",
      `${long}ERROR:  deadlock detected`,
      "error",
      "deadlock detected",
      { sqlState: "40P01", processId: 811, database: "shop" },
    ],
    [
      "a background worker, without host and user",
      "2024-01-02 03:04:05 UTC::@:[9]:LOG:  checkpoint starting: time",
      "info",
      "checkpoint starting: time",
      { severity: "LOG", processId: 9 },
    ],
    [
      "a local session",
      "2024-01-02 03:04:05 UTC:[local]:rdsadmin@rdsadmin:[77]:WARNING:  out of shared memory",
      "warn",
      "out of shared memory",
      { host: "[local]", user: "rdsadmin" },
    ],
    [
      "a slow statement over lines",
      `${short}LOG:  duration: 1523.250 ms  statement: SELECT 1\n\tFROM t\n\tWHERE x`,
      "info",
      "duration: 1523.250 ms  statement: SELECT 1\n\tFROM t\n\tWHERE x",
      { durationMs: 1523.25 },
    ],
    [
      "a prepared statement",
      `${short}LOG:  duration: 8.1 ms  execute <unnamed>: SELECT $1`,
      "info",
      "duration: 8.1 ms  execute <unnamed>: SELECT $1",
      { durationMs: 8.1 },
    ],
    [
      "the stamp's zone as an offset",
      "2024-01-02 03:04:05 +03:h(1):u@d:[9]:PANIC:  could not write",
      "critical",
      "could not write",
      { user: "u" },
    ],
    ...["DETAIL", "HINT", "CONTEXT", "STATEMENT", "QUERY", "LOCATION"].map(
      (severity): Case => [
        `${severity} carries another line on and fails nothing`,
        `${short}${severity}:  ERROR:  not one`,
        "info",
        "ERROR:  not one",
        { severity },
      ],
    ),
    ["debug output", `${short}DEBUG2:  parse <unnamed>`, "debug", "parse <unnamed>", {}],
  ];
  test.each(cases)("%s", (_, message, level, text, metadata) => {
    expect(line("/aws/rds/instance/x/postgresql", message)).toMatchObject({
      source: "database",
      level,
      message: text,
      metadata,
    });
  });

  test("a further line of a statement, which begins with a tab, states nothing", () => {
    expect(line("/aws/rds/postgresql", "\tERROR FROM t")).toMatchObject({ level: "info", message: "\tERROR FROM t" });
  });

  test("the prefix gives the source away in any group", () => {
    expect(line("elsewhere", `${long}ERROR:  x`).source).toBe("database");
  });

  test("a duration is only taken where the server states it", () => {
    expect(line("/aws/rds/postgresql", `${short}ERROR:  duration: 3 ms`).metadata).not.toHaveProperty("durationMs");
  });
});

describe("Lambda", () => {
  const id = "6f1d8a0e-1111-2222-3333-444455556666";
  const stamp = "2024-01-02T03:04:05.123Z";
  const lambda = (message: string) => line("/aws/lambda/resize", message);

  test.each<Case>([
    [
      "REPORT of a cold start",
      `REPORT RequestId: ${id}\tDuration: 3.14 ms\tBilled Duration: 4 ms\tMemory Size: 128 MB\tMax Memory Used: 70 MB\tInit Duration: 201.5 ms\t`,
      "info",
      "",
      {
        requestId: id,
        durationMs: 3.14,
        billedDurationMs: 4,
        memorySizeMb: 128,
        maxMemoryUsedMb: 70,
        initDurationMs: 201.5,
      },
    ],
    [
      "REPORT with a trace on a line of its own",
      `REPORT RequestId: ${id}\tDuration: 1 ms\tMemory Size: 128 MB\t\nXRAY TraceId: 1-5\tSegmentId: 6\tSampled: true\t`,
      "info",
      "",
      { durationMs: 1, memorySizeMb: 128 },
    ],
    [
      "REPORT of a failure",
      `REPORT RequestId: ${id}\tDuration: 3000.00 ms\tStatus: error\tError Type: Runtime.ExitError`,
      "error",
      "",
      { status: "error", errorType: "Runtime.ExitError" },
    ],
    [
      "INIT_REPORT of a time-out",
      "INIT_REPORT Init Duration: 9999.1 ms\tPhase: init\tStatus: timeout",
      "error",
      "",
      { initDurationMs: 9999.1, status: "timeout" },
    ],
    [
      "a time-out",
      `${stamp} ${id} Task timed out after 3.00 seconds\n\n`,
      "error",
      `${stamp} ${id} Task timed out after 3.00 seconds\n\n`,
      { timedOutAfterMs: 3000 },
    ],
  ])("%s", (_, message, level, text, metadata) => {
    const parsed = lambda(message);
    expect(parsed).toMatchObject({ source: "function", level, message: text || message });
    expect(parsed.metadata).toMatchObject(metadata);
  });

  test.each<[string, string, Level, string]>([
    ["START", `START RequestId: ${id} Version: $LATEST`, "info", `START RequestId: ${id} Version: $LATEST`],
    ["END", `END RequestId: ${id}`, "info", `END RequestId: ${id}`],
    [
      "INIT_START",
      "INIT_START Runtime Version: nodejs:20.v9\tRuntime Version ARN: arn:x",
      "info",
      "INIT_START Runtime Version: nodejs:20.v9\tRuntime Version ARN: arn:x",
    ],
    [
      "an extension",
      "EXTENSION\tName: agent\tState: Ready\tEvents: [INVOKE]",
      "info",
      "EXTENSION\tName: agent\tState: Ready\tEvents: [INVOKE]",
    ],
    [
      "a runtime that died",
      `RequestId: ${id} Error: Runtime exited with error: signal: killed`,
      "error",
      `RequestId: ${id} Error: Runtime exited with error: signal: killed`,
    ],
    ["Node.js", `${stamp}\t${id}\tERROR\tno bucket`, "error", "no bucket"],
    ["Node.js before a request", `${stamp}\tundefined\tWARN\tslow`, "warn", "slow"],
    [".NET", `${stamp}\t${id}\tfail\tno bucket`, "error", "no bucket"],
    ["Python", `[WARNING]\t${stamp}\t${id}\tretrying`, "warn", "retrying"],
    [
      "Python's own failures",
      "[ERROR] KeyError: 'x'\rTraceback (most recent call last):",
      "error",
      "[ERROR] KeyError: 'x'\rTraceback (most recent call last):",
    ],
    [
      "Java behind log4j2",
      `2024-01-02 03:04:05 ${id} ERROR Handler - no bucket`,
      "error",
      `2024-01-02 03:04:05 ${id} ERROR Handler - no bucket`,
    ],
    ["a bare print", "0 errors", "info", "0 errors"],
  ])("%s", (_, message, level, text) => {
    expect(lambda(message)).toMatchObject({ source: "function", level, message: text });
  });

  test.each<[string, unknown, Level]>([
    ["start", { type: "platform.start", record: { requestId: id, version: "$LATEST" } }, "info"],
    ["initStart", { type: "platform.initStart", record: { initializationType: "on-demand", phase: "init" } }, "info"],
    ["runtimeDone", { type: "platform.runtimeDone", record: { requestId: id, status: "success" } }, "info"],
    [
      "runtimeDone of a failure",
      { type: "platform.runtimeDone", record: { requestId: id, status: "failure", errorType: "Runtime.ExitError" } },
      "error",
    ],
    [
      "report of a success",
      { type: "platform.report", record: { requestId: id, status: "success", metrics: { durationMs: 3 } } },
      "info",
    ],
    ["report of a time-out", { type: "platform.report", record: { requestId: id, status: "timeout" } }, "error"],
    ["fault", { type: "platform.fault", record: `RequestId: ${id} Error: Runtime exited` }, "error"],
    ["logsDropped", { type: "platform.logsDropped", record: { droppedRecords: 3 } }, "warn"],
  ])("platform event %s", (_, event, level) => {
    const document = { time: stamp, ...(event as object) };
    expect(lambda(JSON.stringify(document))).toMatchObject({ source: "function", level, metadata: document });
  });

  test("an application event of the JSON format", () => {
    const event = { timestamp: stamp, level: "FATAL", requestId: id, errorType: "E", errorMessage: "no bucket" };
    expect(lambda(JSON.stringify(event))).toMatchObject({ level: "critical", message: "no bucket" });
  });
});

describe("JSON of application loggers", () => {
  test.each<[string, Record<string, unknown>, Level, string]>([
    ["pino", { level: 30, time: 1, pid: 1, hostname: "h", msg: "up" }, "info", "up"],
    [
      "pino with an error alone",
      { level: 60, err: { type: "Error", message: "boom", stack: "…" } },
      "critical",
      "boom",
    ],
    ["pino with labels", { level: "trace", msg: "x" }, "debug", "x"],
    ["bunyan", { name: "a", hostname: "h", pid: 1, level: 50, err: { message: "m" }, msg: "no", v: 0 }, "error", "no"],
    ["winston", { level: "verbose", message: "x", service: "s" }, "debug", "x"],
    ["winston in colour", { level: "\u001b[31merror\u001b[39m", message: "x" }, "error", "x"],
    ["logback", { "@version": "1", level: "WARN", level_value: 30_000, message: "x" }, "warn", "x"],
    ["logback without its word", { level_value: 40_000, message: "x" }, "error", "x"],
    ["logback's number as the level", { level: 20_000, message: "x" }, "info", "x"],
    ["logback's stack trace alone", { message: "x", stack_trace: "java.lang.E\n\tat a.B" }, "error", "x"],
    ["structlog", { event: "paid", level: "warning", logger: "l", timestamp: "t" }, "warn", "paid"],
    ["structlog with numbers", { event: "paid", level_number: 40 }, "error", "paid"],
    ["structlog with a trace", { event: "paid", exception: "Traceback (most recent call last):…" }, "error", "paid"],
    ["Python's number", { message: "x", levelno: 50 }, "critical", "x"],
    ["GELF", { version: "1.1", short_message: "x", level: 3, message: "x" }, "error", "x"],
    ["an unknown level word", { level: "loud", message: "x" }, "info", "x"],
    ["a level that is an object", { level: { name: "ERROR" }, message: "x" }, "info", "x"],
  ])("%s", (_, document, level, text) => {
    expect(line("/application/logs", JSON.stringify(document))).toMatchObject({ level, message: text });
  });

  test.each<[string, string, Level]>([
    ["a painted level", "\u001b[33mWARN\u001b[0m slow", "warn"],
    [".NET's console logger", "fail: Shop.Cart[0] refused", "error"],
    ["the inner lines of a trace count no second error", "Caused by: java.io.IOException: x", "info"],
    ["a frame of a trace", "\tat com.x.Error.of(Error.java:3)", "info"],
  ])("%s", (_, message, level) => {
    expect(line("/application/logs", message).level).toBe(level);
  });
});

describe("RDS Enhanced Monitoring", () => {
  const document = {
    engine: "POSTGRES",
    instanceID: "shop-1",
    instanceResourceID: "db-ABC",
    timestamp: "2024-01-02T03:04:05Z",
    version: 1,
    uptime: "1 days, 01:00:00",
    numVCPUs: 2,
    cpuUtilization: { guest: 0, irq: 0, system: 2, wait: 1, idle: 90, user: 7, total: 10, steal: 0, nice: 0 },
    loadAverageMinute: { one: 0.5, five: 0.4, fifteen: 0.3 },
    memory: { total: 1000, free: 300, cached: 150, buffers: 50, active: 400 },
    swap: { total: 100, free: 40, cached: 0 },
    network: [
      { interface: "eth0", rx: 100, tx: 10 },
      { interface: "eth1", rx: 20, tx: 1 },
    ],
    diskIO: [
      { device: "filesystem", readIOsPS: 1000, writeIOsPS: 1000, avgQueueLen: 9 },
      { device: "rdsdev", readIOsPS: 5, writeIOsPS: 7, avgQueueLen: 0.25, await: 1 },
    ],
    fileSys: [
      { name: "", mountPoint: "/rdsdbdata", usedPercent: 12.5 },
      { name: "", mountPoint: "/", usedPercent: 40 },
    ],
    tasks: { total: 100, running: 1 },
    processList: [{ id: 1, name: "postgres", cpuUsedPc: 3 }],
  };

  test("an instance's document gives CloudWatch's names, rates as rates", () => {
    const parsed = metrics(document, "db-ABC", "RDSOSMetrics");
    expect(parsed).toMatchObject({ kind: "metrics", source: "metric", entity: "shop-1" });
    expect(valuesOf(parsed)).toEqual({
      CPUUtilization: [10],
      MemoryUtilization: [50],
      FreeableMemory: [300 * 1024],
      SwapUsage: [60 * 1024],
      LoadAverage: [0.5],
      NetworkReceiveThroughput: [120],
      NetworkTransmitThroughput: [11],
      ReadIOPS: [5],
      WriteIOPS: [7],
      DiskQueueDepth: [0.25],
      FileSystemUtilization: [40],
    });
  });

  test("Aurora's shape, which tells of its storage volume", () => {
    const aurora = {
      ...document,
      engine: "Aurora PostgreSQL",
      diskIO: [
        { diskQueueDepth: 2, readIOsPS: 3, writeIOsPS: 4, readLatency: 0.5, writeLatency: 1.5, readThroughput: 9 },
      ],
    };
    expect(valuesOf(metrics(aurora))).toMatchObject({
      ReadIOPS: [3],
      WriteIOPS: [4],
      DiskQueueDepth: [2],
      ReadLatency: [0.5],
      WriteLatency: [1.5],
    });
  });

  test("a standby is an entity of its own", () => {
    expect(metrics(document, "db-ABC-secondary").entity).toBe("shop-1-secondary");
  });

  test("parts that are missing are no samples", () => {
    const { memory: _, network: __, ...rest } = document;
    expect(Object.keys(valuesOf(metrics(rest)))).not.toContain("MemoryUtilization");
    expect(Object.keys(valuesOf(metrics(rest)))).not.toContain("NetworkReceiveThroughput");
  });
});

describe("summaries of observations", () => {
  const emf = (value: unknown, name = "Latency", namespace = "N") =>
    metrics({
      _aws: {
        Timestamp: at,
        CloudWatchMetrics: [{ Namespace: namespace, Dimensions: [[]], Metrics: [{ Name: name }] }],
      },
      [name]: value,
    });

  test.each<[string, unknown, number[]]>([
    ["one observation", { Min: 4, Max: 4, Sum: 4, Count: 1 }, [4]],
    ["two", { Min: 1, Max: 3, Sum: 4, Count: 2 }, [1, 3]],
    ["five: extremes once, the rest of the sum evenly", { Min: 0, Max: 10, Sum: 19, Count: 5 }, [0, 3, 3, 3, 10]],
    ["none", { Min: 0, Max: 0, Sum: 0, Count: 0 }, []],
    ["values with their counts", { Values: [1, 2], Counts: [2, 1] }, [1, 1, 2]],
    ["values without counts", { Values: [1, 2] }, [1, 2]],
  ])("%s", (_, value, expected) => {
    expect(emf(value).samples[0]!.values).toEqual(expected);
  });

  test("observations of a summary have its minimum, maximum, sum and count", () => {
    for (let count = 3; count <= 1_000; count += 37) {
      const [min, max] = [-count, 3 * count];
      const sum = min + max + (count - 2) * 1.25;
      const { values } = emf({ Min: min, Max: max, Sum: sum, Count: count }).samples[0]!;
      expect(values).toHaveLength(count);
      expect(Math.min(...values)).toBe(min);
      expect(Math.max(...values)).toBe(max);
      expect(values.reduce((a, b) => a + b)).toBeCloseTo(sum, 6);
    }
  });

  test.each<[string, unknown, string]>([
    ["a sum below count × minimum", { Min: 2, Max: 3, Sum: 1, Count: 2 }, ".Sum"],
    ["a fraction of an observation", { Min: 1, Max: 1, Sum: 1, Count: 0.5 }, ".Count"],
    ["a negative count", { Min: 1, Max: 1, Sum: 1, Count: -1 }, ".Count"],
    ["a count beyond the limit", { Min: 1, Max: 1, Sum: 1_001, Count: 1_001 }, ".Count"],
    ["no sum", { Min: 1, Max: 1, Count: 1 }, ".Sum"],
    ["fewer counts than values", { Values: [1, 2], Counts: [1] }, ".Counts"],
  ])("refused: %s", (_, value, where) => {
    expect(emf(value)).toMatchObject({ kind: "log", flaw: "emf_shape", flawAt: `value of Latency${where}` });
  });

  test("classic and network load balancers are known by the names of application load balancers", () => {
    expect(emf(1, "Latency", "AWS/ELB").samples[0]!.name).toBe("TargetResponseTime");
    expect(emf(1, "HTTPCode_Backend_5XX", "AWS/ELB").samples[0]!.name).toBe("HTTPCode_Target_5XX_Count");
    expect(emf(1, "ActiveFlowCount", "AWS/NetworkELB").samples[0]!.name).toBe("ActiveConnectionCount");
    expect(emf(1, "Latency", "AWS/ApiGateway").samples[0]!.name).toBe("Latency");
    expect(emf(1, "TargetResponseTime", "AWS/ApplicationELB").samples[0]!.name).toBe("TargetResponseTime");
  });
});

describe("a metric stream's datum", () => {
  const datum = {
    metric_stream_name: "s",
    account_id: "1",
    region: "eu-west-1",
    namespace: "AWS/ApplicationELB",
    metric_name: "RequestCount",
    dimensions: { TargetGroup: "t", LoadBalancer: "app/shop/1" },
    timestamp: at,
    value: { count: 3, sum: 9, max: 5, min: 1 },
    unit: "Count",
  };

  test("becomes observations of the load balancer", () => {
    expect(metrics(datum)).toMatchObject({
      kind: "metrics",
      entity: "app/shop/1",
      samples: [{ name: "RequestCount", values: [1, 3, 5], unit: "Count" }],
    });
  });

  test("without a telling dimension the first one names the entity, without any none does", () => {
    expect(metrics({ ...datum, dimensions: { Queue: "q" } }).entity).toBe("q");
    expect(metrics({ ...datum, dimensions: {} }).entity).toBeNull();
  });
});
