import type { Output, StateStore, TopicName } from "../../streams/index.ts";
import type { TemplateSignal } from "../templates/index.ts";
import { HOUR_MINUTES } from "./compile-columns.ts";
import type { FeatureSet } from "./feature-set.ts";
import { DAY_HOURS, HourStore, KEPT_HOURS } from "./hour-store.ts";
import { type MeanAndLowest, MinuteRows } from "./minute-rows.ts";
import { addValue } from "./pane-cells.ts";
import { paneLayout } from "./pane-layout.ts";
import { PaneStore } from "./pane-store.ts";
import { RowBuilder, reachMinutes } from "./row-builder.ts";
import { TemplateStore } from "./template-store.ts";
import { closedBefore } from "./time.ts";

/** Of one partition. */
export const MAX_ENTITIES = 100_000;
/** Open minutes held at once: grace and the skew between sources. The bridge pauses a shard at 10 minutes' lead. */
const MAX_OPEN_MINUTES = 240;
/** A longer stretch of minutes without any entity is passed over in one step. */
const MAX_EMPTY_MINUTES = 240;

export interface EmitterOptions {
  /** Topic of the FeatureBatch values. */
  readonly topic: TopicName;
  readonly partition: number;
  readonly graceMs: number;
  readonly maxRowsPerBatch: number;
}

/** What a stage keeps of windows: both are in minutes since the epoch, and both rise here only. */
export interface EmitterTime {
  /** Minutes below are closed. */
  closedMinute: number;
  /** Last window end that was emitted. */
  emittedMinute: number;
}

/**
 * The panes of one partition and what they come to: closes minutes and sends the rows of the window ends that they
 * complete, once and for good.
 */
export class RowEmitter {
  readonly panes: PaneStore;
  readonly templates: TemplateStore | null;
  readonly #set: FeatureSet;
  readonly #options: EmitterOptions;
  readonly #hours: HourStore | null;
  readonly #rows: RowBuilder;
  /** Where the figures of an entity's templates go in its panes. */
  readonly #templateCells: readonly { template: TemplateSignal; cellAt: number; centre: number }[];
  #ready = false;
  #quality: MeanAndLowest | undefined;

  constructor(set: FeatureSet, options: EmitterOptions) {
    this.#set = set;
    this.#options = options;
    const layout = paneLayout(set);
    const keptMinutes = set.hourly ? DAY_HOURS * HOUR_MINUTES : reachMinutes(set) - set.hopMinutes;
    this.panes = new PaneStore("panes", layout, {
      minutes: reachMinutes(set) + MAX_OPEN_MINUTES,
      entities: MAX_ENTITIES,
      silenceStepMinutes: set.hourly ? HOUR_MINUTES : 1,
      keptMinutes,
    });
    const sinceOf = (slot: number) => this.panes.sinceOf(slot);
    this.#hours = set.hourly ? new HourStore("hours", set.daySignals.length, layout.slotsPerChunk, sinceOf) : null;
    this.templates = set.templateSignals.length > 0 ? new TemplateStore("templates", keptMinutes) : null;
    this.#templateCells = set.signals.flatMap((signal, index) =>
      "template" in signal ? [{ template: signal.template, cellAt: layout.cellAt[index]!, centre: signal.centre }] : [],
    );
    this.#rows = new RowBuilder(set, this.panes, this.#hours);
  }

  get stores(): readonly StateStore[] {
    return [this.panes, ...(this.templates ? [this.templates] : []), ...(this.#hours ? [this.#hours] : [])];
  }

  /** Of the rows that were emitted last, since this instance was made. */
  figures(): Record<string, number> {
    return this.#quality ? { quality_mean: this.#quality.mean, quality_lowest: this.#quality.lowest } : {};
  }

  /** The stores went back. */
  reset(): void {
    this.#ready = false;
  }

  /** To be called before a record is taken: an entity that has only hours left of it after a restore is still known. */
  getReady(): void {
    if (this.#ready) return;
    this.#ready = true;
    const slots = this.panes.entities().map(([, slot]) => slot);
    this.#hours?.forEachNewest(slots, (slot, hour) => this.panes.wasThere(slot, hour * HOUR_MINUTES));
  }

  /** Emits every hop's window end up to the watermark, then forgets what no later row can see. False: no minute closed. */
  emit(watermarkMs: number, time: EmitterTime, out: Output): boolean {
    const { hopMinutes } = this.#set;
    const reach = reachMinutes(this.#set);
    const closed = closedBefore(watermarkMs, this.#options.graceMs);
    if (closed <= time.closedMinute) return false;
    time.closedMinute = closed;
    const last = closed - (closed % hopMinutes);
    while (time.emittedMinute < last) {
      const next = time.emittedMinute + hopMinutes;
      const seesFrom = this.panes.nextMinute(next - reach) ?? last;
      const firstFull = Math.min(last, Math.ceil((seesFrom + 1) / hopMinutes) * hopMinutes);
      const end = firstFull - next > MAX_EMPTY_MINUTES ? firstFull : next;
      // Minute by minute: a row sees what was known at its end, however many minutes close at once.
      this.#close(end);
      this.#emitEnd(end, out);
      time.emittedMinute = end;
    }
    this.#close(closed);
    const needed = time.emittedMinute + hopMinutes - reach;
    const hour = Math.floor(time.emittedMinute / HOUR_MINUTES) - KEPT_HOURS;
    const freed = this.panes.evictBelow(needed, this.#hours ? Math.min(needed, hour * HOUR_MINUTES) : needed);
    for (const slot of freed) this.templates?.forget(slot);
    this.#hours?.evictBelow(hour);
    return true;
  }

  /** Closes the minutes below; what their lines' templates come to is a value of each of them. */
  #close(minute: number): void {
    for (const m of this.templates ? this.panes.openBelow(minute) : []) {
      this.templates?.close(m, (slot, found) => {
        const values = this.panes.openToWrite(m, slot);
        const base = this.panes.baseOf(slot);
        for (const { template, cellAt, centre } of this.#templateCells) {
          const value = found[template];
          if (!Number.isNaN(value)) addValue(values, base + cellAt, value, centre);
        }
      });
    }
    this.panes.closeBelow(minute);
  }

  #emitEnd(end: number, out: Output): void {
    const { maxRowsPerBatch, partition, topic } = this.#options;
    this.#rows.atEnd(end);
    const alive: string[] = [];
    const slots: number[] = [];
    const silent: string[] = [];
    for (const [entity, slot] of this.panes.entities()) {
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
