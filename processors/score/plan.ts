import type { FeatureBatch, RoutingConfig } from "../../schemas/index.ts";
import { type InputRecord, WeirError } from "../../streams/index.ts";
import type { ModelCatalog, Router, ScoreCall, ScoringModel } from "./scorer.ts";

/** Rows of one request. Bigger ones gain nothing, smaller ones cost a round trip each. */
const MAX_CALL_ROWS = 512;
/** A batch of so many rows, all wanted by a model that takes its columns as they are, goes out as it came in. */
const LONE_CALL_ROWS = 256;

/** The columns a FeatureBatch of this pipeline has. */
export interface BatchColumns {
  readonly name: string;
  readonly hash: string;
  readonly columns: readonly string[];
  /** Length of the window a row describes. */
  readonly windowMinutes: number;
}

/** Where the answers for one model lie: row r of the batch is row `places[r]` of that call; -1: not asked. */
export interface AskedModel {
  readonly call: number;
  readonly places: Int32Array;
}

export interface BatchPlan {
  /** Why the batch cannot be scored; null if it can. */
  readonly fault: { readonly code: string; readonly reason: string } | null;
  /** The routing version in force; null: none yet. */
  readonly config: RoutingConfig | null;
  /** Per row: index into `config.arms` of the arm whose verdict counts. */
  readonly arms: Uint8Array;
  /** Per arm of the config; null: no row was asked of it. */
  readonly asked: readonly (AskedModel | null)[];
}

export interface ScorePlan {
  readonly batches: readonly BatchPlan[];
  readonly calls: readonly ScoreCall[];
  /** Per routing version: from which window end on it counts for this task. */
  readonly effectiveFromMs: ReadonlyMap<number, number>;
}

export interface PlanOptions {
  readonly featureSet: BatchColumns;
  readonly models: ModelCatalog;
  readonly router: Router;
  readonly scoreBothArms: boolean;
}

/**
 * Asks each arm's model for its rows: rows of several batches share a call, rows of one batch and model never span two.
 * Throws MODEL_UNKNOWN or MODEL_FEATURES_MISMATCH (fatal) where routing names a model that cannot score these rows.
 */
export function planScores(
  records: readonly InputRecord<FeatureBatch>[],
  versions: readonly RoutingConfig[],
  options: PlanOptions,
): ScorePlan {
  const gather = new Map<string, ModelRows>();
  const calls: OpenCall[] = [];
  const batches = records.map(({ value: batch }): BatchPlan => {
    const fault = faultOf(batch, options.featureSet);
    const config = options.router.routingFor(batch.windowEndMs, versions);
    if (fault || !config) return { fault, config, arms: new Uint8Array(0), asked: [] };
    const arms = Uint8Array.from(batch.entities, options.router.armChooser(config));
    const everyRow = config.mode === "shadow" || (options.scoreBothArms && config.mode !== "off");
    const source = float32(batch.matrix);
    const asked = config.arms.map((arm, index) => {
      const wanted = everyRow ? arms.length : arms.reduce((n, a) => n + (a === index ? 1 : 0), 0);
      if (wanted === 0) return null;
      // The champion was asked for the same rows: the batch need not wait for a challenger that is ill.
      const mayFail = config.experiment !== "" && index > 0 && everyRow;
      const key = `${arm.model}/${arm.modelVersion}/${mayFail}`;
      let model = gather.get(key);
      if (!model) {
        model = new ModelRows(arm.model, arm.modelVersion, mayFail, options);
        gather.set(key, model);
      }
      if (everyRow && arms.length >= LONE_CALL_ROWS && model.isAsItComes) {
        const call = model.loneCall(source, arms.length, calls);
        return { call: calls.indexOf(call), places: Int32Array.from(arms, (_, row) => row) };
      }
      const call = model.callFor(wanted, calls);
      const places = new Int32Array(arms.length).fill(-1);
      for (let row = 0; row < arms.length; row++) {
        if (everyRow || arms[row] === index) places[row] = model.add(call, source, row * batch.columns);
      }
      return { call: calls.indexOf(call), places };
    });
    return { fault: null, config, arms, asked };
  });
  return {
    batches,
    calls: calls.map(({ model, modelVersion, mayFail, rows, matrix, columns }) => ({
      model,
      modelVersion,
      mayFail,
      rows,
      matrix: matrix.subarray(0, rows * columns),
    })),
    effectiveFromMs: new Map(versions.map((v) => [v.version, v.effectiveFromMs])),
  };
}

function faultOf(batch: FeatureBatch, expected: BatchColumns): BatchPlan["fault"] {
  if (batch.featureSetHash !== expected.hash) {
    const reason = `feature set ${batch.featureSet} (${batch.featureSetHash}), expected ${expected.name} (${expected.hash})`;
    return { code: "feature_set_unknown", reason };
  }
  const rows = batch.entities.length;
  if (
    batch.columns !== expected.columns.length ||
    batch.matrix.length !== rows * batch.columns * 4 ||
    batch.firstOffset.length !== rows ||
    batch.lastOffset.length !== rows
  ) {
    const reason = `${batch.matrix.length} bytes for ${rows} rows of ${batch.columns} columns, ${expected.columns.length} expected`;
    return { code: "feature_batch_malformed", reason };
  }
  return null;
}

/** The floats of a buffer that may lie unaligned inside a fetched record. */
export function float32(bytes: Buffer): Float32Array {
  if (bytes.byteOffset % 4 === 0) return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
  return new Float32Array(new Uint8Array(bytes).buffer);
}

interface OpenCall {
  readonly model: string;
  readonly modelVersion: string;
  readonly mayFail: boolean;
  readonly columns: number;
  readonly matrix: Float32Array;
  rows: number;
}

/** Rows on their way to one model, its columns picked out of the batch's. */
class ModelRows {
  readonly #model: string;
  readonly #version: string;
  readonly #mayFail: boolean;
  readonly #from: Int32Array;
  /** The model's columns are the batch's, in their order. */
  readonly isAsItComes: boolean;
  #open: OpenCall | null = null;

  constructor(name: string, version: string, mayFail: boolean, options: PlanOptions) {
    const model = modelOf(options.models, name, version);
    this.#model = name;
    this.#version = version;
    this.#mayFail = mayFail;
    this.#from = columnMap(model, options.featureSet, `${name} version ${version}`);
    const { columns } = options.featureSet;
    this.isAsItComes = this.#from.length === columns.length && this.#from.every((column, i) => column === i);
  }

  /** The matrix itself, uncopied. */
  loneCall(matrix: Float32Array, rows: number, calls: OpenCall[]): OpenCall {
    const call = this.#call(matrix);
    call.rows = rows;
    calls.push(call);
    return call;
  }

  callFor(rows: number, calls: OpenCall[]): OpenCall {
    const columns = this.#from.length;
    if (!this.#open || (this.#open.rows + rows) * columns > this.#open.matrix.length) {
      this.#open = this.#call(new Float32Array(Math.max(rows, MAX_CALL_ROWS) * columns));
      calls.push(this.#open);
    }
    return this.#open;
  }

  #call(matrix: Float32Array): OpenCall {
    const columns = this.#from.length;
    return { model: this.#model, modelVersion: this.#version, mayFail: this.#mayFail, columns, matrix, rows: 0 };
  }

  add(call: OpenCall, source: Float32Array, start: number): number {
    const { matrix, columns } = call;
    const target = call.rows * columns;
    for (let c = 0; c < columns; c++) matrix[target + c] = source[start + this.#from[c]!]!;
    return call.rows++;
  }
}

export function modelOf(models: ModelCatalog, name: string, version: string): ScoringModel {
  const model = models.get(name, version);
  if (model) return model;
  throw new WeirError(
    "MODEL_UNKNOWN",
    "fatal",
    `Routing names ${name} version ${version}, which is not in the model repository.`,
    "Publish that version again, or write a routing version that names another.",
  );
}

/** For each column of the model, its index among the batch's columns. */
function columnMap(model: ScoringModel, batch: BatchColumns, who: string): Int32Array {
  const at = new Map(batch.columns.map((name, index) => [name, index]));
  const missing = model.columns.filter((name) => !at.has(name));
  const sameNameOtherHash = model.featureSet === batch.name && model.featureSetHash !== batch.hash;
  if (missing.length > 0 || sameNameOtherHash) {
    throw new WeirError(
      "MODEL_FEATURES_MISMATCH",
      "fatal",
      `${who} was trained on ${model.featureSet} (${model.featureSetHash}), the rows are ${batch.name} (${batch.hash}). ` +
        `Model columns: ${model.columns.join(", ")}. Row columns: ${batch.columns.join(", ")}.`,
      "Train the model on this feature set, or run the feature set that it was trained on.",
    );
  }
  return Int32Array.from(model.columns, (name) => at.get(name)!);
}
