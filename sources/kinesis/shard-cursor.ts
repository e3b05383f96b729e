import type { ShardCheckpoint, ShardState } from "../../schemas/index.ts";
import type { ClockMode, DecodedRecord } from "./decode.ts";
import type { StreamId } from "./names.ts";
import type { ShardRecord, Span } from "./to-log-batches.ts";

/**
 * Counts since the shard was opened. `takeOvers` is its owner's claim: each take over commits the next number, so a
 * fenced task can tell a newer owner from its own timed-out transaction.
 */
export interface EventCounters {
  events: number;
  control: number;
  dead: number;
  records: number;
  out: number;
  takeOvers: number;
}

/** How far a shard has been read: the checkpoint row without what never changes. Each step makes a new one. */
export interface ShardCursor {
  readonly sequence: string;
  readonly eventIndex: number;
  readonly clockMs: number;
  readonly arrivalMs: number;
  /** When the shard was last read to its tip, by this machine's clock; 0: never yet. */
  readonly tipMs: number;
  /** The source's last sign was idle. */
  readonly idle: boolean;
  readonly counters: Readonly<EventCounters>;
}

export const freshCursor = (clockMs: number): ShardCursor => ({
  sequence: "",
  eventIndex: 0,
  clockMs,
  arrivalMs: 0,
  tipMs: 0,
  idle: false,
  counters: countersOf({}),
});

export const countersOf = (counters: Readonly<Record<string, number>>): EventCounters => ({
  events: counters.events ?? 0,
  control: counters.control ?? 0,
  dead: counters.dead ?? 0,
  records: counters.records ?? 0,
  out: counters.out ?? 0,
  takeOvers: counters.takeOvers ?? 0,
});

export const cursorOf = (row: ShardCheckpoint): ShardCursor => ({
  sequence: row.sequence,
  eventIndex: row.eventIndex,
  clockMs: row.clockMs,
  arrivalMs: row.arrivalMs,
  tipMs: row.tipMs,
  idle: row.idle,
  counters: countersOf(row.counters),
});

/** The row that says so. */
export function rowOf(
  stream: StreamId,
  shard: string,
  cursor: ShardCursor,
  parents: readonly string[],
  end?: { readonly state: ShardState; readonly children: readonly string[] },
): ShardCheckpoint {
  return {
    stream: stream.name,
    streamCreatedMs: stream.createdMs,
    shard,
    state: end?.state ?? "active",
    sequence: cursor.sequence,
    subSequence: 0,
    eventIndex: cursor.eventIndex,
    parents: [...parents],
    children: [...(end?.children ?? [])],
    clockMs: cursor.clockMs,
    arrivalMs: cursor.arrivalMs,
    tipMs: cursor.tipMs,
    idle: cursor.idle,
    counters: { ...cursor.counters },
  };
}

export const claimed = (cursor: ShardCursor): ShardCursor => ({
  ...cursor,
  counters: { ...cursor.counters, takeOvers: cursor.counters.takeOvers + 1 },
});

/** After one span of the record that follows `sequence` was added to the transaction. */
export function afterSpan(cursor: ShardCursor, span: Span): ShardCursor {
  const { counters } = cursor;
  const dead = span.pieces.reduce((n, piece) => n + (piece.kind === "dead" ? 1 : 0), 0);
  return {
    ...cursor,
    eventIndex: cursor.eventIndex + span.items,
    idle: false,
    counters: {
      ...counters,
      events: counters.events + span.items - dead,
      dead: counters.dead + dead,
      out: counters.out + span.pieces.length,
    },
  };
}

/** After all pieces of the record. Only here the record moves the shard's clock. */
export function afterRecord(
  cursor: ShardCursor,
  record: ShardRecord,
  decoded: DecodedRecord,
  mode: ClockMode,
  deliveryAllowanceMs: number,
): ShardCursor {
  const { counters } = cursor;
  const isControl = decoded.kind === "control" || decoded.kind === "clock";
  return {
    ...cursor,
    sequence: record.sequence,
    eventIndex: 0,
    clockMs: Math.max(cursor.clockMs, clockOf(record, decoded, mode, deliveryAllowanceMs)),
    arrivalMs: record.arrivalMs,
    idle: false,
    counters: { ...counters, records: counters.records + 1, control: counters.control + (isControl ? 1 : 0) },
  };
}

/**
 * What a record says about its shard's time. In "arrival" mode: its newest event, but never past its own arrival (a
 * host whose clock runs fast must not make the others late), and at least arrival − allowance.
 */
function clockOf(record: ShardRecord, decoded: DecodedRecord, mode: ClockMode, deliveryAllowanceMs: number): number {
  if (mode === "records") return decoded.kind === "clock" ? decoded.clockMs : 0;
  let newest = record.isArrivalGuessed ? 0 : record.arrivalMs - deliveryAllowanceMs;
  if (decoded.kind === "data")
    for (const item of decoded.items)
      if (!("code" in item)) newest = Math.max(newest, Math.min(item.timestampMs, record.arrivalMs));
  return newest;
}
