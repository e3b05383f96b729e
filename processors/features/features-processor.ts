import type { FeatureBatch, LogBatch, LogEvent } from "../../schemas/index.ts";
import {
  type InputRecord,
  KeyValueStore,
  type Output,
  type Processor,
  partitionFor,
  type Rejection,
  SourceClocks,
  type SourceClocksSnapshot,
  type TopicName,
} from "../../streams/index.ts";
import { type ParsedEvent, parseEvent } from "../parse/index.ts";
import type { FeatureSet } from "./feature-set.ts";
import { OpenTraces } from "./open-traces.ts";
import { addOrdered, addValue, COUNT, EVENTS, FIRST_OFFSET, FLAGGED, LAST_OFFSET, paneLayout } from "./pane-layout.ts";
import { PaneStore } from "./pane-store.ts";
import { RowBuilder, reachMinutes } from "./row-builder.ts";
import { extendHash, hashText, newHash, SeenEvents, tieOf } from "./seen-events.ts";
import { closedBefore, isLate, MINUTE_MS, minuteOf } from "./time.ts";

export interface FeaturesOptions {
  readonly featureSet: FeatureSet;
  /** Topic of the FeatureBatch values. */
  readonly topic: TopicName;
  readonly partition: number;
  /** Of the input topic: an entity must lie in its own. */
  readonly partitions: number;
  /** How long a minute outlives its end. */
  readonly graceMs?: number;
  readonly maxRowsPerBatch?: number;
}

export const DEFAULT_GRACE_MS = 60_000;
/** Rows of one FeatureBatch: what one call to the model server takes. */
export const MAX_ROWS_PER_BATCH = 512;
/** Further ahead of its record's clock than this no event is believed. CloudWatch itself takes two hours. */
const MAX_AHEAD_MS = 2 * 3_600_000;
/** A longer stretch of minutes without any entity is passed over in one step. */
const MAX_EMPTY_MINUTES = 240;
/** Of one partition. */
const MAX_ENTITIES = 100_000;
/** Open minutes held at once: grace and the skew between sources. The bridge pauses a shard at 10 minutes' lead. */
const MAX_OPEN_MINUTES = 240;
/** Beyond float32, which rows are made of, a value is no number. */
const MAX_MAGNITUDE = 3.4028234663852886e38;

/** Where the stage stands in time. */
interface TimeState {
  readonly clocks: SourceClocksSnapshot;
  /** Last window end that was emitted, in minutes since the epoch. */
  readonly emittedMinute: number;
}

export interface FeaturesProcessor extends Processor<LogBatch> {
  /** Events that were kept although something was wrong with them, by flaw, since this instance was made. */
  readonly flaws: ReadonlyMap<string, number>;
}

/**
 * logs.raw → feature rows (design §4).
 *
 * For each record, in this order: 1. the clock it carries, which its source had when it came to it, becomes its source's
 * here; 2. its events are judged against that clock: late, of the wrong partition, seen before, or counted into their
 * minute's panes; 3. the windows that the watermark has passed by are emitted, once and for good.
 *
 * 1 before 2, because what this partition has heard of its source depends on how many partitions there are and on where
 * a transaction of the bridge ended; the carried clock is a function of the shard alone. A source that was idle and
 * wakes below the watermark, or is not known yet, may bring events of closed minutes: they are late as well.
 */
export function createFeaturesProcessor(options: FeaturesOptions): FeaturesProcessor {
  return new Features(options);
}

class Features implements FeaturesProcessor {
  readonly stores;
  readonly flaws = new Map<string, number>();
  #set: FeatureSet;
  #options: Required<FeaturesOptions>;
  #panes: PaneStore;
  #seen = new SeenEvents("seen");
  #time = new KeyValueStore<TimeState>("time");
  #traces = new OpenTraces();
  #rows: RowBuilder;
  #clocks: SourceClocks | undefined;
  #emittedMinute = 0;
  /** Minutes below are closed. */
  #closedMinute = 0;
  #hash = newHash();

  constructor(options: FeaturesOptions) {
    this.#options = { graceMs: DEFAULT_GRACE_MS, maxRowsPerBatch: MAX_ROWS_PER_BATCH, ...options };
    this.#set = options.featureSet;
    this.#panes = new PaneStore("panes", paneLayout(this.#set), {
      minutes: reachMinutes(this.#set) + MAX_OPEN_MINUTES,
      entities: MAX_ENTITIES,
    });
    this.#rows = new RowBuilder(this.#set, this.#panes);
    this.stores = [this.#time, this.#panes, this.#seen, this.#traces.store];
  }

  process(record: InputRecord<LogBatch>, out: Output): void {
    const clocks = this.#clocksAfterRestore();
    const batch = record.value;
    if (batch.kind === "events") {
      clocks.advance(batch.source, batch.clockMs);
      this.#takeEvents(record, clocks.clockOf(batch.source), out);
    } else {
      out.count("control", 1);
      if (batch.kind === "open") clocks.open(batch.source, batch.clockMs);
      else if (batch.kind === "close") clocks.close(batch.source);
      else clocks.advance(batch.source, batch.clockMs);
      if (batch.kind === "idle") clocks.idle(batch.source);
    }
    this.#emit(clocks.watermarkMs, out);
    this.#time.put("now", { clocks: clocks.snapshot(), emittedMinute: this.#emittedMinute });
  }

  reset(): void {
    this.#clocks = undefined;
  }

  standing() {
    return { clocks: this.#clocksAfterRestore().snapshot(), emittedMinute: this.#emittedMinute };
  }

  #clocksAfterRestore(): SourceClocks {
    if (!this.#clocks) {
      const saved = this.#time.get("now");
      this.#clocks = new SourceClocks(saved?.clocks);
      this.#emittedMinute = saved?.emittedMinute ?? 0;
      this.#closedMinute = closedBefore(this.#clocks.watermarkMs, this.#options.graceMs);
    }
    return this.#clocks;
  }

  #takeEvents(record: InputRecord<LogBatch>, clockMs: number, out: Output): void {
    const batch = record.value;
    const { entity } = batch;
    const { graceMs, partition, partitions } = this.#options;
    const known = this.#panes.slotOf(entity);
    if (known === undefined && (entity === "" || partitionFor(entity, partitions) !== partition)) {
      const reason = `Entity "${entity}" does not belong to partition ${partition} of ${partitions}.`;
      for (const event of batch.events) out.reject(rejection("wrong_partition", reason, event, entity));
      return;
    }
    const seed = hashText(`${entity}\0${batch.account}\0${batch.logGroup}\0${batch.logStream}\0`);
    const stream = `${batch.source}\0${batch.account}\0${batch.logGroup}\0${batch.logStream}`;
    let accepted = 0;
    let duplicates = 0;
    for (const event of batch.events) {
      const { timestampMs } = event;
      const minute = minuteOf(timestampMs);
      if (isLate(timestampMs, clockMs, graceMs) || minute < this.#closedMinute) {
        const reason = `Its minute has closed: the source's clock stood at ${clockMs}, grace is ${graceMs} ms.`;
        out.late(rejection("late", reason, event, entity));
        continue;
      }
      if (batch.clockMs > 0 && timestampMs > batch.clockMs + MAX_AHEAD_MS) {
        const reason = `More than ${MAX_AHEAD_MS} ms ahead of its source's clock ${batch.clockMs}.`;
        out.reject(rejection("too_far_ahead", reason, event, entity));
        continue;
      }
      const isNew = this.#seen.add(minute, extendHash(seed, event.id, this.#hash));
      const parsed = parseEvent(batch.logGroup, batch.logStream, event.message, timestampMs);
      // A duplicate may be the first line that this source has of a trace.
      const continues = parsed.kind === "log" && this.#traces.continues(stream, event.message, parsed);
      if (!isNew) duplicates++;
      else {
        const slot = this.#panes.slotOf(entity) ?? this.#panes.takeSlot(entity, this.#closedMinute);
        if (slot === undefined) {
          const reason = `This partition already follows ${MAX_ENTITIES} entities.`;
          out.reject(rejection("too_many_entities", reason, event, entity));
        } else {
          this.#addEvent(slot, minute, record, parsed, continues);
          accepted++;
        }
      }
    }
    if (accepted > 0) out.count("accepted", accepted);
    if (duplicates > 0) out.count("duplicate", duplicates);
  }

  #addEvent(
    slot: number,
    minute: number,
    record: InputRecord<LogBatch>,
    parsed: ParsedEvent,
    continues: boolean,
  ): void {
    const { layout } = this.#panes;
    const { values } = this.#panes.chunkToWrite(minute, slot);
    const base = this.#panes.baseOf(slot);
    const own = base + layout.slotFields;
    if (values[own + EVENTS]! === 0 || record.offset < values[own + FIRST_OFFSET]!) {
      values[own + FIRST_OFFSET] = record.offset;
    }
    if (values[own + EVENTS]! === 0 || record.offset > values[own + LAST_OFFSET]!) {
      values[own + LAST_OFFSET] = record.offset;
    }
    values[own + EVENTS]! += 1;

    if (parsed.flaw) this.flaws.set(parsed.flaw, (this.flaws.get(parsed.flaw) ?? 0) + 1);
    if (parsed.kind === "log") {
      if (!continues)
        for (const signal of this.#set.levelSignals[parsed.level]) values[base + signal * layout.cell + COUNT]! += 1;
      return;
    }
    for (const sample of parsed.samples) {
      const index = this.#set.metricSignals.get(sample.name);
      if (index === undefined) continue;
      const signal = this.#set.signals[index]!;
      if (!("metric" in signal)) continue;
      const cell = base + index * layout.cell;
      for (const value of sample.values) {
        if (!(Math.abs(value) <= MAX_MAGNITUDE)) continue;
        addValue(values, cell, value, signal.centre);
        if (layout.ordered) addOrdered(values, cell, value, parsed.timestampMs, tieOf(this.#hash));
        if (signal.range && (value < signal.range[0] || value > signal.range[1])) values[cell + FLAGGED]! += 1;
      }
    }
  }

  /** Emits every hop's window end up to the watermark, then forgets what no later row can see. */
  #emit(watermarkMs: number, out: Output): void {
    const { hopMinutes } = this.#set;
    const reach = reachMinutes(this.#set);
    const closed = closedBefore(watermarkMs, this.#options.graceMs);
    if (closed <= this.#closedMinute) return;
    this.#closedMinute = closed;
    const last = closed - (closed % hopMinutes);
    while (this.#emittedMinute < last) {
      const next = this.#emittedMinute + hopMinutes;
      const seesFrom = this.#panes.nextMinute(next - reach) ?? last;
      const firstFull = Math.min(last, Math.ceil((seesFrom + 1) / hopMinutes) * hopMinutes);
      const end = firstFull - next > MAX_EMPTY_MINUTES ? firstFull : next;
      this.#emitEnd(end, out);
      this.#emittedMinute = end;
    }
    this.#panes.evictBelow(this.#emittedMinute + hopMinutes - reach);
    this.#seen.evictBelow(closed);
    this.#traces.evictBefore(closed * MINUTE_MS);
  }

  #emitEnd(end: number, out: Output): void {
    const { maxRowsPerBatch, partition, topic } = this.#options;
    this.#rows.atEnd(end);
    const alive: (readonly [entity: string, slot: number])[] = [];
    const silent: string[] = [];
    for (const held of this.#panes.entities()) {
      const activity = this.#rows.activityOf(held[1]);
      if (activity === "alive") alive.push(held);
      else if (activity === "silent") silent.push(held[0]);
    }
    const chunks = Math.max(1, Math.ceil(alive.length / maxRowsPerBatch));
    for (let chunk = 0; chunk < chunks; chunk++) {
      const part = alive.slice(chunk * maxRowsPerBatch, (chunk + 1) * maxRowsPerBatch);
      const batch = this.#batch(end, part, chunk, chunks, chunk === 0 ? silent : []);
      out.send(topic, `${partition}/${end}/${chunk}`, batch, batch.windowEndMs);
    }
  }

  #batch(
    end: number,
    held: readonly (readonly [entity: string, slot: number])[],
    chunk: number,
    chunks: number,
    silent: string[],
  ): FeatureBatch {
    const columns = this.#set.columns.length;
    const matrix = new Float32Array(held.length * columns);
    const quality = new Float32Array(held.length);
    const firstOffset: number[] = [];
    const lastOffset: number[] = [];
    for (const [row, [, slot]] of held.entries()) {
      quality[row] = this.#rows.build(slot, matrix, row * columns);
      const [first, last] = this.#rows.evidenceOf(slot);
      firstOffset.push(first);
      lastOffset.push(last);
    }
    return {
      featureSet: this.#set.name,
      featureSetHash: this.#set.hash,
      windowEndMs: end * MINUTE_MS,
      // Not the input's watermark: later windows end below that by as much as the grace.
      watermarkMs: end * MINUTE_MS,
      chunk,
      chunks,
      entities: held.map(([entity]) => entity),
      columns,
      matrix: Buffer.from(matrix.buffer),
      quality: Buffer.from(quality.buffer),
      firstOffset,
      lastOffset,
      silent,
    };
  }
}

const rejection = (code: string, reason: string, event: LogEvent, entity: string): Rejection => ({
  code,
  reason,
  eventId: event.id,
  timestampMs: event.timestampMs,
  entity,
  bytes: Buffer.from(event.message),
});
