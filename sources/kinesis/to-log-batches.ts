import type { DeadLetter, LogBatch, LogEvent } from "../../schemas/index.ts";
import { partitionFor } from "../../streams/index.ts";
import type { DataRecord, DecodedRecord, EventItem } from "./decode.ts";
import { type EntityOf, type EntityOptions, entityOf } from "./entity.ts";

/** One record as it came out of a shard. */
export interface ShardRecord {
  readonly sequence: string;
  /** Approximate arrival at the stream, as Kinesis stamped it. */
  readonly arrivalMs: number;
  /** There was no stamp: `arrivalMs` is when the record was read, and must not move the shard's clock. */
  readonly isArrivalGuessed?: boolean;
  readonly data: Uint8Array;
}

/** One message to write. */
export type Piece =
  | { readonly kind: "log"; readonly partition: number; readonly value: LogBatch }
  | { readonly kind: "dead"; readonly arrivalMs: number; readonly value: DeadLetter };

/** A stretch of a record's events, written whole or not at all. */
export interface Span {
  readonly pieces: readonly Piece[];
  /** Events of the record, rejected ones included, that the pieces account for; 1 for a record rejected whole. */
  readonly items: number;
}

export interface PieceContext {
  readonly stream: string;
  readonly shard: string;
  readonly source: string;
  /** The shard's clock before this record. */
  readonly clockMs: number;
  readonly partitions: number;
  readonly entities?: EntityOptions | undefined;
}

/** Kafka takes messages of 1 MB; 500 events keep one batch from starving the others of a fetch. */
const MAX_BATCH_BYTES = 900_000;
const MAX_BATCH_EVENTS = 500;
const MAX_DEAD_BYTES = 900_000;
/** A span should fit a transaction; events without text must not grow one without end. */
const SPAN_BYTES = 2 * 1024 * 1024;
const SPAN_ITEMS = 20_000;
/** Avro's framing of an event: two lengths and a time. */
const EVENT_OVERHEAD_BYTES = 20;
/** Account, group and stream of 512 characters each, the same again as entity, and the rest. */
const ENVELOPE_BYTES = 10_000;

/** Events (or rejected inputs) that a piece accounts for. */
export const eventsOf = (piece: Piece): number => (piece.kind === "log" ? piece.value.events.length : 1);

/** What one record becomes, whole. Control and clock records become nothing. */
export const toPieces = (record: ShardRecord, decoded: DecodedRecord, context: PieceContext): Piece[] =>
  [...toSpans(record, decoded, context)].flatMap((span) => span.pieces);

/**
 * What a record becomes from its event number `fromItem` on, span by span. Spans follow the record's own order, so how
 * far a record is written can be said as a number of its events, whatever the entity rules were then and are now.
 * Within a span: log batches by entity in the order of their first events, then dead letters.
 */
export function* toSpans(
  record: ShardRecord,
  decoded: DecodedRecord,
  context: PieceContext,
  fromItem = 0,
  spanBytes = SPAN_BYTES,
): Generator<Span> {
  if (decoded.kind === "rejected" && fromItem === 0) yield { pieces: [deadRecord(record, decoded, context)], items: 1 };
  if (decoded.kind !== "data") return;
  const of = entityOf(decoded.account, decoded.logGroup, decoded.logStream, context.entities);
  const { items } = decoded;
  for (let from = fromItem; from < items.length; ) {
    let bytes = 0;
    let to = from;
    while (to < items.length && to - from < SPAN_ITEMS && bytes < spanBytes) bytes += sizeOf(items[to++]!);
    yield { pieces: piecesOf(record, decoded, items.slice(from, to), of, context), items: to - from };
    from = to;
  }
}

const sizeOf = (item: EventItem): number => ("code" in item ? item.bytes.length : item.message.length);

interface Chunk {
  events: LogEvent[];
  bytes: number;
}

function piecesOf(
  record: ShardRecord,
  data: DataRecord,
  items: readonly EventItem[],
  of: EntityOf,
  context: PieceContext,
): Piece[] {
  const byEntity = new Map<string, Chunk[]>();
  const letters: Piece[] = [];
  for (const item of items) {
    if ("code" in item) letters.push(dead(record, context, { ...item, entity: of(item.message) }));
    else addTo(byEntity, of(item.message), item);
  }
  const pieces: Piece[] = [];
  for (const [entity, chunks] of byEntity) {
    const partition = partitionFor(entity, context.partitions);
    for (const { events } of chunks) {
      const value: LogBatch = {
        kind: "events",
        source: context.source,
        clockMs: context.clockMs,
        arrivalMs: record.arrivalMs,
        sequence: record.sequence,
        account: data.account,
        logGroup: data.logGroup,
        logStream: data.logStream,
        entity,
        events,
      };
      pieces.push({ kind: "log", partition, value });
    }
  }
  return [...pieces, ...letters];
}

function addTo(byEntity: Map<string, Chunk[]>, entity: string, event: LogEvent): void {
  const bytes = Buffer.byteLength(event.message) + Buffer.byteLength(event.id) + EVENT_OVERHEAD_BYTES;
  let chunks = byEntity.get(entity);
  if (!chunks) {
    chunks = [];
    byEntity.set(entity, chunks);
  }
  let last = chunks.at(-1);
  if (!last || last.events.length === MAX_BATCH_EVENTS || last.bytes + bytes > MAX_BATCH_BYTES) {
    last = { events: [], bytes: ENVELOPE_BYTES };
    chunks.push(last);
  }
  last.events.push(event);
  last.bytes += bytes;
}

const deadRecord = (record: ShardRecord, { code, reason }: { code: string; reason: string }, context: PieceContext) =>
  dead(record, context, {
    code,
    reason,
    eventId: "",
    timestampMs: record.arrivalMs,
    entity: "",
    bytes: record.data,
  });

type LetterPart = Pick<DeadLetter, "code" | "reason" | "eventId" | "timestampMs" | "entity"> & { bytes: Uint8Array };

function dead(record: ShardRecord, context: PieceContext, part: LetterPart): Piece {
  const { buffer, byteOffset, byteLength } = part.bytes;
  // Where to find the rest stands in the letter: the stream keeps the record under shard and sequence number.
  const cut = byteLength > MAX_DEAD_BYTES ? ` Cut: the first ${MAX_DEAD_BYTES} of ${byteLength} bytes.` : "";
  const value: DeadLetter = {
    code: part.code,
    reason: `${part.reason}${cut}`,
    stage: "bridge",
    originTopic: `kinesis:${context.stream}`,
    originPartition: context.shard,
    originOffset: record.sequence,
    eventId: part.eventId.slice(0, 1_000),
    timestampMs: part.timestampMs,
    entity: part.entity,
    bytes: Buffer.from(buffer, byteOffset, Math.min(byteLength, MAX_DEAD_BYTES)),
  };
  return { kind: "dead", arrivalMs: record.arrivalMs, value };
}
