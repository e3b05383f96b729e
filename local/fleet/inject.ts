import { below, hash } from "./noise.ts";
import type { Injection, StreamRecord } from "./types.ts";
import {
  dataRecord,
  envelope,
  eventId,
  gzip,
  type LogEvent,
  type LogStream,
  partitionKeyOf,
  recordId,
} from "./wire.ts";

/** A log stream's events of one round, before they become a record. */
export interface Delivery {
  readonly stream: LogStream;
  /** The stream's number in its fleet: part of its events' ids. */
  readonly number: number;
  readonly events: readonly LogEvent[];
  /** Metric documents are left alone by what adds or takes away single events. */
  readonly isMetrics: boolean;
}

/** How far below the announced clock a late event lies at least; grace periods of minutes do not save it. */
export const lateByMs = 600_000;

/** Sequence numbers from here on are those of injected events, a band for each kind. */
const injectedSequence = { late: 9_100_000, future: 9_200_000 } as const;

type Kind = keyof Injection;

/** The faults that fall into round `round` of `rounds`: their numbers, by kind. */
export function faultsOf(seed: number, inject: Injection, round: number, rounds: number): Record<Kind, number[]> {
  const fall = (kind: Kind, salt: number, first: number) => {
    const numbers: number[] = [];
    // Nothing is late before a clock has been announced.
    if (rounds > first)
      for (let i = 0; i < inject[kind]; i++)
        if (first + below(rounds - first, seed, i, salt) === round) numbers.push(i);
    return numbers;
  };
  return {
    late: fall("late", 61, 1),
    malformed: fall("malformed", 62, 0),
    duplicate: fall("duplicate", 63, 0),
    drop: fall("drop", 64, 0),
  };
}

/**
 * The records of a round with its faults. `announcedMs` is the clock that stood in every shard before this round.
 */
export function recordsWithFaults(
  deliveries: readonly Delivery[],
  faults: Readonly<Record<Kind, readonly number[]>>,
  seed: number,
  tail: string,
  announcedMs: number,
): { records: StreamRecord[]; injected: Injection } {
  const extra = new Map<number, LogEvent[]>();
  const gone = new Map<number, Set<number>>();
  const behind = new Map<number, StreamRecord[]>();
  const injected = { late: 0, malformed: 0, duplicate: 0, drop: 0 };
  const push = <T>(map: Map<number, T[]>, at: number, value: T) => map.set(at, [...(map.get(at) ?? []), value]);
  const logs = deliveries.flatMap((d, at) => (d.isMetrics || d.events.length < 2 ? [] : [at]));
  const pick = (i: number, salt: number) => logs[below(logs.length, seed, i, salt)]!;
  if (logs.length === 0) return { records: deliveries.map((d) => dataRecord(d.stream, d.events)), injected };

  for (const i of faults.drop) {
    const at = pick(i, 71);
    const taken = gone.get(at) ?? new Set<number>();
    gone.set(at, taken);
    const { length } = deliveries[at]!.events;
    // One event at least stays in the record; a draw that hits a gap moves on to the next event.
    if (taken.size >= length - 1) continue;
    let index = below(length, seed, i, 72);
    while (taken.has(index)) index = (index + 1) % length;
    taken.add(index);
    injected.drop++;
  }
  for (const i of faults.late) {
    const at = pick(i, 73);
    const { number, events } = deliveries[at]!;
    const timestamp = announcedMs - lateByMs - 1 - below(1_800_000, seed, i, 74);
    const message = events[below(events.length, seed, i, 75)]!.message;
    push(extra, at, { id: eventId(timestamp, number, injectedSequence.late + i, tail), timestamp, message });
    injected.late++;
  }
  for (const i of faults.duplicate) {
    const at = below(deliveries.length, seed, i, 76);
    const { stream, events } = deliveries[at]!;
    const sent = events.filter((_, index) => !gone.get(at)?.has(index));
    push(behind, at, dataRecord(stream, [sent[below(sent.length, seed, i, 77)]!]));
    injected.duplicate++;
  }
  for (const i of faults.malformed) {
    const at = pick(i, 78);
    const { stream, number, events } = deliveries[at]!;
    if (i % 5 === 4) {
      const timestamp = Date.UTC(2100, 0, 1) + i;
      push(extra, at, {
        id: eventId(timestamp, number, injectedSequence.future + i, tail),
        timestamp,
        message: events[0]!.message,
      });
    } else {
      const data = unreadable(i, stream, `${tail} ${i}`);
      push(behind, at, { partitionKey: partitionKeyOf(stream), data, eventIds: [recordId(data)] });
    }
    injected.malformed++;
  }

  const records = deliveries.flatMap((d, at) => {
    const taken = gone.get(at);
    const sent = taken ? d.events.filter((_, index) => !taken.has(index)) : d.events;
    const unsent = taken ? [...taken].map((index) => d.events[index]!.id) : [];
    return [dataRecord(d.stream, [...(extra.get(at) ?? []), ...sent], unsent), ...(behind.get(at) ?? [])];
  });
  return { records, injected };
}

/** Bytes that no reader can make sense of, in the four ways it may fail; `mark` makes them like no others. */
function unreadable(i: number, stream: LogStream, mark: string): Buffer {
  const event = { id: `${hash(i, 1)}`, timestamp: 0, message: mark };
  switch (i % 5) {
    case 0:
      return Buffer.from(`no gzip, but a line of text: ${mark}`);
    case 1: {
      const whole = gzip(envelope(stream, [event]));
      return whole.subarray(0, Math.floor(whole.length / 2));
    }
    case 2:
      return gzip(envelope(stream, [event]).slice(0, -9));
    default:
      return gzip(envelope(stream, [event]).replace("DATA_MESSAGE", "UNHEARD_OF_MESSAGE"));
  }
}
