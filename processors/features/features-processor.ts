import type { LogBatch, LogEvent } from "../../schemas/index.ts";
import {
  type InputRecord,
  type Output,
  type Processor,
  partitionFor,
  type Rejection,
  type TopicName,
} from "../../streams/index.ts";
import { parseEvent } from "../parse/index.ts";
import type { FeatureSet } from "./feature-set.ts";
import { Intake } from "./intake.ts";
import { OpenTraces } from "./open-traces.ts";
import type { PaneStore } from "./pane-store.ts";
import { MAX_ENTITIES, RowEmitter } from "./row-emitter.ts";
import { extendHash, hashText, newHash, SeenEvents, tieOf } from "./seen-events.ts";
import { StageTime } from "./stage-time.ts";
import { isLate, MINUTE_MS, minuteOf } from "./time.ts";

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
export interface FeaturesProcessor extends Processor<LogBatch> {
  /** Events that were kept although something was wrong with them, by flaw, since this instance was made. */
  readonly flaws: ReadonlyMap<string, number>;
}

/**
 * logs.raw → feature rows (design §4).
 *
 * For each record, in this order: 1. the clock it carries, which its source had when it came to it, becomes its source's
 * here; 2. the windows that the watermark has passed by are emitted, once and for good; 3. its events are judged against
 * that clock: late, of the wrong partition, seen before, or counted into their minute's panes.
 *
 * 2 before 3, so that a source that jumps leaves no minutes open behind it: what it brings lies in none of them. 1 before
 * 3, because what this partition has heard of its source depends on how many partitions there are and on where
 * a transaction of the bridge ended; the carried clock is a function of the shard alone. A source that was idle and
 * wakes below the watermark, or is not known yet, may bring events of closed minutes: they are late as well.
 */
export function createFeaturesProcessor(options: FeaturesOptions): FeaturesProcessor {
  return new Features(options);
}

class Features implements FeaturesProcessor {
  readonly stores;
  readonly flaws = new Map<string, number>();
  readonly #options: Required<FeaturesOptions>;
  readonly #panes: PaneStore;
  readonly #seen = new SeenEvents("seen");
  readonly #time: StageTime;
  readonly #traces = new OpenTraces();
  readonly #intake: Intake;
  readonly #emitter: RowEmitter;
  readonly #hash = newHash();

  constructor(options: FeaturesOptions) {
    this.#options = { graceMs: DEFAULT_GRACE_MS, maxRowsPerBatch: MAX_ROWS_PER_BATCH, ...options };
    const set = options.featureSet;
    this.#time = new StageTime("time", this.#options.graceMs);
    this.#emitter = new RowEmitter(set, this.#options);
    this.#panes = this.#emitter.panes;
    this.#intake = new Intake(set, this.#panes, this.#emitter.templates);
    const [panes, ...more] = this.#emitter.stores;
    this.stores = [this.#time, panes!, this.#seen, this.#traces.store, ...more];
  }

  process(record: InputRecord<LogBatch>, out: Output): void {
    this.#emitter.getReady();
    const { clocks } = this.#time;
    const batch = record.value;
    if (batch.kind === "events") {
      clocks.advance(batch.source, batch.clockMs);
      this.#emit(out);
      this.#takeEvents(record, clocks.clockOf(batch.source), out);
    } else {
      out.count("control", 1);
      if (batch.kind === "open") clocks.open(batch.source, batch.clockMs);
      else if (batch.kind === "close") clocks.close(batch.source);
      else clocks.advance(batch.source, batch.clockMs);
      if (batch.kind === "idle") clocks.idle(batch.source);
      this.#emit(out);
    }
    this.#time.changed();
  }

  reset(): void {
    this.#emitter.reset();
  }

  standing() {
    return { clocks: this.#time.clocks.snapshot(), emittedMinute: this.#time.emittedMinute };
  }

  figures() {
    const { quality } = this.#emitter;
    const flaws = Object.fromEntries([...this.flaws].map(([flaw, events]) => [`flaw_${flaw}`, events]));
    return {
      ...(quality && { quality_mean: quality.mean, quality_lowest: quality.lowest }),
      ...flaws,
    };
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
      if (isLate(timestampMs, clockMs, graceMs) || minute < this.#time.closedMinute) {
        const reason = `Its minute has closed: the source's clock stood at ${clockMs}, grace is ${graceMs} ms.`;
        out.late(rejection("late", reason, event, entity));
        this.#countRefused(entity, clockMs);
        continue;
      }
      if (batch.clockMs > 0 && timestampMs > batch.clockMs + MAX_AHEAD_MS) {
        const reason = `More than ${MAX_AHEAD_MS} ms ahead of its source's clock ${batch.clockMs}.`;
        out.reject(rejection("too_far_ahead", reason, event, entity));
        this.#countRefused(entity, clockMs);
        continue;
      }
      const isNew = this.#seen.add(minute, extendHash(seed, event.id, this.#hash));
      const parsed = parseEvent(batch.logGroup, batch.logStream, event.message, timestampMs);
      // A duplicate may be the first line that this source has of a trace.
      const continues = parsed.kind === "log" && this.#traces.continues(stream, event.message, parsed);
      if (!isNew) {
        duplicates++;
        continue;
      }
      if (parsed.flaw) this.flaws.set(parsed.flaw, (this.flaws.get(parsed.flaw) ?? 0) + 1);
      const refusal = this.#intake.refusal(parsed);
      const slot = this.#slotFor(entity);
      if (slot === undefined) {
        const reason = `This partition already follows ${MAX_ENTITIES} entities.`;
        out.reject(rejection("too_many_entities", reason, event, entity));
      } else if (refusal) {
        out.reject(rejection("value_refused", refusal, event, entity));
        this.#intake.countRefused(slot, minute);
      } else {
        this.#intake.add({ slot, minute, offset: record.offset, tie: tieOf(this.#hash) }, parsed, continues);
        accepted++;
      }
    }
    if (accepted > 0) out.count("accepted", accepted);
    if (duplicates > 0) out.count("duplicate", duplicates);
  }

  #slotFor(entity: string): number | undefined {
    return this.#panes.slotOf(entity) ?? this.#panes.takeSlot(entity, this.#time.closedMinute);
  }

  /** In the minute of its source's clock, which is what refused it: a function of the source alone. */
  #countRefused(entity: string, clockMs: number): void {
    const minute = minuteOf(clockMs);
    const slot = minute < this.#time.closedMinute ? undefined : this.#slotFor(entity);
    if (slot !== undefined) this.#intake.countRefused(slot, minute);
  }

  #emit(out: Output): void {
    if (!this.#emitter.emit(this.#time.clocks.watermarkMs, this.#time, out)) return;
    this.#seen.evictBelow(this.#time.closedMinute);
    this.#traces.evictBefore(this.#time.closedMinute * MINUTE_MS);
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
