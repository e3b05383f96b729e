import type { Output, RawOutput, RawProcessor, RawRecord, Silence, TopicName } from "../../streams/index.ts";
import type { FeatureSet } from "./feature-set.ts";
import { DEFAULT_GRACE_MS, MAX_ROWS_PER_BATCH } from "./features-processor.ts";
import { Intake } from "./intake.ts";
import { MAX_ENTITIES, RowEmitter } from "./row-emitter.ts";
import { SampleTime } from "./sample-time.ts";
import { isLate, MINUTE_MS, minuteOf } from "./time.ts";

/** One record of a foreign topic: numbers of one entity at one time. */
export interface Sample {
  readonly entity: string;
  readonly timestampMs: number;
  /** By signal of the feature set; NaN where it has none. */
  readonly values: Float64Array;
}

/** Why a record is no sample. */
export interface SampleFault {
  readonly code: string;
  readonly reason: string;
}

/** Reads one record after the other; the sample is good until the next call. */
export interface SampleReader {
  readonly sample: Sample;
  /** Null: `sample` is what the record says. */
  read(record: RawRecord): SampleFault | null;
}

export interface SamplesOptions {
  readonly featureSet: FeatureSet;
  /** Topic of the FeatureBatch values. */
  readonly topic: TopicName;
  readonly partition: number;
  readonly reader: SampleReader;
  /** How long a minute outlives its end. */
  readonly graceMs?: number;
  /** How long nothing may come, once everything is read, before the open minutes close. */
  readonly closeAfterMs: number;
  readonly maxRowsPerBatch?: number;
}

/** Further ahead of its record's own time than this no sample is believed: it would close everything before it. */
const MAX_AHEAD_MS = 300_000;

/**
 * A foreign topic of samples → feature rows (design §4).
 *
 * There are no ticks: the newest sample of the partition is its clock, and what lies more than the grace below is late. So
 * rows are a function of the records however they lie, as long as none comes later than that. When the topic falls silent
 * the minutes still open are closed by a decision that is committed before it is used.
 */
export class SamplesProcessor implements RawProcessor {
  readonly stores;
  readonly silence: Silence;
  readonly #options: Required<SamplesOptions>;
  readonly #time: SampleTime;
  readonly #emitter: RowEmitter;
  readonly #intake: Intake;

  constructor(options: SamplesOptions) {
    this.#options = { graceMs: DEFAULT_GRACE_MS, maxRowsPerBatch: MAX_ROWS_PER_BATCH, ...options };
    this.#time = new SampleTime("time", this.#options.graceMs);
    this.#emitter = new RowEmitter(options.featureSet, this.#options);
    this.#intake = new Intake(options.featureSet, this.#emitter.panes, null);
    this.stores = [this.#time, ...this.#emitter.stores];
    this.silence = { afterMs: options.closeAfterMs, decide: () => this.#decide() };
  }

  get watermarkMs(): number {
    return this.#time.clockMs;
  }

  /** Whose rows are not out yet. */
  get openMinutes(): number {
    return this.#emitter.panes.openBelow(Number.POSITIVE_INFINITY).length;
  }

  takeRaw(records: readonly RawRecord[], out: RawOutput): void {
    this.poll(out);
    const { reader, graceMs } = this.#options;
    const { panes } = this.#emitter;
    const { sample } = reader;
    const time = this.#time;
    let accepted = 0;
    for (let i = 0; i < records.length; i++) {
      const record = records[i]!;
      const fault = reader.read(record);
      if (fault) {
        this.#reject(record, fault.code, fault.reason, out);
        continue;
      }
      const { entity, timestampMs, values } = sample;
      const minute = minuteOf(timestampMs);
      if (timestampMs > time.clockMs) {
        if (timestampMs > record.timestampMs + MAX_AHEAD_MS) {
          const reason = `More than ${MAX_AHEAD_MS} ms ahead of the record's own time ${record.timestampMs}.`;
          this.#reject(record, "future_timestamp", reason, out);
          continue;
        }
        time.clockMs = timestampMs;
        this.#emitter.emit(timestampMs, time, out);
      } else if (isLate(timestampMs, time.clockMs, graceMs) || minute < time.closedMinute) {
        this.#late(record, out);
        continue;
      }
      const refusal = this.#intake.refusalOf(values);
      const slot = panes.slotOf(entity) ?? panes.takeSlot(entity, time.closedMinute);
      if (slot === undefined) {
        const reason = `This partition already follows ${MAX_ENTITIES} entities.`;
        this.#reject(record, "too_many_entities", reason, out);
      } else if (refusal) {
        this.#reject(record, "value_refused", refusal, out);
        this.#intake.countRefused(slot, minute);
      } else {
        this.#intake.addSample(slot, minute, record.offset, timestampMs, values);
        accepted++;
      }
    }
    if (accepted > 0) out.count("accepted", accepted);
  }

  /** What silence has decided is used once it is committed, before anything else happens. */
  poll(out: Output): void {
    this.#emitter.getReady();
    if (this.#time.advance()) this.#emitter.emit(this.#time.clockMs, this.#time, out);
  }

  reset(): void {
    this.#emitter.reset();
  }

  standing() {
    const { clockMs, emittedMinute } = this.#time;
    return {
      clocks: { watermarkMs: clockMs, sources: { samples: { clockMs, idle: false } } },
      emittedMinute,
    };
  }

  figures() {
    return this.#emitter.figures();
  }

  /** Up to where the newest open minute closes, and no further: no clock of ours says what time it is over there. */
  #decide(): boolean {
    const newest = this.#emitter.panes.openBelow(Number.POSITIVE_INFINITY).at(-1);
    return newest !== undefined && this.#time.decideAdvance((newest + 1) * MINUTE_MS + this.#options.graceMs);
  }

  #late(record: RawRecord, out: RawOutput): void {
    const { entity, timestampMs } = this.#options.reader.sample;
    const reason = `Its minute has closed: the partition's clock stood at ${this.#time.clockMs}, grace is ${this.#options.graceMs} ms.`;
    out.at(record);
    out.late({ code: "late", reason, eventId: "", timestampMs, entity, bytes: record.value ?? NOTHING });
  }

  #reject(record: RawRecord, code: string, reason: string, out: RawOutput): void {
    const { entity } = this.#options.reader.sample;
    const { timestampMs } = record;
    out.at(record);
    out.reject({ code, reason, eventId: "", timestampMs, entity, bytes: record.value ?? NOTHING });
  }
}

const NOTHING = Buffer.alloc(0);
