import {
  type FeatureSet,
  hasValues,
  type Sample,
  type SampleFault,
  type SampleReader,
} from "../../processors/index.ts";
import type { RawRecord } from "../../streams/index.ts";
import { ENTITY, fieldOf, INSTANCE, type SampleFields, TIME, UNKNOWN } from "./fields.ts";
import { JsonScanner } from "./json-scanner.ts";

/** Of one record. */
export const MAX_SAMPLE_BYTES = 65_536;
const MAX_ENTITY_CHARACTERS = 256;
/** 1973: whoever writes less writes seconds. */
const EARLIEST_MS = 100_000_000_000;
const LATEST_MS = 8_640_000_000_000_000;
/** With a time zone: a time without one means another in each place. */
const ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)$/;

/**
 * Reads JSON samples: `{"instance" or "entity": text, "ts": milliseconds or ISO 8601, <signal>: number, …}`. The record's
 * key is the entity where no field says it. A signal that is null is one that is not there; other fields are ignored.
 */
export class JsonSampleReader implements SampleReader {
  readonly sample: SampleFields & Sample;
  readonly #signals: ReadonlyMap<string, number>;
  /** By signal: it counts, so that its value is how many. */
  readonly #counts: readonly boolean[];
  readonly #scanner: JsonScanner;

  constructor(set: FeatureSet) {
    this.#signals = new Map(set.signals.map((signal, i) => [signal.name, i]));
    this.#counts = set.signals.map((signal) => !hasValues(signal));
    this.#scanner = new JsonScanner(this.#signals);
    this.sample = { entity: "", instance: "", timestampMs: 0, values: new Float64Array(set.signals.length) };
  }

  read(record: RawRecord): SampleFault | null {
    this.#clear();
    const bytes = record.bytes ?? record.value;
    const at = record.valueAt ?? 0;
    const end = record.valueEnd ?? bytes?.length ?? 0;
    if (!bytes || end <= at) return fault("not_json", "The record has no value.");
    if (end - at > MAX_SAMPLE_BYTES) return fault("too_large", `${end - at} bytes, more than ${MAX_SAMPLE_BYTES}.`);
    if (!this.#scanner.scan(bytes, at, end, this.sample)) {
      this.#clear();
      const found = this.#parse(bytes.toString("utf8", at, end));
      if (found) return found;
    }
    return this.#judge(record);
  }

  #clear(): void {
    const { sample } = this;
    sample.entity = "";
    sample.instance = "";
    sample.timestampMs = Number.NaN;
    for (let signal = 0; signal < sample.values.length; signal++) sample.values[signal] = Number.NaN;
  }

  #parse(text: string): SampleFault | null {
    let json: unknown;
    try {
      json = JSON.parse(text);
    } catch (error) {
      return fault("not_json", (error as Error).message);
    }
    if (typeof json !== "object" || json === null || Array.isArray(json)) return fault("not_json", "No JSON object.");
    for (const [name, value] of Object.entries(json)) {
      const field = fieldOf(this.#signals, name);
      if (field === UNKNOWN) continue;
      if (field === TIME) this.sample.timestampMs = timeOf(value);
      else if (field === ENTITY || field === INSTANCE) {
        this.sample[field === ENTITY ? "entity" : "instance"] = typeof value === "string" ? value : "";
      } else if (typeof value === "number") this.sample.values[field] = value;
      else if (value === null) this.sample.values[field] = Number.NaN;
      else return fault("bad_value", `${name} is no number.`);
    }
    return null;
  }

  #judge(record: RawRecord): SampleFault | null {
    const { sample } = this;
    sample.entity ||= sample.instance || (record.key?.toString() ?? "");
    if (sample.entity === "") return fault("no_entity", "Neither entity nor instance nor a key says whose it is.");
    if (sample.entity.length > MAX_ENTITY_CHARACTERS) {
      sample.entity = sample.entity.slice(0, MAX_ENTITY_CHARACTERS);
      return fault("no_entity", `The entity's name is longer than ${MAX_ENTITY_CHARACTERS} characters.`);
    }
    sample.timestampMs = Math.floor(sample.timestampMs);
    if (!(sample.timestampMs >= EARLIEST_MS && sample.timestampMs <= LATEST_MS)) {
      return fault("no_time", "ts is neither milliseconds since 1970 nor ISO 8601 with a time zone.");
    }
    let values = 0;
    for (let signal = 0; signal < sample.values.length; signal++) {
      const value = sample.values[signal]!;
      if (Number.isNaN(value)) continue;
      values++;
      if (this.#counts[signal] && !(value >= 0 && Number.isSafeInteger(value))) {
        return fault("bad_value", `A count is ${value}, not a whole number.`);
      }
    }
    return values > 0 ? null : fault("no_signal", "None of its fields is a number for a signal of the feature set.");
  }
}

function timeOf(value: unknown): number {
  if (typeof value === "number") return value;
  return typeof value === "string" && ISO.test(value) ? Date.parse(value) : Number.NaN;
}

const fault = (code: string, reason: string): SampleFault => ({ code, reason });
