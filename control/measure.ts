import type {
  ArmTally,
  ExperimentEvent,
  Label,
  PredictionBatch,
  RoutingConfig,
  VersionTally,
} from "../schemas/index.ts";
import {
  type EffectProcessor,
  type InputRecord,
  KeyValueStore,
  type Output,
  partitionFor,
  type TopicName,
} from "../streams/index.ts";
import { joinLabels, type ScoredRow, SLOW_MS } from "../trainer/index.ts";
import { armChooser } from "../triton/index.ts";
import {
  addRow,
  binOf,
  type EntityRows,
  emptyArm,
  hourOf,
  readVerdict,
  verdictAt,
  verdictOf,
  withVerdict,
} from "./tally.ts";

export interface MeasureOptions {
  readonly output: TopicName;
  readonly partition: number;
  readonly partitions: number;
  /** A routing version as score read it. */
  readonly routing: (version: number) => RoutingConfig | undefined;
  /** Resolves once all of these versions have been read from the routing topic; throws when they do not come. */
  readonly routingKnown: (versions: readonly number[], signal: AbortSignal) => Promise<void>;
  /** Of a model version's score; rows at or over it are flagged. */
  readonly thresholdOf: (model: string, version: string) => number;
  /** Labels of this partition's entities as far as they have been read. */
  readonly labels: () => Iterable<Label>;
}

/** A version of an experiment that has ended is forgotten after this much time without rows. */
const FORGET_AFTER_MS = 10 * 60_000;

interface Counted {
  readonly arms: readonly [ArmTally, ArmTally];
  readonly lastMs: number;
}

/**
 * Predictions → tallies of each experiment's rows, one report a minute and partition with this writer's clock.
 *
 * A row counts for the arm that routing gave it, as a hash of its entity; where another model or the fallback judged it
 * instead, that is an error of the arm. Rows are counted per routing version, and each step of a ladder is a version of
 * its own, so that nothing has to be told when to begin anew. Labels are joined as known at the report's clock.
 */
export class MeasureProcessor implements EffectProcessor<PredictionBatch, readonly number[], null> {
  readonly #versions = new KeyValueStore<Counted>("versions");
  readonly #entities = new KeyValueStore<EntityRows>("entities");
  readonly #verdicts = new KeyValueStore<string>("verdicts");
  readonly stores = [this.#versions, this.#entities, this.#verdicts];
  readonly #options: MeasureOptions;

  constructor(options: MeasureOptions) {
    this.#options = options;
  }

  plan(records: readonly InputRecord<PredictionBatch>[]): readonly number[] {
    return [...new Set(records.map((r) => r.value.routingVersion))].filter((version) => version >= 0);
  }

  async perform(versions: readonly number[], signal: AbortSignal): Promise<null> {
    await this.#options.routingKnown(versions, signal);
    return null;
  }

  apply(records: readonly InputRecord<PredictionBatch>[], _reply: null, out: Output): void {
    for (const { value: batch } of records) {
      if (batch.entities.length > 0) out.count("accepted", batch.entities.length);
      else out.count("control", 1);
      const config = this.#options.routing(batch.routingVersion);
      if (config && config.experiment !== "" && config.arms.length === 2) this.#take(batch, config);
      if (batch.chunk === batch.chunks - 1) this.#report(batch, out);
    }
  }

  #take(batch: PredictionBatch, config: RoutingConfig): void {
    const key = String(config.version);
    const before = this.#versions.get(key);
    const arms = (before?.arms ?? [emptyArm(), emptyArm()]).map((arm) => ({ ...arm, histogram: [...arm.histogram] }));
    const counts = config.labelledUntilMs === 0 || batch.windowEndMs < config.labelledUntilMs;
    if (counts) {
      this.#takeRequests(batch, config, arms);
      this.#takeRows(batch, config, arms);
    }
    this.#versions.put(key, { arms: [arms[0]!, arms[1]!], lastMs: Math.max(before?.lastMs ?? 0, batch.windowEndMs) });
  }

  #takeRequests(batch: PredictionBatch, config: RoutingConfig, arms: ArmTally[]): void {
    for (const { name, version, latencyMs } of batch.models) {
      const arm = arms[config.arms.findIndex((a) => a.model === name && a.modelVersion === version)];
      if (arm === undefined || latencyMs < 0) continue;
      arm.requests++;
      if (latencyMs >= SLOW_MS) arm.slowRequests++;
    }
  }

  #takeRows(batch: PredictionBatch, config: RoutingConfig, arms: ArmTally[]): void {
    const choose = armChooser(config);
    const thresholds = config.arms.map((a) => Math.fround(this.#options.thresholdOf(a.model, a.modelVersion)));
    batch.entities.forEach((entity, row) => {
      const index = choose(entity);
      const [own, tally] = [config.arms[index]!, arms[index]!];
      const key = `${config.version}/${entity}`;
      const before = this.#entities.get(key);
      if (!before) tally.entities++;
      const known = before ?? { arm: index, rows: 0, flagged: 0 };
      tally.rows++;
      const judge = batch.models[batch.arm[row]!]!;
      if (judge.name !== own.model || judge.version !== own.modelVersion || judge.evaluator !== "triton") {
        tally.errors++;
        this.#entities.put(key, known);
        return;
      }
      const score = batch.score.readFloatLE(row * 4);
      const other = batch.shadow.readFloatLE(row * 4);
      const flagged = score >= thresholds[index]!;
      tally.histogram[binOf(score)]!++;
      tally.flagged = addRow(tally.flagged, { rows: known.rows, hits: known.flagged }, flagged ? 1 : 0);
      this.#entities.put(key, { arm: index, rows: known.rows + 1, flagged: known.flagged + (flagged ? 1 : 0) });
      if (config.labelledUntilMs === 0) return;
      const hour = `${key}/${hourOf(batch.windowEndMs)}`;
      const verdict = verdictOf(flagged, Number.isNaN(other) ? null : other >= thresholds[1 - index]!);
      this.#verdicts.put(hour, withVerdict(this.#verdicts.get(hour), batch.windowEndMs, verdict));
    });
  }

  #report(batch: PredictionBatch, out: Output): void {
    const tallies: VersionTally[] = [];
    for (const [key, counted] of [...this.#versions.entries()].sort(([a], [b]) => Number(a) - Number(b))) {
      if (counted.lastMs + FORGET_AFTER_MS < batch.watermarkMs) this.#forget(key);
      else tallies.push(this.#tallyOf(Number(key), counted, batch.watermarkMs));
    }
    const event: ExperimentEvent = {
      kind: "report",
      family: batch.routingFamily,
      source: `measure/${this.#options.partition}`,
      clockMs: batch.watermarkMs,
      tallies,
      command: "",
    };
    const to = partitionFor(event.family, this.#options.partitions);
    out.send(this.#options.output, event.family, event, batch.windowEndMs, to);
  }

  #tallyOf(version: number, { arms }: Counted, asOfMs: number): VersionTally {
    const labels = [...this.#options.labels()];
    const outcomes = joinLabels(this.#labelledRows(version, labels), labels, asOfMs);
    const scored = arms[0].flagged.rows + arms[1].flagged.rows;
    return {
      version,
      arms: [
        { ...arms[0], right: { ...outcomes.champion } },
        { ...arms[1], right: { ...outcomes.challenger } },
      ],
      paired: { ...outcomes.paired },
      championOnly: outcomes.championOnly,
      challengerOnly: outcomes.challengerOnly,
      unlabelled: scored - outcomes.champion.rows - outcomes.challenger.rows,
    };
  }

  /** The recorded rows that somebody labelled: few, so they are looked up instead of all rows being gone through. */
  *#labelledRows(version: number, labels: readonly Label[]): Generator<ScoredRow> {
    for (const { entity, windowEndMs } of labels) {
      const key = `${version}/${entity}`;
      const verdict = verdictAt(this.#verdicts.get(`${key}/${hourOf(windowEndMs)}`), windowEndMs);
      const known = this.#entities.get(key);
      if (verdict === null || !known) continue;
      yield { entity, windowEndMs, arm: known.arm === 0 ? "champion" : "challenger", ...readVerdict(verdict) };
    }
  }

  #forget(version: string): void {
    this.#versions.delete(version);
    for (const store of [this.#entities, this.#verdicts])
      for (const [key] of [...store.entries()]) if (key.startsWith(`${version}/`)) store.delete(key);
  }
}
