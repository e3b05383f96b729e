/** One record of each format the parser knows, written after the formats' public documentation. Fuzzed and timed. */
export interface Sample {
  readonly group: string;
  readonly message: string;
}

const id = "6f1d8a0e-1111-2222-3333-444455556666";
const at = 1_704_164_645_000;

export const embeddedMetrics: readonly Sample[] = [
  {
    group: "/application/logs",
    message: JSON.stringify({
      _aws: {
        Timestamp: at,
        CloudWatchMetrics: [
          {
            Namespace: "Fleet",
            Dimensions: [["InstanceId"]],
            Metrics: [
              { Name: "CPUUtilization", Unit: "Percent" },
              { Name: "MemoryUtilization", Unit: "Percent" },
              { Name: "NetworkIn", Unit: "Bytes" },
              { Name: "NetworkOut", Unit: "Bytes" },
              { Name: "DiskReadOps", Unit: "Count" },
              { Name: "DiskWriteOps", Unit: "Count" },
            ],
          },
        ],
      },
      InstanceId: "i-0abc123def4567890",
      CPUUtilization: 37.25,
      MemoryUtilization: 61.5,
      NetworkIn: 1234567,
      NetworkOut: 765432,
      DiskReadOps: 120,
      DiskWriteOps: 340,
    }),
  },
  {
    group: "/application/logs",
    message: JSON.stringify({
      _aws: {
        Timestamp: at,
        CloudWatchMetrics: [
          {
            Namespace: "Shop",
            Dimensions: [["Service"], ["Service", "Zone"]],
            Metrics: [
              { Name: "Latency", Unit: "Milliseconds", StorageResolution: 1 },
              { Name: "Orders" },
              { Name: "Sizes" },
            ],
          },
        ],
      },
      Service: "cart",
      Zone: "a",
      Latency: { Min: 1, Max: 90, Sum: 400.5, Count: 20 },
      Orders: [1, 3, 2, 2],
      Sizes: { Values: [1.5, 2.5], Counts: [3, 1] },
      requestId: id,
    }),
  },
  {
    group: "/aws/lambda/resize",
    message: `2024-01-02T03:04:05.123Z\t${id}\tINFO\t${JSON.stringify({
      _aws: {
        Timestamp: at,
        CloudWatchMetrics: [{ Namespace: "Images", Dimensions: [["Function"]], Metrics: [{ Name: "Pixels" }] }],
      },
      Function: "resize",
      Pixels: 1_000_000,
    })}`,
  },
];

export const lines: readonly Sample[] = [
  {
    group: "/aws/ec2/system",
    message: "Jan  2 03:04:05 web-1 sshd[411]: Accepted publickey for ec2-user from 10.0.0.9",
  },
  { group: "/aws/ec2/system", message: "Jan 12 03:04:05 web-1 kernel: [12.5] Out of memory: Killed process 77 (java)" },
  {
    group: "/aws/ec2/system",
    message: '<165>1 2024-01-02T03:04:05.003Z web-1 app 871 ID47 [ex@32473 iut="3" note="a\\]b"] disk is 91% full',
  },
  {
    group: "/aws/rds/postgresql",
    message: "2024-01-02 03:04:05 UTC:10.0.0.4(5432):app@shop:[811]:ERROR:  deadlock detected",
  },
  {
    group: "/aws/rds/postgresql",
    message:
      "2024-01-02 03:04:05 UTC:10.0.0.4(5432):app@shop:[811]:LOG:  duration: 1523.250 ms  statement: SELECT *\n\tFROM t",
  },
  {
    group: "/aws/rds/postgresql",
    message:
      "2024-01-02 03:04:05.123 UTC:10.0.0.4(5432):app@shop:[811]:3:40P01:2024-01-02 03:00:00 UTC:1/2:0:FATAL:  too many connections",
  },
  { group: "/aws/lambda/resize", message: `START RequestId: ${id} Version: $LATEST` },
  {
    group: "/aws/lambda/resize",
    message: `REPORT RequestId: ${id}\tDuration: 3.14 ms\tBilled Duration: 4 ms\tMemory Size: 128 MB\tMax Memory Used: 70 MB\t`,
  },
  { group: "/aws/lambda/resize", message: `2024-01-02T03:04:05.123Z\t${id}\tERROR\tno bucket named images` },
  { group: "/aws/lambda/resize", message: `2024-01-02T03:04:05.123Z ${id} Task timed out after 3.00 seconds` },
  {
    group: "/aws/lambda/resize",
    message: JSON.stringify({
      time: "2024-01-02T03:04:05.123Z",
      type: "platform.report",
      record: { requestId: id, status: "timeout", metrics: { durationMs: 3000, maxMemoryUsedMB: 70 } },
    }),
  },
  {
    group: "/application/logs",
    message: JSON.stringify({ level: 50, time: at, pid: 7, hostname: "h", msg: "payment refused" }),
  },
  {
    group: "/application/logs",
    message: JSON.stringify({ level: "warn", message: "retrying in 200 ms", service: "cart" }),
  },
  {
    group: "/application/logs",
    message: JSON.stringify({
      "@timestamp": "2024-01-02T03:04:05.123Z",
      level: "ERROR",
      level_value: 40_000,
      logger_name: "shop.Cart",
      thread_name: "main",
      message: "no session",
      stack_trace: "java.lang.IllegalStateException: no session\n\tat shop.Cart.of(Cart.java:31)",
    }),
  },
  { group: "/application/logs", message: JSON.stringify({ event: "cache miss", level: "debug", key: "user:17" }) },
  { group: "/application/logs", message: "2024-01-02 03:04:05,123 ERROR shop.Cart - order 17 failed after 3 tries" },
  { group: "/application/logs", message: "time=2024-01-02T03:04:05Z level=info msg=ready port=8080" },
  { group: "/application/logs", message: "GET /api/orders/17 200 12 ms" },
  {
    group: "/ecs/shop",
    message: "Traceback (most recent call last):\n  File \"a.py\", line 3, in <module>\nKeyError: 'x'",
  },
  { group: "/ecs/shop", message: "java.lang.IllegalStateException: no session" },
  { group: "/ecs/shop", message: "\tat shop.Cart.of(Cart.java:31) ~[shop.jar:1.2]" },
  { group: "/ecs/shop", message: "\t... 12 common frames omitted" },
  { group: "/ecs/shop", message: "Caused by: java.io.IOException: broken pipe" },
  {
    group: "/aws/rds/postgresql",
    message: "2024-01-02 03:04:05 UTC:10.0.0.4(5432):app@shop:[811]:STATEMENT:  UPDATE t",
  },
  { group: "/aws/rds/postgresql", message: "\tSET x = 1" },
  { group: "elsewhere", message: "something happened" },
];

export const metricDocuments: readonly Sample[] = [
  {
    group: "RDSOSMetrics",
    message: JSON.stringify({
      engine: "POSTGRES",
      instanceID: "shop-1",
      instanceResourceID: "db-ABC",
      cpuUtilization: { total: 10, user: 7, system: 3, idle: 90 },
      memory: { total: 1000, free: 300, cached: 150, buffers: 50 },
      swap: { total: 100, free: 40 },
      loadAverageMinute: { one: 0.5, five: 0.4, fifteen: 0.3 },
      network: [{ interface: "eth0", rx: 100, tx: 10 }],
      diskIO: [{ device: "rdsdev", readIOsPS: 5, writeIOsPS: 7, avgQueueLen: 0.25 }],
      fileSys: [{ mountPoint: "/", usedPercent: 40 }],
    }),
  },
  {
    group: "metric-stream",
    message: JSON.stringify({
      metric_stream_name: "s",
      namespace: "AWS/ApplicationELB",
      metric_name: "RequestCount",
      dimensions: { LoadBalancer: "app/shop/1" },
      timestamp: at,
      value: { count: 3, sum: 3, max: 1, min: 1 },
      unit: "Count",
    }),
  },
];

export const corpus: readonly Sample[] = [...lines, ...embeddedMetrics, ...metricDocuments];
