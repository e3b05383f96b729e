import { readFileSync } from "node:fs";
import { compileFeatureSet, rowsOf, SamplesProcessor } from "../../../processors/features/index.ts";
import { encodeAvro, type FeatureBatch, standaloneSchema, typeOf } from "../../../schemas/index.ts";
import { JsonSampleReader } from "../../../sources/samples/index.ts";
import {
  type Broker,
  type Output,
  type RawOutput,
  type RawProcessor,
  type RawRecord,
  StageRunner,
  stageName,
  type TaskOptions,
} from "../../../streams/index.ts";
import { INPUT, OUTPUT, ROW_BYTES, sampleTimeOf } from "./topics.ts";

export interface StageSettings {
  readonly app: string;
  readonly partitions: readonly number[];
  readonly commitMs: number;
  readonly out: "batches" | "rows";
}

export type Event =
  | { readonly kind: "first"; readonly atMs: number }
  /** `complete`: the rows of everything read are out. */
  | {
      readonly kind: "commit";
      readonly atMs: number;
      readonly partition: number;
      readonly nextOffset: number;
      readonly complete: boolean;
    };

/** Nothing comes after what lies in the topic: the last minutes need not wait long. */
const CLOSE_AFTER_MS = 5;

/** The samples stage with the job's feature set, on some partitions; tells each commit. */
export function stageOf(broker: Broker, settings: StageSettings, tell: (event: Event) => void): StageRunner {
  const { app, partitions, commitMs, out } = settings;
  const featureSet = compileFeatureSet(
    JSON.parse(readFileSync(new URL("feature-set.json", import.meta.url), "utf8")) as never,
  );
  const processors = new Map<number, SamplesProcessor>();
  const create = (partition: number): RawProcessor => {
    const reader = new JsonSampleReader(featureSet);
    const processor = new SamplesProcessor({
      featureSet,
      topic: OUTPUT,
      partition,
      reader,
      closeAfterMs: CLOSE_AFTER_MS,
    });
    processors.set(partition, processor);
    return out === "rows" ? new RowByRow(processor) : processor;
  };
  let started = false;
  let runner: StageRunner;
  const options: TaskOptions = {
    broker,
    codecs,
    env: "bench",
    commitIntervalMs: commitMs,
    onStep: ({ partition }, step) => {
      if (step === "C1" && !started) {
        started = true;
        tell({ kind: "first", atMs: now() });
      }
      if (step !== "C6") return;
      const atMs = now();
      const complete = processors.get(partition)!.openMinutes === 0;
      // The step comes right before the commit becomes the task's own: a turn later its status shows it.
      setImmediate(() => {
        const task = runner.status().find((t) => t.partition === String(partition))!;
        tell({ kind: "commit", atMs, partition, nextOffset: task.position!, complete });
      });
    },
  };
  const binding = {
    stage: stageName(app),
    input: INPUT,
    outputs: [OUTPUT],
    create,
    fingerprint: `${featureSet.hash}/${out}`,
  };
  runner = new StageRunner(binding, partitions, options);
  return runner;
}

const now = (): number => performance.timeOrigin + performance.now();

const types = new Map([[OUTPUT as string, typeOf(standaloneSchema("feature-batch"))]]);
const letter = typeOf(standaloneSchema("dead-letter"));
/** The product's Avro schemas, without a registry. */
const codecs: TaskOptions["codecs"] = {
  encode: (topic, value) => (Buffer.isBuffer(value) ? value : encodeAvro(types.get(topic) ?? letter, value)),
  decode: () => {
    throw new TypeError("Records are read as they lie.");
  },
  unknownId: () => null,
  learn: async () => undefined,
};

/** Sends each row of a batch as a record of its own, as the other systems do. */
class RowByRow implements RawProcessor {
  readonly #inner: SamplesProcessor;
  readonly stores;
  readonly silence;

  constructor(inner: SamplesProcessor) {
    this.#inner = inner;
    this.stores = inner.stores;
    this.silence = inner.silence;
  }

  get watermarkMs(): number {
    return this.#inner.watermarkMs;
  }

  takeRaw(records: readonly RawRecord[], out: RawOutput): void {
    this.#inner.takeRaw(records, { ...byRow(out), at: (record) => out.at(record) });
  }

  poll(out: Output): void {
    this.#inner.poll(byRow(out));
  }

  reset(): void {
    this.#inner.reset();
  }

  standing() {
    return this.#inner.standing();
  }
}

const byRow = (out: Output): Output => ({
  send: (topic, _key, value) => {
    const batch = value as FeatureBatch;
    const timestampMs = sampleTimeOf(batch.windowEndMs);
    const matrix = Buffer.from(batch.matrix).swap32();
    const rowBytes = batch.columns * 4;
    for (let row = 0; row < batch.entities.length; row++) {
      const bytes = Buffer.allocUnsafe(ROW_BYTES);
      bytes.writeBigInt64BE(BigInt(timestampMs), 0);
      matrix.copy(bytes, 8, row * rowBytes, (row + 1) * rowBytes);
      out.send(topic, batch.entities[row]!, bytes, timestampMs);
    }
  },
  reject: (rejection) => out.reject(rejection),
  late: (rejection) => out.late(rejection),
  count: (outcome, events) => out.count(outcome, events),
});

/** The rows of an output record, whichever of the two kinds it is of. */
export function* rowsIn(key: Buffer | null, value: Buffer): Generator<{ entity: string; bytes: Buffer }> {
  if (value.length === ROW_BYTES) {
    yield { entity: key!.toString(), bytes: value };
    return;
  }
  for (const row of rowsOf(types.get(OUTPUT)!.fromBuffer(value) as FeatureBatch)) {
    const bytes = Buffer.allocUnsafe(ROW_BYTES);
    bytes.writeBigInt64BE(BigInt(sampleTimeOf(row.windowEndMs)), 0);
    for (const [i, v] of row.values.entries()) bytes.writeFloatBE(v, 8 + i * 4);
    yield { entity: row.entity, bytes };
  }
}
