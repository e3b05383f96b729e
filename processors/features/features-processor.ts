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
import { HOUR_MINUTES } from "./compile-columns.ts";
import { type FeatureSet, hasValues } from "./feature-set.ts";
import { DAY_HOURS, HourStore, KEPT_HOURS } from "./hour-store.ts";
import { Intake } from "./intake.ts";
import { type MeanAndLowest, MinuteRows } from "./minute-rows.ts";
import { OpenTraces } from "./open-traces.ts";
import { addValue } from "./pane-cells.ts";
import { paneLayout } from "./pane-layout.ts";
import { PaneStore } from "./pane-store.ts";
import { RowBuilder, reachMinutes } from "./row-builder.ts";
import { extendHash, hashText, newHash, SeenEvents, tieOf } from "./seen-events.ts";
import { StageTime } from "./stage-time.ts";
import { TemplateStore } from "./template-store.ts";
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
  readonly #set: FeatureSet;
  readonly #options: Required<FeaturesOptions>;
  readonly #panes: PaneStore;
  readonly #seen = new SeenEvents("seen");
  readonly #time: StageTime;
  readonly #traces = new OpenTraces();
  readonly #templates: TemplateStore | null;
  readonly #hours: HourStore | null;
  readonly #intake: Intake;
  readonly #rows: RowBuilder;
  readonly #hash = newHash();
  #ready = false;
  #quality: MeanAndLowest | undefined;

  constructor(options: FeaturesOptions) {
    this.#options = { graceMs: DEFAULT_GRACE_MS, maxRowsPerBatch: MAX_ROWS_PER_BATCH, ...options };
    const set = options.featureSet;
    this.#set = set;
    const layout = paneLayout(set);
    const keptMinutes = set.hourly ? DAY_HOURS * HOUR_MINUTES : reachMinutes(set) - set.hopMinutes;
    this.#panes = new PaneStore("panes", layout, {
      minutes: reachMinutes(set) + MAX_OPEN_MINUTES,
      entities: MAX_ENTITIES,
      silenceStepMinutes: set.hourly ? HOUR_MINUTES : 1,
      keptMinutes,
    });
    const sinceOf = (slot: number) => this.#panes.sinceOf(slot);
    this.#hours = set.hourly ? new HourStore("hours", set.daySignals.length, layout.slotsPerChunk, sinceOf) : null;
    this.#templates = set.templateSignals.length > 0 ? new TemplateStore("templates", keptMinutes) : null;
    this.#time = new StageTime("time", this.#options.graceMs);
    this.#intake = new Intake(set, this.#panes, this.#templates);
    this.#rows = new RowBuilder(set, this.#panes, this.#hours);
    this.stores = [
      this.#time,
      this.#panes,
      this.#seen,
      this.#traces.store,
      ...(this.#templates ? [this.#templates] : []),
      ...(this.#hours ? [this.#hours] : []),
    ];
  }

  process(record: InputRecord<LogBatch>, out: Output): void {
    this.#getReady();
    const { clocks } = this.#time;
    const batch = record.value;
    if (batch.kind === "events") {
      clocks.advance(batch.source, batch.clockMs);
      this.#emit(clocks.watermarkMs, out);
      this.#takeEvents(record, clocks.clockOf(batch.source), out);
    } else {
      out.count("control", 1);
      if (batch.kind === "open") clocks.open(batch.source, batch.clockMs);
      else if (batch.kind === "close") clocks.close(batch.source);
      else clocks.advance(batch.source, batch.clockMs);
      if (batch.kind === "idle") clocks.idle(batch.source);
      this.#emit(clocks.watermarkMs, out);
    }
    this.#time.changed();
  }

  reset(): void {
    this.#ready = false;
  }

  standing() {
    return { clocks: this.#time.clocks.snapshot(), emittedMinute: this.#time.emittedMinute };
  }

  figures() {
    const flaws = Object.fromEntries([...this.flaws].map(([flaw, events]) => [`flaw_${flaw}`, events]));
    return {
      ...(this.#quality && { quality_mean: this.#quality.mean, quality_lowest: this.#quality.lowest }),
      ...flaws,
    };
  }

  /** Before the first record: an entity that has only hours left of it after a restore is still known. */
  #getReady(): void {
    if (this.#ready) return;
    this.#ready = true;
    const slots = this.#panes.entities().map(([, slot]) => slot);
    this.#hours?.forEachNewest(slots, (slot, hour) => this.#panes.wasThere(slot, hour * HOUR_MINUTES));
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

  /** Emits every hop's window end up to the watermark, then forgets what no later row can see. */
  #emit(watermarkMs: number, out: Output): void {
    const { hopMinutes } = this.#set;
    const reach = reachMinutes(this.#set);
    const closed = closedBefore(watermarkMs, this.#options.graceMs);
    if (closed <= this.#time.closedMinute) return;
    this.#time.closedMinute = closed;
    const last = closed - (closed % hopMinutes);
    while (this.#time.emittedMinute < last) {
      const next = this.#time.emittedMinute + hopMinutes;
      const seesFrom = this.#panes.nextMinute(next - reach) ?? last;
      const firstFull = Math.min(last, Math.ceil((seesFrom + 1) / hopMinutes) * hopMinutes);
      const end = firstFull - next > MAX_EMPTY_MINUTES ? firstFull : next;
      // Minute by minute: a row sees what was known at its end, however many minutes close at once.
      this.#close(end);
      this.#emitEnd(end, out);
      this.#time.emittedMinute = end;
    }
    this.#close(closed);
    const needed = this.#time.emittedMinute + hopMinutes - reach;
    const hour = Math.floor(this.#time.emittedMinute / HOUR_MINUTES) - KEPT_HOURS;
    const freed = this.#panes.evictBelow(needed, this.#hours ? Math.min(needed, hour * HOUR_MINUTES) : needed);
    for (const slot of freed) this.#templates?.forget(slot);
    this.#hours?.evictBelow(hour);
    this.#seen.evictBelow(closed);
    this.#traces.evictBefore(closed * MINUTE_MS);
  }

  /** Closes the minutes below; what their lines' templates come to is a value of each of them. */
  #close(minute: number): void {
    for (const m of this.#templates ? this.#panes.openBelow(minute) : []) {
      this.#templates?.close(m, (slot, found) => {
        const values = this.#panes.openToWrite(m, slot);
        for (const index of this.#set.templateSignals) {
          const signal = this.#set.signals[index]!;
          if (!hasValues(signal) || !("template" in signal)) continue;
          const value = found[signal.template];
          const cell = this.#panes.baseOf(slot) + this.#panes.layout.cellAt[index]!;
          if (!Number.isNaN(value)) addValue(values, cell, value, signal.centre);
        }
      });
    }
    this.#panes.closeBelow(minute);
  }

  #emitEnd(end: number, out: Output): void {
    const { maxRowsPerBatch, partition, topic } = this.#options;
    this.#rows.atEnd(end);
    const alive: string[] = [];
    const slots: number[] = [];
    const silent: string[] = [];
    for (const [entity, slot] of this.#panes.entities()) {
      const activity = this.#rows.activityOf(slot);
      if (activity === "silent") silent.push(entity);
      if (activity !== "alive") continue;
      alive.push(entity);
      slots.push(slot);
    }
    const rows = new MinuteRows(this.#set, end, alive);
    this.#rows.build(slots, rows.matrix, rows.quality);
    this.#quality = rows.meanAndLowestQuality();
    for (const batch of rows.batches((row) => this.#rows.evidenceOf(slots[row]!), silent, maxRowsPerBatch))
      out.send(topic, `${partition}/${end}/${batch.chunk}`, batch, batch.windowEndMs);
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
