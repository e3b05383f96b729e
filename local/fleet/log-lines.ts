import { below, count, hash, uniform } from "./noise.ts";
import type { Instance, LogSource } from "./plan.ts";
import { lineSeed, type MinuteState } from "./signals.ts";
import { minuteMs } from "./types.ts";

export interface Line {
  readonly timestampMs: number;
  readonly text: string;
}

type Level = "INFO" | "WARN" | "ERROR";
type Words = readonly string[];

const paths = ["/items", "/basket", "/session", "/quote", "/orders", "/search", "/profile", "/health"] as const;

/** What is said at each level for each cause; `%d` becomes a number, `%u` a path, `%t` the latency in milliseconds. */
const everydayWords: Readonly<Record<Level, Words>> = {
  INFO: ["GET %u/%d 200 in %t ms", "POST %u 201 in %t ms", "cache hit for key u:%d", "GET %u/%d 304 in %t ms"],
  WARN: ["slow request %u/%d took %t ms", "retry 1 of 3 for upstream call %d", "cache miss rate above target: %d"],
  ERROR: ["request %d failed: upstream answered 502", "could not parse basket %d"],
};
const troubleWords: Readonly<Record<string, Partial<Record<Level, Words>>>> = {
  restart: { INFO: ["service started in %d ms, listening on 8080", "loaded configuration version %d"] },
  deploy: {
    INFO: ["deploying build %d", "build %d is live, health check passed"],
    WARN: ["draining %d open connections before the switch"],
  },
  "cpu-saturation": {
    WARN: ["event loop delayed by %t ms", "worker queue length %d above limit", "slow request %u/%d took %t ms"],
    ERROR: ["request %d timed out after %t ms", "health check answered too late: %t ms"],
  },
  "memory-leak": {
    WARN: ["heap use high after full collection, pause %t ms", "garbage collector pause %t ms"],
    ERROR: ["out of memory: allocation of %d bytes failed", "worker %d killed: out of memory"],
  },
  "disk-filling": {
    WARN: ["disk usage of /data at 9%d percent", "log rotation is behind by %d files"],
    ERROR: ["write to /data/journal.%d failed: No space left on device", "flush of segment %d failed: ENOSPC"],
  },
  "error-burst": {
    INFO: ["build %d is live, health check passed", "GET %u/%d 200 in %t ms"],
    WARN: ["deprecated field in request %d, falling back"],
    ERROR: [
      "unhandled TypeError: cannot read properties of undefined (reading 'price') in request %d",
      "GET %u/%d 500 in %t ms",
      "schema check failed for message %d: missing field 'currency'",
    ],
  },
  "lock-storm": {
    WARN: ["transaction %d waited %t ms for a lock", "connection pool exhausted, %d waiting"],
    ERROR: ["deadlock detected while updating row %d", "canceling statement %d due to lock timeout after %t ms"],
  },
  "network-loss": {
    WARN: ["connection %d reset by peer, reconnecting", "packet loss on eth0, retransmits %d"],
    ERROR: ["connect ETIMEDOUT 10.0.3.%d:443 after %t ms", "upstream %u unreachable: no route to host"],
  },
};

const daemons = ["nginx", "agent", "worker", "backupd"] as const;
const months = "JanFebMarAprMayJunJulAugSepOctNovDec";
const two = (n: number) => String(n).padStart(2, "0");

function phrase(level: Level, cause: string | null, latencyMs: number, h: number): string {
  const special = cause === null ? undefined : troubleWords[cause]?.[level];
  // Among the trouble, everyday lines go on.
  const words = special && (level !== "INFO" || h % 4 === 0) ? special : everydayWords[level];
  const text = words[(h >>> 3) % words.length]!;
  const slow = level === "INFO" ? 1 : 20;
  return text.replace(/%[dut]/g, (what, at: number) =>
    what === "%d"
      ? String(1 + (hash(h, at) % 9_000))
      : what === "%u"
        ? paths[hash(h, at) % paths.length]!
        : (latencyMs * slow * (0.5 + uniform(h, at))).toFixed(0),
  );
}

/** `Mon dd hh:mm:ss host tag[pid]: text`, as a syslog daemon writes it to its file: no year, no zone. */
function syslog(timestampMs: number, host: string, tag: string, text: string): string {
  const d = new Date(timestampMs);
  const month = months.slice(d.getUTCMonth() * 3, d.getUTCMonth() * 3 + 3);
  const time = `${two(d.getUTCHours())}:${two(d.getUTCMinutes())}:${two(d.getUTCSeconds())}`;
  return `${month} ${String(d.getUTCDate()).padStart(2)} ${time} ${host} ${tag}: ${text}`;
}

function applicationLine(instance: Instance, level: Level, text: string, timestampMs: number, h: number): string {
  return JSON.stringify({
    timestamp: new Date(timestampMs).toISOString(),
    level,
    service: instance.entityGroup,
    message: text,
    requestId: hash(h, 77).toString(16),
  });
}

function syslogLine(instance: Instance, level: Level, text: string, timestampMs: number, h: number): string {
  const mark = level === "INFO" ? "" : level === "WARN" ? "[warn] " : "[error] ";
  return syslog(
    timestampMs,
    instance.host,
    `${daemons[h % daemons.length]}[${900 + (instance.number % 90)}]`,
    mark + text,
  );
}

/** The lines an instance logs in one minute, in time order. */
export function instanceLines(seed: number, instance: Instance, state: MinuteState, atMs: number): Line[] {
  const minute = Math.floor(atMs / minuteMs);
  const format = instance.logs === "application" ? applicationLine : syslogLine;
  const rates: [Level, number][] = [
    ["INFO", state.infoRate],
    ["WARN", state.warnRate],
    ["ERROR", state.errorRate],
  ];
  const lines: Line[] = [];
  for (const [level, rate] of rates) {
    const n = count(rate, uniform(seed, instance.number, minute, 30 + level.length));
    for (let i = 0; i < n; i++) {
      const h = lineSeed(seed, instance.number, minute, 100 * level.length + i);
      const timestampMs = atMs + (hash(h, 1) % minuteMs);
      const text = phrase(level, state.cause, state.latencyMs, h);
      lines.push({ timestampMs, text: format(instance, level, text, timestampMs, h) });
    }
  }
  return lines.sort((a, b) => a.timestampMs - b.timestampMs);
}

/** What the host of an application server writes to its syslog: a line of cron an hour, and the kernel's in trouble. */
export function hostLines(seed: number, instance: Instance, state: MinuteState, atMs: number): Line[] {
  const minute = Math.floor(atMs / minuteMs);
  const timestampMs = atMs + below(minuteMs, seed, instance.number, minute, 31);
  if (minute % 60 === instance.number % 60)
    return [
      {
        timestampMs,
        text: syslog(timestampMs, instance.host, "CRON[4121]", "(root) CMD (run-parts /etc/cron.hourly)"),
      },
    ];
  const said =
    state.cause === "memory-leak" && state.errorRate > 1
      ? "kernel: Out of memory: Killed process 4711 (node)"
      : state.cause === "restart"
        ? "systemd[1]: Started application server."
        : state.cause === "network-loss" && minute % 5 === 0
          ? "kernel: eth0: Link is Down"
          : null;
  if (said === null) return [];
  const [tag, ...text] = said.split(": ");
  return [{ timestampMs, text: syslog(timestampMs, instance.host, tag!, text.join(": ")) }];
}

/** Lines of a PostgreSQL server with the prefix `%t:%r:%u@%d:[%p]:`. */
export function databaseLines(seed: number, database: LogSource, atMs: number): Line[] {
  const minute = Math.floor(atMs / minuteMs);
  const source = 2_000_000 + database.service;
  const storm = database.storms.find((s) => s.startMs <= atMs && atMs < s.endMs);
  const rising = storm ? Math.min(1, ((atMs - storm.startMs) / minuteMs + 1) / 3) * storm.severity : 0;
  const blocks = (["LOG", "ERROR"] as const).flatMap((level) => {
    const rate = level === "LOG" ? 1.5 : 0.01 + 6 * rising;
    return Array.from({ length: count(rate, uniform(seed, source, minute, 30 + level.length)) }, (_, i) => {
      const h = lineSeed(seed, source, minute, 100 * level.length + i);
      const timestampMs = atMs + (hash(h, 1) % minuteMs);
      const stamp = `${new Date(timestampMs).toISOString().slice(0, 19).replace("T", " ")} UTC`;
      const prefix = `${stamp}:10.0.0.${h % 200}(${40_000 + (h % 9_000)}):app@${database.name}:[${600 + (h % 40)}]:`;
      const row = hash(h, 2) % 90_000;
      if (level === "LOG")
        return [
          {
            timestampMs,
            text: `${prefix}LOG:  duration: ${(3 + 40 * uniform(h, 3)).toFixed(3)} ms  statement: SELECT * FROM items WHERE id = ${row}`,
          },
        ];
      if (storm && h % 3 !== 0)
        return [
          { timestampMs, text: `${prefix}ERROR:  deadlock detected` },
          { timestampMs, text: `${prefix}DETAIL:  Process ${h % 40} waits for ShareLock on transaction ${row}.` },
        ];
      return [{ timestampMs, text: `${prefix}ERROR:  canceling statement due to lock timeout` }];
    });
  });
  return blocks.flat().sort((a, b) => a.timestampMs - b.timestampMs);
}

/** START, END and REPORT of each invocation of a function; its lines stay inside their minute. */
export function functionLines(seed: number, fn: LogSource, atMs: number): Line[] {
  const minute = Math.floor(atMs / minuteMs);
  const source = 3_000_000 + fn.service;
  const invocations = count(1.2, uniform(seed, source, minute, 30));
  const blocks = Array.from({ length: invocations }, (_, i) => {
    const h = lineSeed(seed, source, minute, i);
    const durationMs = 20 + 300 * uniform(h, 2);
    const startMs = atMs + (hash(h, 1) % (minuteMs - 400));
    const endMs = startMs + Math.round(durationMs);
    const word = (n: number) => hash(h, n).toString(16).padStart(8, "0");
    const id = `${word(3)}-${word(4).slice(4)}-4${word(5).slice(5)}-8${word(6).slice(5)}-${word(7)}${word(8).slice(4)}`;
    const report = `REPORT RequestId: ${id}\tDuration: ${durationMs.toFixed(2)} ms\tBilled Duration: ${Math.ceil(durationMs)} ms\tMemory Size: 256 MB\tMax Memory Used: ${70 + (h % 60)} MB\t`;
    const failed = uniform(h, 9) < 0.01;
    return [
      { timestampMs: startMs, text: `START RequestId: ${id} Version: $LATEST` },
      ...(failed
        ? [
            {
              timestampMs: endMs,
              text: `${new Date(endMs).toISOString()}\t${id}\tERROR\tupload refused, will be retried`,
            },
          ]
        : []),
      { timestampMs: endMs, text: `END RequestId: ${id}` },
      { timestampMs: endMs, text: report },
    ];
  });
  // A stable sort: lines of one invocation keep their order at equal times.
  return blocks.flat().sort((a, b) => a.timestampMs - b.timestampMs);
}
