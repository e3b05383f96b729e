import type { LabelSource, SCORE_THRESHOLD } from "../schemas/index.ts";
import { WeirError } from "../streams/index.ts";
import { FIT, type Fold, foldsInTime, wantsFolds } from "./folds.ts";
import type { Quality } from "./metrics.ts";
import { type ModelKind, recipes } from "./models.ts";
import type { OperatingPoint } from "./operating-point.ts";
import { splitInTime, type TimeSplit, TRAIN, VALIDATION } from "./split.ts";

/** Rows to learn from. Parallel arrays; a row is one entity's features at one window end. */
export interface TrainingData {
  readonly columns: readonly string[];
  /** Row-major, rows × columns; NaN = missing. */
  readonly matrix: Float32Array;
  /** Index of the entity; which one does not matter here. */
  readonly entity: Int32Array;
  readonly windowEndMs: Float64Array;
  /** 1 anomaly, 0 normal, -1 unknown. Unknown rows are fitted as normal and never measured on. */
  readonly label: Int8Array;
  /** Names the data: equal digests mean equal rows. */
  readonly digest: string;
}

export interface ModelJob {
  readonly name: string;
  readonly kind: ModelKind;
  readonly featureSet: string;
  readonly featureSetHash: string;
  /** The model's input, in order; each a column of the data. */
  readonly columns: readonly string[];
}

export interface TrainingJob {
  /** Receives job.json, the matrix, logs and report.json. */
  readonly folder: string;
  /** Model repository; created if absent. */
  readonly repository: string;
  readonly data: TrainingData;
  readonly models: readonly ModelJob[];
  /** As long as the longest window, look-back included. */
  readonly embargoMs: number;
  /** From one row of an entity to its next. */
  readonly hopMs: number;
  /** Share of the rows with known labels, the latest, that chooses where folds do not. Default 0.25. */
  readonly validationFraction?: number;
  /** Default 0.5. */
  readonly maxFalseEpisodesPerMachineDay?: number;
  /** For fitting and exporting all models. Default 10 minutes. */
  readonly deadlineMs?: number;
}

export interface ModelReport {
  readonly name: string;
  readonly version: string;
  /** Version folder in the repository. */
  readonly folder: string;
  /** SHA-256 of the artefact. */
  readonly artefactDigest: string;
  readonly labels: LabelSource;
  readonly rows: { readonly train: number; readonly validation: number };
  readonly positives: { readonly train: number; readonly validation: number };
  readonly operatingPoint: OperatingPoint;
  /**
   * On the labelled validation rows only; with folds, all labelled rows, each scored by a fit that saw neither it nor
   * its neighbours. They also chose the operating point (and XGBoost's rounds), so a little kinder than a later exam.
   * Null where validation has no known label.
   */
  readonly quality: Quality | null;
  /** Null where one split in time served instead: many labelled rows, or no labelled anomaly. */
  readonly crossValidation: CrossValidation | null;
  /** The ten columns that matter most; shares of all columns' importance. */
  readonly importance: readonly { readonly column: string; readonly share: number }[];
  readonly trees: number;
  readonly seconds: number;
}

export interface CrossValidation {
  /** The forest sees no label, so it is fitted once on all rows and scores every block. */
  readonly fitted: "per-fold" | "once";
  readonly folds: readonly {
    readonly fromMs: number;
    readonly toMs: number;
    readonly rows: number;
    readonly positives: number;
    /** At the shipped operating point. Null where the block has no anomaly. */
    readonly prAuc: number | null;
    readonly f1: number | null;
  }[];
  /** Over the folds that have an anomaly; the spread is their standard deviation, null for fewer than two. */
  readonly prAuc: MeanAndSpread;
  readonly f1: MeanAndSpread;
}

export interface MeanAndSpread {
  readonly mean: number | null;
  readonly spread: number | null;
}

export interface TrainingReport {
  readonly version: 2;
  readonly digest: string;
  /** Null where folds served. */
  readonly split: Omit<TimeSplit, "slice"> | null;
  readonly threshold: typeof SCORE_THRESHOLD;
  readonly models: readonly ModelReport[];
  readonly seconds: number;
}

export const defaults = { validationFraction: 0.25, maxFalseEpisodesPerMachineDay: 0.5, deadlineMs: 600_000 } as const;

/** Names become folder names of the repository. */
const NAME = /^[a-z][a-z0-9_]{0,63}$/;

/** Which rows are fitted and which choose the operating point. */
export interface Evaluation {
  /** Null where folds serve. */
  readonly split: TimeSplit | null;
  /** Empty where one split serves. */
  readonly folds: readonly Fold[];
  /** Per row: 1 where the published model is fitted on it. */
  readonly fit: Int8Array;
  /** Rows that are scored to choose the operating point, ascending. */
  readonly held: readonly number[];
}

/** The job's evaluation. Throws TRAINING_JOB_INVALID with every fault of the job at once. */
export function checkedEvaluation(job: TrainingJob): Evaluation {
  const { windowEndMs, label } = job.data;
  const faults = [...dataFaults(job.data), ...modelFaults(job), ...settingFaults(job)];
  const validationFraction = job.validationFraction ?? defaults.validationFraction;
  const folds = wantsFolds(label) ? foldsInTime(windowEndMs, label, job.embargoMs) : [];
  const split =
    folds.length > 0 ? null : splitInTime(windowEndMs, label, { validationFraction, embargoMs: job.embargoMs });
  if (faults.length === 0) {
    if (split?.train === 0 || folds.some((fold) => !fold.part.includes(FIT))) {
      faults.push("no row lies outside the embargo: more history is needed");
    }
    if (split?.validation === 0) faults.push("no row is left to choose the operating point on");
  }
  if (faults.length > 0) {
    const list = faults.map((fault) => `\n- ${fault}`).join("");
    throw new WeirError("TRAINING_JOB_INVALID", "fatal", `The training job has faults:${list}`, "Mend the job.");
  }
  const isHeld = (row: number) => (split ? split.slice[row] === VALIDATION : label[row]! >= 0);
  return {
    split,
    folds,
    fit: split ? split.slice.map((part) => (part === TRAIN ? 1 : 0)) : new Int8Array(label.length).fill(1),
    held: [...label.keys()].filter(isHeld),
  };
}

function dataFaults({ columns, matrix, entity, windowEndMs, label, digest }: TrainingData): string[] {
  const faults: string[] = [];
  const rows = entity.length;
  if (rows === 0) faults.push("there are no rows");
  if (columns.length === 0) faults.push("there are no columns");
  if (windowEndMs.length !== rows) faults.push(`${rows} entities but ${windowEndMs.length} window ends`);
  if (label.length !== rows) faults.push(`${rows} entities but ${label.length} labels`);
  if (matrix.length !== rows * columns.length) {
    faults.push(`the matrix has ${matrix.length} cells, not ${rows} rows x ${columns.length} columns`);
  }
  const infinite = count(matrix, (value) => value === Number.POSITIVE_INFINITY || value === Number.NEGATIVE_INFINITY);
  if (infinite > 0) faults.push(`${infinite} cells of the matrix are infinite`);
  const strange = count(label, (value) => value < -1 || value > 1);
  if (strange > 0) faults.push(`${strange} labels are none of 1, 0 and -1`);
  const timeless = count(windowEndMs, (value) => !Number.isSafeInteger(value));
  if (timeless > 0) faults.push(`${timeless} window ends are not whole milliseconds`);
  if (digest === "") faults.push("the digest of the data is empty");
  return faults;
}

function modelFaults({ models, data }: TrainingJob): string[] {
  const faults: string[] = [];
  if (models.length === 0) faults.push("there are no models");
  const known = new Set(data.columns);
  const names = new Set<string>();
  for (const { name, kind, columns } of models) {
    if (!NAME.test(name)) faults.push(`model name "${name}" is not a lower-case word`);
    if (names.has(name)) faults.push(`model ${name} is listed twice`);
    names.add(name);
    if (!Object.hasOwn(recipes, kind)) faults.push(`model ${name} is of unknown kind "${kind}"`);
    if (columns.length === 0) faults.push(`model ${name} has no columns`);
    if (new Set(columns).size < columns.length) faults.push(`model ${name} has a column twice`);
    const absent = columns.filter((column) => !known.has(column));
    if (absent.length > 0) faults.push(`the data lacks columns of model ${name}: ${absent.slice(0, 5).join(", ")}`);
  }
  return faults;
}

function settingFaults(job: TrainingJob): string[] {
  const faults: string[] = [];
  const fraction = job.validationFraction ?? defaults.validationFraction;
  if (!(fraction > 0 && fraction < 1)) faults.push(`validationFraction is ${fraction}, not between 0 and 1`);
  if (!(job.embargoMs >= 0)) faults.push(`embargoMs is ${job.embargoMs}, not 0 or more`);
  if (!(job.hopMs > 0)) faults.push(`hopMs is ${job.hopMs}, not above 0`);
  const budget = job.maxFalseEpisodesPerMachineDay ?? defaults.maxFalseEpisodesPerMachineDay;
  if (!(budget >= 0)) faults.push(`maxFalseEpisodesPerMachineDay is ${budget}, not 0 or more`);
  const deadlineMs = job.deadlineMs ?? defaults.deadlineMs;
  if (!(deadlineMs > 0)) faults.push(`deadlineMs is ${deadlineMs}, not above 0`);
  return faults;
}

function count(values: ArrayLike<number>, holds: (value: number) => boolean): number {
  let found = 0;
  for (let at = 0; at < values.length; at++) if (holds(values[at]!)) found++;
  return found;
}
