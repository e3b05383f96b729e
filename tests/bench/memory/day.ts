import { gzipSync } from "node:zlib";
import { machineDirective, metricDocument } from "../../../local/fleet/wire.ts";
import type { ShardRecord, ShardSource } from "../../../sources/index.ts";
import { randomOf } from "../../templates/lines.ts";
import { replaySource, sequenceOf } from "../replay/source.ts";

const MINUTE_MS = 60_000;
const fast = { level: 1 };
const directive = machineDirective("CWAgent");

export interface DayOptions {
  readonly instances: number;
  readonly minutes: number;
  readonly shards: number;
  readonly startMs: number;
  /** Of gunzipped JSON, about. */
  readonly bytesPerMinute: number;
}

export interface Day {
  readonly source: ShardSource;
  readonly events: number;
  readonly rawBytes: number;
}

/** A text in whose bytes the times are written anew for each minute: a day's records without a day's memory. */
interface Stamped {
  readonly bytes: Buffer;
  /** Where 13 digits of milliseconds stand, and how far into the minute they lie. */
  readonly times: readonly { readonly at: number; readonly offsetMs: number }[];
  readonly events: number;
}

/**
 * A day of a fleet in shards of this process: each minute one record an instance, with its metric document and lines of
 * its log, and then the shard's clock. A page holds a shard's minute. Only one minute's texts are in memory; a record is
 * stamped with its minute and packed (gzip, level 1) when it is asked for.
 */
export function simulatedDay({ instances, minutes, shards, startMs, bytesPerMinute }: DayOptions): Day {
  const random = randomOf(1);
  const texts = Array.from({ length: instances }, (_, i) =>
    instanceMinute(i, startMs, Math.floor(bytesPerMinute / instances), random),
  );
  const perShard = Math.floor(instances / shards);
  const recordAt = (shard: number, index: number): ShardRecord => {
    const minute = Math.floor(index / (perShard + 1));
    const place = index % (perShard + 1);
    const endMs = startMs + (minute + 1) * MINUTE_MS;
    const data =
      place < perShard
        ? packed(stamped(texts[shard * perShard + place]!, endMs - MINUTE_MS))
        : gzipSync(JSON.stringify({ messageType: "WEIR_CLOCK", clockMs: endMs }));
    return { sequence: sequenceOf(index), arrivalMs: endMs, data };
  };
  const used = texts.slice(0, perShard * shards);
  const sum = (of: (text: Stamped) => number) => used.reduce((total, text) => total + of(text), 0) * minutes;
  return {
    source: replaySource({ shards, length: minutes * (perShard + 1), pageRecords: perShard + 1, recordAt }),
    events: sum((t) => t.events),
    rawBytes: sum((t) => t.bytes.length),
  };
}

/** A copy: what gzip gives is a view into a chunk of 16 KB, and a service's reply holds no such chunks. */
const packed = (bytes: Buffer): Buffer => Buffer.from(gzipSync(bytes, fast));

function stamped({ bytes, times }: Stamped, minuteMs: number): Buffer {
  for (const { at, offsetMs } of times) bytes.write(String(minuteMs + offsetMs), at, "latin1");
  return bytes;
}

function instanceMinute(instance: number, startMs: number, aboutBytes: number, random: () => number): Stamped {
  const below = (n: number) => Math.floor(random() * n);
  const entity = `i-${(0x1000_0000 + instance * 7_919).toString(16).padStart(17, "0")}`;
  const parts: Buffer[] = [];
  const times: { at: number; offsetMs: number }[] = [];
  let length = 0;
  const add = (text: string) => {
    const bytes = Buffer.from(text);
    parts.push(bytes);
    length += bytes.length;
  };
  const addTime = (offsetMs: number) => {
    times.push({ at: length, offsetMs });
    add(String(startMs + offsetMs));
  };
  const envelope = { messageType: "DATA_MESSAGE", owner: "123456789012", logGroup: "/application/logs" };
  const names = JSON.stringify({ ...envelope, logStream: entity, subscriptionFilters: ["weir"] });
  add(`${names.slice(0, -1)},"logEvents":[`);
  let events = 0;
  /** CloudWatch's ids have 56 digits; these begin with the event's time. */
  const event = (offsetMs: number, message: string, timeInside?: string) => {
    add(`${events++ > 0 ? "," : ""}{"id":"3`);
    addTime(offsetMs);
    add(`${String(instance).padStart(22, "0")}${String(events).padStart(20, "0")}","timestamp":`);
    addTime(offsetMs);
    const literal = JSON.stringify(message);
    const cut = timeInside === undefined ? -1 : literal.indexOf(timeInside);
    add(`,"message":${cut < 0 ? literal : literal.slice(0, cut)}`);
    if (cut >= 0) {
      addTime(offsetMs);
      add(literal.slice(cut + timeInside!.length));
    }
    add("}");
  };
  const offsetMs = 1_000 + below(50_000);
  event(
    offsetMs,
    metricDocument(directive, startMs + offsetMs, entity, {
      CPUUtilization: below(10_000) / 100,
      MemoryUtilization: below(10_000) / 100,
      NetworkIn: below(1e7),
      NetworkOut: below(1e7),
      DiskReadOps: below(500),
      DiskWriteOps: below(500),
    }),
    String(startMs + offsetMs),
  );
  while (length < aboutBytes - 120) event(below(59_000), lineOf(events, below));
  add("]}");
  return { bytes: Buffer.concat(parts), times, events };
}

function lineOf(number: number, below: (n: number) => number): string {
  const id = String(below(1e12)).padStart(12, "0");
  switch (number % 4) {
    case 0:
      return `INFO request_id=${id} GET /api/orders/${below(9e6)} 200 ${below(900)}ms bytes=${below(1e6)} user=${below(9e5)}`;
    case 1:
      return `WARN [pool-${below(9)}-thread-${below(64)}] com.shop.cart.Retry: attempt ${below(5)} after ${below(9e3)} ms for user ${below(1e9)}`;
    case 2:
      return JSON.stringify({
        level: "info",
        msg: "cache refreshed",
        keys: below(9e5),
        ms: below(9e4) / 1e3,
        trace: id,
      });
    default:
      return `ERROR request_id=${id} POST /api/payments/${below(9e6)} 502 upstream payments-${below(9)} timed out after ${below(9e3)} ms`;
  }
}
