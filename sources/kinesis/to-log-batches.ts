import type { DeadLetter, LogBatch, LogEvent } from "../../schemas/index.ts";
import { partitionFor } from "../../streams/index.ts";
import type { DataRecord, DecodedRecord } from "./decode.ts";
import { type EntityOptions, entityOf } from "./entity.ts";

/** One record as it came out of a shard. */
export interface ShardRecord {
  readonly sequence: string;
  /** Approximate arrival at the stream, as Kinesis stamped it. */
  readonly arrivalMs: number;
  readonly data: Uint8Array;
}

/** One message to write. Pieces of a record have a fixed order: they are a function of the record alone. */
export type Piece =
  | { readonly kind: "log"; readonly partition: number; readonly value: LogBatch }
  | { readonly kind: "dead"; readonly arrivalMs: number; readonly value: DeadLetter };

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
/** Avro's framing of an event: two lengths and a time. */
const EVENT_OVERHEAD_BYTES = 20;
/** Account, group and stream of 512 characters each, the same again as entity, and the rest. */
const ENVELOPE_BYTES = 10_000;

/** Events (or rejected inputs) that a piece accounts for. */
export const eventsOf = (piece: Piece): number => (piece.kind === "log" ? piece.value.events.length : 1);

/** What one record becomes: log batches by entity, then dead letters. Control and clock records become nothing. */
export function toPieces(record: ShardRecord, decoded: DecodedRecord, context: PieceContext): Piece[] {
  if (decoded.kind === "data") return dataPieces(record, decoded, context);
  if (decoded.kind !== "rejected") return [];
  const { code, reason } = decoded;
  const letter = { code, reason, eventId: "", timestampMs: record.arrivalMs, entity: "", bytes: record.data };
  return [dead(record, context, letter)];
}

function dataPieces(record: ShardRecord, data: DataRecord, context: PieceContext): Piece[] {
  const of = entityOf(data.account, data.logGroup, data.logStream, context.entities);
  const byEntity = new Map<string, LogEvent[][]>();
  const sizes = new Map<string, number>();
  for (const event of data.events) {
    const entity = of(event.message);
    const bytes = Buffer.byteLength(event.message) + Buffer.byteLength(event.id) + EVENT_OVERHEAD_BYTES;
    const chunks = byEntity.get(entity) ?? [[]];
    byEntity.set(entity, chunks);
    let last = chunks.at(-1)!;
    let size = (sizes.get(entity) ?? ENVELOPE_BYTES) + bytes;
    if (last.length === MAX_BATCH_EVENTS || (size > MAX_BATCH_BYTES && last.length > 0)) {
      last = [];
      chunks.push(last);
      size = ENVELOPE_BYTES + bytes;
    }
    last.push(event);
    sizes.set(entity, size);
  }
  const pieces: Piece[] = [];
  for (const [entity, chunks] of byEntity) {
    const partition = partitionFor(entity, context.partitions);
    for (const events of chunks) {
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
  for (const event of data.rejected) pieces.push(dead(record, context, { ...event, entity: of(event.message) }));
  return pieces;
}

type LetterPart = Pick<DeadLetter, "code" | "reason" | "eventId" | "timestampMs" | "entity"> & { bytes: Uint8Array };

function dead(record: ShardRecord, context: PieceContext, part: LetterPart): Piece {
  const value: DeadLetter = {
    code: part.code,
    reason: part.reason,
    stage: "bridge",
    originTopic: `kinesis:${context.stream}`,
    originPartition: context.shard,
    originOffset: record.sequence,
    eventId: part.eventId.slice(0, 1_000),
    timestampMs: part.timestampMs,
    entity: part.entity,
    bytes: Buffer.from(part.bytes.buffer, part.bytes.byteOffset, Math.min(part.bytes.byteLength, MAX_DEAD_BYTES)),
  };
  return { kind: "dead", arrivalMs: record.arrivalMs, value };
}

/** The pieces without their first `events` events: those an earlier transaction has written. */
export function withoutFirst(pieces: readonly Piece[], events: number): Piece[] {
  const rest: Piece[] = [];
  let skip = events;
  for (const piece of pieces) {
    const count = eventsOf(piece);
    if (skip >= count) skip -= count;
    else if (skip > 0 && piece.kind === "log") {
      rest.push({ ...piece, value: { ...piece.value, events: piece.value.events.slice(skip) } });
      skip = 0;
    } else rest.push(piece);
  }
  return rest;
}
