import { gzipSync } from "node:zlib";
import { randomOf } from "../../templates/lines.ts";

/** One subscription record as CloudWatch packs it, and what is in it. */
export interface ReplayRecord {
  readonly data: Buffer;
  readonly rawBytes: number;
  readonly events: number;
}

const EVENTS_PER_RECORD = 400;

/**
 * Records with the volume of a fleet: one half of their events metric documents of 200 hosts, the other lines of
 * applications, databases and functions, a record a log stream. Numbers and ids differ from event to event, so gzip finds
 * about as much to save as in real telemetry; a small share holds text that is not ASCII.
 */
export function corpus(records: number, timeMs: number, seed = 1): ReplayRecord[] {
  const random = randomOf(seed);
  const below = (n: number) => Math.floor(random() * n);
  const digits = (n: number) => Array.from({ length: n }, () => below(10)).join("");
  const host = () => `i-0${(0x1000_0000 + below(200)).toString(16).padStart(16, "a").slice(-16)}`;
  const line = [
    () =>
      `${new Date(timeMs).toISOString()} INFO request_id=${digits(12)} GET /api/orders/${below(9e6)} 200 ${below(900)}ms bytes=${below(1e6)}`,
    () =>
      `${new Date(timeMs).toISOString()} WARN [pool-${below(9)}-thread-${below(64)}] com.shop.cart.Retry: attempt ${below(5)} after ${below(9e3)} ms for user ${digits(9)}`,
    () =>
      JSON.stringify({ level: "info", msg: "cache refreshed", keys: below(9e5), ms: random() * 90, trace: digits(16) }),
    () =>
      `2026-01-05 00:00:00 UTC:10.0.${below(255)}.${below(255)}(${below(60_000)}):app@orders:[${below(30_000)}]:LOG:  duration: ${(random() * 900).toFixed(3)} ms  statement: SELECT * FROM orders WHERE id = ${below(9e8)}`,
    () =>
      `REPORT RequestId: ${digits(8)}-${digits(4)}\tDuration: ${(random() * 900).toFixed(2)} ms\tBilled Duration: ${below(900)} ms\tMemory Size: 512 MB\tMax Memory Used: ${below(512)} MB`,
    () => `user naïve-${below(999)} añadió ${below(99)} artículos al carrito № ${digits(7)}`,
  ];
  const metrics = () =>
    JSON.stringify({
      _aws: {
        Timestamp: timeMs,
        CloudWatchMetrics: [
          {
            Namespace: "CWAgent",
            Dimensions: [["InstanceId"]],
            Metrics: [
              { Name: "CPUUtilization", Unit: "Percent" },
              { Name: "MemoryUtilization", Unit: "Percent" },
              { Name: "NetworkIn", Unit: "Bytes" },
              { Name: "NetworkOut", Unit: "Bytes" },
            ],
          },
        ],
      },
      InstanceId: host(),
      CPUUtilization: random() * 100,
      MemoryUtilization: random() * 100,
      NetworkIn: below(1e7),
      NetworkOut: below(1e7),
    });
  return Array.from({ length: records }, (_, r) => {
    const isMetrics = r % 2 === 0;
    const logEvents = Array.from({ length: EVENTS_PER_RECORD }, (_, i) => ({
      id: `3${digits(55)}`,
      timestamp: timeMs,
      message: isMetrics ? metrics() : line[(r + i) % 60 === 0 ? 5 : (r >> 1) % 5]!(),
    }));
    const text = JSON.stringify({
      messageType: "DATA_MESSAGE",
      owner: "123456789012",
      logGroup: isMetrics ? "/aws/cwagent/metrics" : "/application/logs",
      logStream: isMetrics ? "fleet" : host(),
      subscriptionFilters: ["weir"],
      logEvents,
    });
    const raw = Buffer.from(text);
    return { data: gzipSync(raw), rawBytes: raw.length, events: logEvents.length };
  });
}
