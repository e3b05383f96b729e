import { type Command, ControlProcessor, MeasureProcessor } from "../../control/index.ts";
import type { Decision, ExperimentEvent, Label, PredictionBatch, RoutingConfig } from "../../schemas/index.ts";
import { type AnyProcessor, type Output, type Rejection, topicName } from "../../streams/index.ts";
import { armChooser, RoutingTable } from "../../triton/index.ts";

export const MINUTE = 60_000;
export const T = Date.UTC(2026, 0, 5);
const FAMILY = "anomaly";
const topics = { routing: topicName("routing"), decisions: topicName("decisions") };
const experiments = topicName("experiments");

export const routing = (more: Partial<RoutingConfig> = {}): RoutingConfig => ({
  family: FAMILY,
  version: 1,
  mode: "split",
  salt: "s",
  effectiveFromMs: T - 60 * MINUTE,
  arms: [
    { model: "a", modelVersion: "1", weight: 70 },
    { model: "b", modelVersion: "1", weight: 30 },
  ],
  author: "test",
  createdAtMs: 0,
  experiment: "",
  labelledUntilMs: 0,
  ...more,
});

/** What a model says of an entity's row: its score, how long that took; null: nothing. */
export type Says = (entity: string, minute: number) => { score: number; latencyMs?: number; fallback?: boolean } | null;

/**
 * A fake of score and of the topics between: it routes and scores minutes by the routing in force and hands them to the
 * real measuring and control processors of every partition. Every processor is thrown away and restored after each
 * minute when `restoring`.
 */
export class Lab {
  readonly table = new RoutingTable(FAMILY, () => true);
  readonly decisions: Decision[] = [];
  readonly rejected: Rejection[] = [];
  readonly labels: Label[] = [];
  /** Routing versions that the last report of partition 0 told of. */
  reported: readonly number[] = [];
  /** Whether the arm whose verdict does not count is asked too. */
  asksBoth = true;
  readonly partitions: number;
  readonly restoring: boolean;
  readonly known = new Set(["a/1", "b/1", "a/2"]);
  readonly #says: Readonly<Record<string, Says>>;
  readonly #measures = new Map<number, MeasureProcessor>();
  #control: ControlProcessor;
  #offset = 0;
  nowMs = T;
  /** The newest version that the control stage has read; undefined: all there are. */
  read: RoutingConfig | undefined;

  constructor(says: Readonly<Record<string, Says>>, { partitions = 2, restoring = false } = {}) {
    this.#says = says;
    this.partitions = partitions;
    this.restoring = restoring;
    this.table.offer(routing());
    this.#control = this.#newControl();
    for (let p = 0; p < partitions; p++) this.#measures.set(p, this.#newMeasure(p));
  }

  get newest(): RoutingConfig {
    return this.table.versions().at(-1)!;
  }

  /** Shares in force, `a/1 90, a/2 10`. */
  get arms(): string {
    return this.newest.arms.map((arm) => `${arm.model}/${arm.modelVersion} ${arm.weight}`).join(", ");
  }

  command(command: Partial<Command> & { action: string }): Decision {
    const body = { id: "c1", experiment: "try", author: "ann", ...command };
    this.#hear({ ...this.#event("ann"), kind: "command", command: JSON.stringify(body) });
    return this.decisions.at(-1)!;
  }

  raw(command: string): void {
    this.#hear({ ...this.#event("ann"), kind: "command", command });
  }

  startCanary(more: object = {}): Decision {
    return this.command({
      action: "start-canary",
      challenger: "a/2",
      champion: null,
      ladder: "normal",
      ...more,
    } as never);
  }

  startComparison(more: object = {}): Decision {
    return this.command({
      action: "start-comparison",
      challenger: "a/2",
      champion: "a/1",
      compare: "split",
      weightPercent: 30,
      durationMs: 60 * MINUTE,
      labelDelayMs: 0,
      leastRows: 100,
      leastEntities: 20,
      leastGain: 0,
      expectedRows: 1_000,
      ...more,
    } as never);
  }

  /** Scores one minute of these entities on every partition. */
  minute(entities: readonly string[], more: { partitions?: readonly number[] } = {}): void {
    this.nowMs += MINUTE;
    const minute = (this.nowMs - T) / MINUTE;
    const config = this.table.routingFor(this.nowMs, this.table.versions())!;
    for (let p = 0; p < this.partitions; p++) {
      if (more.partitions && !more.partitions.includes(p)) continue;
      const own = entities.filter((_, i) => i % this.partitions === p);
      this.#measure(p, this.#predict(config, own, minute));
    }
    if (this.restoring) this.#restart();
  }

  minutes(count: number, entities: readonly string[]): void {
    for (let i = 0; i < count; i++) this.minute(entities);
  }

  #predict(config: RoutingConfig, entities: readonly string[], minute: number): PredictionBatch {
    const choose = armChooser(config);
    const said = config.arms.map((arm) => {
      const says = this.#says[`${arm.model}/${arm.modelVersion}`]!;
      return entities.map((entity) => says(entity, minute));
    });
    const failed = config.arms.map((_, i) => i > 0 && said[i]!.some((s) => s === null));
    const models = config.arms.map((arm, i) => ({
      name: arm.model,
      version: arm.modelVersion,
      evaluator: failed[i] ? "failed" : said[i]!.some((s) => s?.fallback) ? "built-in" : "triton",
      latencyMs: said[i]![0]?.latencyMs ?? 5,
    }));
    const judge = entities.map((entity) => (failed[choose(entity)] ? 0 : choose(entity)));
    const floats = (of: (row: number) => number) =>
      Buffer.from(Float32Array.from(entities, (_, row) => of(row)).buffer);
    const score = (arm: number, row: number) => (failed[arm] ? Number.NaN : (said[arm]?.[row]?.score ?? Number.NaN));
    return {
      featureSet: "small",
      windowEndMs: this.nowMs,
      watermarkMs: this.nowMs,
      chunk: 0,
      chunks: 1,
      routingFamily: FAMILY,
      routingVersion: config.version,
      models,
      entities: [...entities],
      arm: Buffer.from(judge),
      score: floats((row) => score(judge[row]!, row)),
      probability: floats(() => 0),
      raw: floats(() => 0),
      shadow: floats((row) => (this.asksBoth ? score(1 - judge[row]!, row) : Number.NaN)),
    };
  }

  #measure(partition: number, value: PredictionBatch): void {
    const record = { ...this.#at(partition), topic: topicName("predictions"), key: null, value };
    this.#measures.get(partition)!.apply([record], null, this.#out());
  }

  #event(source: string): ExperimentEvent {
    return { kind: "report", family: FAMILY, source, clockMs: 0, tallies: [], command: "" };
  }

  #hear(value: ExperimentEvent): void {
    if (value.source === "measure/0") this.reported = value.tallies.map((t) => t.version);
    this.#control.process({ ...this.#at(0), topic: experiments, key: FAMILY, value }, this.#out());
  }

  #at(partition: number) {
    return { partition, offset: this.#offset++, timestampMs: this.nowMs };
  }

  #out(): Output {
    return {
      send: (topic, _key, value) => {
        if (topic === experiments) this.#hear(structuredClone(value) as ExperimentEvent);
        else if (topic === topics.decisions) this.decisions.push(value as Decision);
        else if (this.table.offer(value as RoutingConfig).length > 0)
          throw new Error("a bad routing version was written");
      },
      reject: (rejection) => this.rejected.push(rejection),
      late: () => undefined,
      count: () => undefined,
    };
  }

  #newControl(): ControlProcessor {
    return new ControlProcessor({
      topics,
      sources: Array.from({ length: this.partitions }, (_, p) => `measure/${p}`),
      newestRouting: () => this.read ?? this.newest,
      isKnown: (model, version) => this.known.has(`${model}/${version}`),
    });
  }

  #newMeasure(partition: number): MeasureProcessor {
    return new MeasureProcessor({
      output: experiments,
      partition,
      partitions: this.partitions,
      routing: (version) => this.table.versions().find((v) => v.version === version),
      routingKnown: async () => undefined,
      thresholdOf: () => 0.85,
      labels: () => this.labels,
    });
  }

  #restart(): void {
    const control = this.#newControl();
    restore(this.#control, control);
    this.#control = control;
    for (const [p, before] of this.#measures) {
      const measure = this.#newMeasure(p);
      restore(before, measure);
      this.#measures.set(p, measure);
    }
  }
}

const logs = new WeakMap<object, Map<string, Buffer>[]>();

/** What a changelog holds of `from` goes into `to`, as at a take-over. */
function restore(from: AnyProcessor, to: AnyProcessor): void {
  const kept = logs.get(from) ?? from.stores.map(() => new Map<string, Buffer>());
  from.stores.forEach((store, i) => {
    store.flush((key, value) => {
      if (value === null) kept[i]!.delete(key);
      else kept[i]!.set(key, value);
    });
    for (const [key, value] of kept[i]!) to.stores[i]!.restore(key, value);
  });
  logs.set(to, kept);
}

export const fleet = (count: number): string[] => Array.from({ length: count }, (_, i) => `i-${i}`);
