import type { EvidenceLine } from "../processors/index.ts";
import type { Codecs, Evidence, LogBatch } from "../schemas/index.ts";
import { type PartitionReader, topicName } from "../streams/index.ts";

/** Of one incident. */
const MAX_RECORDS = 200;
const MAX_TEXT_BYTES = 200_000;
/** Records of others lie between those of the entity: so many are looked through for one piece of evidence. */
const MAX_SCANNED = 5_000;
const FETCH_BYTES = 512 << 10;

type Decoder = Pick<Codecs, "unknownId" | "learn" | "decode">;

/** Opens the records that an incident's evidence names and keeps the events of its machines. */
export class EvidenceReader {
  readonly #reader: Pick<PartitionReader, "fetch">;
  readonly #codecs: Decoder;

  constructor(reader: Pick<PartitionReader, "fetch">, codecs: Decoder) {
    this.#reader = reader;
    this.#codecs = codecs;
  }

  /**
   * The events behind `evidence`, the newest piece first, until 200 records or 200 KB are full; each piece gets an
   * equal share at least. A record that is gone or cannot be decoded is left out; broker errors are thrown.
   */
  async read(evidence: readonly Evidence[], signal: AbortSignal): Promise<EvidenceLine[]> {
    const pieces = merged(evidence);
    const lines: EvidenceLine[] = [];
    let records = MAX_RECORDS;
    let bytes = MAX_TEXT_BYTES;
    for (const [i, piece] of pieces.entries()) {
      const left = pieces.length - i;
      const share = { records: Math.ceil(records / left), bytes: Math.ceil(bytes / left) };
      const found = await this.#readPiece(piece, share, signal);
      lines.push(...found.lines);
      records -= found.records;
      bytes -= found.lines.reduce((sum, line) => sum + line.text.length, 0);
    }
    return lines;
  }

  async #readPiece(
    piece: Evidence,
    share: { readonly records: number; readonly bytes: number },
    signal: AbortSignal,
  ): Promise<{ lines: EvidenceLine[]; records: number }> {
    const { topic, partition, entity, lastOffset } = piece;
    const lines: EvidenceLine[] = [];
    let records = 0;
    let bytes = 0;
    let scanned = 0;
    let offset = piece.firstOffset;
    while (offset <= lastOffset && scanned < MAX_SCANNED) {
      signal.throwIfAborted();
      const batch = await this.#reader.fetch(topicName(topic), partition, offset, {
        maxBytes: FETCH_BYTES,
        maxWaitMs: 100,
      });
      for (const record of batch.records) {
        if (record.offset > lastOffset || records >= share.records || bytes >= share.bytes) return { lines, records };
        scanned++;
        const value = record.value && (await this.#decode(topic, record.value));
        if (value?.kind !== "events" || value.entity !== entity) continue;
        records++;
        for (const { id, timestampMs, message } of value.events) {
          const text = message.slice(0, Math.max(0, share.bytes - bytes));
          bytes += text.length;
          if (text) lines.push({ entity, timestampMs, topic, partition, offset: record.offset, eventId: id, text });
        }
      }
      if (batch.nextOffset <= offset) break;
      offset = batch.nextOffset;
    }
    return { lines, records };
  }

  async #decode(topic: string, bytes: Buffer): Promise<LogBatch | null> {
    try {
      const unknown = this.#codecs.unknownId(bytes);
      if (unknown !== null) await this.#codecs.learn(unknown);
      return this.#codecs.decode<LogBatch>(topic, bytes);
    } catch {
      return null;
    }
  }
}

/** Pieces with a record behind them, the newest first; overlapping ones of an entity are read once. */
function merged(evidence: readonly Evidence[]): Evidence[] {
  const pieces: Evidence[] = [];
  const known = evidence.filter((e) => e.firstOffset >= 0 && e.lastOffset >= e.firstOffset);
  for (const e of known.toSorted((a, b) => a.firstOffset - b.firstOffset)) {
    const i = pieces.findIndex(
      (p) =>
        p.entity === e.entity && p.topic === e.topic && p.partition === e.partition && e.firstOffset <= p.lastOffset,
    );
    if (i < 0) pieces.push(e);
    else pieces[i] = { ...pieces[i]!, lastOffset: Math.max(pieces[i]!.lastOffset, e.lastOffset) };
  }
  return pieces.sort((a, b) => b.windowEndMs - a.windowEndMs);
}
