import type { ProducerRecord } from "../../streams/index.ts";
import { type ClockMode, type DecodedRecord, decodeInflated } from "./decode.ts";
import type { EntityOptions } from "./entity.ts";
import type { Inflated } from "./inflate.ts";
import { afterRecord, afterSpan, type ShardCursor } from "./shard-cursor.ts";
import { type PieceContext, type ShardRecord, type Span, toSpans } from "./to-log-batches.ts";
import type { Wire } from "./wire.ts";

export interface TakeContext {
  readonly wire: Wire;
  readonly stream: string;
  readonly shard: string;
  readonly source: string;
  readonly clockMode: ClockMode;
  readonly entities: EntityOptions | undefined;
  readonly commitBytes: number;
  readonly deliveryAllowanceMs: number;
}

/** Messages that belong into one transaction, and how far the shard is read with them. */
export interface Taken {
  readonly messages: readonly ProducerRecord[];
  readonly cursor: ShardCursor;
  /** The bridge itself failed on the record. */
  readonly error?: unknown;
}

/**
 * What one record adds to the shard's transactions, in steps between which a transaction may end. Starts at the cursor's
 * event index; the last step moves the cursor past the record. Pure. A throw on the way (a fault of this code, which
 * would come again with every attempt) costs the rest of the record: a dead letter `bridge_error`.
 */
export function* takeRecord(
  record: ShardRecord,
  inflated: Inflated,
  start: ShardCursor,
  context: TakeContext,
): Generator<Taken> {
  const { wire, clockMode, deliveryAllowanceMs } = context;
  const pieceContext = { ...context, clockMs: start.clockMs, partitions: wire.partitions.logsRaw };
  let cursor = start;
  let decoded: DecodedRecord;
  const take = (span: Span): Taken => {
    const messages = span.pieces.map((piece) => wire.piece(piece));
    cursor = afterSpan(cursor, span);
    return { messages, cursor };
  };
  try {
    decoded = decodeInflated(inflated, { arrivalMs: record.arrivalMs, clockMode });
    const spanBytes = context.commitBytes;
    for (const span of toSpans(record, decoded, pieceContext, start.eventIndex, spanBytes)) yield take(span);
  } catch (error) {
    decoded = { kind: "rejected", code: "bridge_error", reason: reasonOf(error, cursor.eventIndex) };
    yield { ...take(spanOf(record, decoded, pieceContext)), error };
  }
  yield { messages: [], cursor: afterRecord(cursor, record, decoded, clockMode, deliveryAllowanceMs) };
}

const spanOf = (record: ShardRecord, decoded: DecodedRecord, context: PieceContext): Span =>
  toSpans(record, decoded, context).next().value as Span;

const reasonOf = (error: unknown, fromItem: number): string =>
  `${String(error).slice(0, 500)} (from event ${fromItem} of the record on).`;
