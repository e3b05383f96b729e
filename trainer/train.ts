import { createHash } from "node:crypto";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { artefactOf, type LabelSource, type ModelManifest, SCORE_THRESHOLD, tensorsFor } from "../schemas/index.ts";
import { WeirError } from "../streams/index.ts";
import { calibrate } from "./calibration.ts";
import { crossValidation } from "./cross-validation.ts";
import {
  checkedEvaluation,
  defaults,
  type Evaluation,
  type ModelJob,
  type ModelReport,
  type TrainingJob,
  type TrainingReport,
} from "./job.ts";
import { measure } from "./metrics.ts";
import { MIN_POSITIVES, PSEUDO_LABEL_SHARE, recipes, TRAINER_VERSION } from "./models.ts";
import { chooseOperatingPoint, type LabelledScores } from "./operating-point.ts";
import { type PythonOptions, runPython } from "./python.ts";
import { publish, TRAINER_KEY } from "./repository.ts";

const THREADS = 1;

/** What the fitting side says about one model. */
interface Fit {
  readonly importance: readonly number[];
  readonly rounds: number;
  readonly seconds: number;
  readonly positives: number;
  readonly libraries: Readonly<Record<string, string>>;
}

/**
 * Fits, calibrates, measures and publishes the job's models; none is published before all are judged.
 *
 * Python fits and exports; what is fitted on which rows, where the operating point lies and what is published is
 * decided here. Equal jobs give equal artefacts. Throws TRAINING_JOB_INVALID before anything is written, and the
 * errors of `runPython` and `publish`.
 */
export async function trainModels(job: TrainingJob, options: PythonOptions): Promise<TrainingReport> {
  const startedMs = performance.now();
  const evaluation = checkedEvaluation(job);
  const { split, folds, fit, held } = evaluation;
  const how = folds.length > 0 ? `scored in ${folds.length} folds` : "held out";
  options.progress({
    step: "prepare",
    model: null,
    detail: `${count(fit)} rows to fit, ${held.length} ${how} to choose the operating point`,
  });
  const labels = labelSources(job, fit);
  const jobFile = await writeJob(job, evaluation, labels);
  await runPython(jobFile, job.deadlineMs ?? defaults.deadlineMs, options);

  const rows = heldRows(job, held);
  const judged = await Promise.all(job.models.map((model, at) => judge(job, model, labels[at]!, evaluation, rows)));
  const models: ModelReport[] = [];
  for (const { fitted, unnumbered, report } of judged) {
    const { manifest, folder } = await publish(job.repository, fitted, unnumbered);
    options.progress({ step: "publish", model: manifest.name, detail: `version ${manifest.version} in ${folder}` });
    models.push({ ...report, version: manifest.version, folder });
  }
  const report: TrainingReport = {
    version: 2,
    digest: job.data.digest,
    split: split && sizesOf(split),
    threshold: SCORE_THRESHOLD,
    models,
    seconds: (performance.now() - startedMs) / 1000,
  };
  await writeFile(join(job.folder, "report.json"), `${JSON.stringify(report, null, 2)}\n`);
  // The rows are the bulk of the folder, and the caller can make them again.
  await rm(join(job.folder, "matrix.f32"));
  return report;
}

const sizesOf = ({ slice: _, ...sizes }: NonNullable<Evaluation["split"]>) => sizes;

const count = (flags: Int8Array): number => flags.reduce((sum, flag) => sum + flag, 0);

function labelSources(job: TrainingJob, fit: Int8Array): LabelSource[] {
  const positives = job.data.label.reduce((sum, label, row) => sum + (label === 1 ? fit[row]! : 0), 0);
  const opinion: LabelSource = positives >= MIN_POSITIVES ? "given" : "pseudo";
  return job.models.map((model) => (recipes[model.kind].supervised ? opinion : "none"));
}

/** Writes the job folder that `weir_trainer` reads (its contract stands in `__main__.py`) and answers its job file. */
async function writeJob(
  job: TrainingJob,
  { fit, held, folds }: Evaluation,
  labels: readonly LabelSource[],
): Promise<string> {
  const { columns, matrix, entity, windowEndMs, label } = job.data;
  await mkdir(job.folder, { recursive: true });
  for (const old of ["out", "pseudo", "report.json"]) await rm(join(job.folder, old), { recursive: true, force: true });
  const heldFlags = new Int8Array(label.length);
  for (const row of held) heldFlags[row] = 1;
  const foldFiles = Object.fromEntries(folds.map(({ part }, at) => [`fold-${at + 1}.i8`, part]));
  const columnar = { "matrix.f32": matrix, "entity.i32": entity, "window-end-ms.f64": windowEndMs, "label.i8": label };
  for (const [file, values] of Object.entries({ ...columnar, "fit.i8": fit, "held.i8": heldFlags, ...foldFiles })) {
    await writeFile(join(job.folder, file), values);
  }
  const at = new Map(columns.map((column, index) => [column, index]));
  const contract = {
    version: 2,
    threads: THREADS,
    matrix: { file: "matrix.f32", rows: entity.length, columns: columns.length },
    entity: "entity.i32",
    windowEndMs: "window-end-ms.f64",
    label: "label.i8",
    fit: "fit.i8",
    held: "held.i8",
    folds: Object.keys(foldFiles),
    pseudoLabelShare: PSEUDO_LABEL_SHARE,
    forest: recipes.isolation_forest.parameters,
    models: job.models.map((model, index) => ({
      name: model.name,
      format: recipes[model.kind].format,
      columns: model.columns.map((column) => at.get(column)),
      labels: labels[index],
      parameters: recipes[model.kind].parameters,
    })),
  };
  const jobFile = join(job.folder, "job.json");
  await writeFile(jobFile, `${JSON.stringify(contract, null, 2)}\n`);
  return jobFile;
}

interface HeldRows {
  /** Among the rows held out, in order: those to choose on. */
  readonly places: readonly number[];
  /** False where no label is known; all rows then count as normal. */
  readonly labelled: boolean;
  readonly rows: Omit<LabelledScores, "raw">;
}

function heldRows({ data }: TrainingJob, held: readonly number[]): HeldRows {
  const labelled = held.some((row) => data.label[row]! >= 0);
  const places = [...held.keys()].filter((place) => !labelled || data.label[held[place]!]! >= 0);
  const rows = places.map((place) => held[place]!);
  return {
    places,
    labelled,
    rows: {
      label: Int8Array.from(rows, (row) => Math.max(0, data.label[row]!)),
      entity: Int32Array.from(rows, (row) => data.entity[row]!),
      windowEndMs: Float64Array.from(rows, (row) => data.windowEndMs[row]!),
    },
  };
}

/** Calibrates and measures one fitted model on the held-out rows. */
async function judge(job: TrainingJob, model: ModelJob, labels: LabelSource, evaluation: Evaluation, held: HeldRows) {
  const fitted = join(job.folder, "out", model.name);
  const { format, supervised } = recipes[model.kind];
  const fit = JSON.parse(await readFile(join(fitted, "fit.json"), "utf8")) as Fit;
  const outputs = floats(await readFile(join(fitted, "raw.f32")));
  if (outputs.length !== evaluation.held.length || !outputs.every((value) => value >= 0 && value <= 1)) {
    throw new WeirError(
      "TRAINER_FAILED",
      "fatal",
      `${model.name} answered ${outputs.length} outputs for ${evaluation.held.length} rows, or some outside 0..1.`,
      `Look into ${fitted}.`,
    );
  }
  const scores: LabelledScores = { ...held.rows, raw: Float32Array.from(held.places, (place) => outputs[place]!) };
  const operatingPoint = chooseOperatingPoint(scores, {
    maxFalseEpisodesPerMachineDay: job.maxFalseEpisodesPerMachineDay ?? defaults.maxFalseEpisodesPerMachineDay,
    hopMs: job.hopMs,
  });
  const fittedEnds = job.data.windowEndMs.filter((_, row) => evaluation.fit[row] === 1).sort();
  const unnumbered: Omit<ModelManifest, "version"> = {
    name: model.name,
    format,
    columns: model.columns,
    featureSet: model.featureSet,
    featureSetHash: model.featureSetHash,
    missing: "nan",
    ...tensorsFor("python", model.columns.length),
    calibration: calibrate(scores, operatingPoint),
    threshold: SCORE_THRESHOLD,
    trained: {
      rows: fittedEnds.length,
      positives: fit.positives,
      digest: job.data.digest,
      fromMs: fittedEnds[0]!,
      toMs: fittedEnds.at(-1)!,
      labels,
    },
    libraries: { [TRAINER_KEY]: TRAINER_VERSION, ...fit.libraries },
  };
  const report = {
    name: model.name,
    artefactDigest: createHash("sha256")
      .update(await readFile(join(fitted, artefactOf[format])))
      .digest("hex"),
    labels,
    rows: { train: fittedEnds.length, validation: scores.raw.length },
    positives: { train: fit.positives, validation: scores.label.reduce((sum, label) => sum + label, 0) },
    operatingPoint,
    quality: held.labelled ? measure(scores.raw, scores.label, operatingPoint.raw) : null,
    crossValidation:
      evaluation.folds.length > 0
        ? crossValidation(scores, evaluation.folds, operatingPoint.raw, supervised ? "per-fold" : "once")
        : null,
    importance: model.columns
      .map((column, index) => ({ column, share: fit.importance[index]! }))
      .sort((a, b) => b.share - a.share)
      .slice(0, 10),
    trees: fit.rounds,
    seconds: fit.seconds,
  };
  return { fitted, unnumbered, report };
}

/** A copy: a buffer from a file need not start at a multiple of four bytes. */
function floats(bytes: Buffer): Float32Array {
  return new Float32Array(new Uint8Array(bytes).buffer);
}
