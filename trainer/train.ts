import { createHash } from "node:crypto";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { WeirError } from "../streams/index.ts";
import { calibrate } from "./calibration.ts";
import {
  checkedSplit,
  defaults,
  type ModelJob,
  type ModelReport,
  type TrainingJob,
  type TrainingReport,
} from "./job.ts";
import { type LabelSource, type ModelManifest, SCORE_THRESHOLD } from "./manifest.ts";
import { measure } from "./metrics.ts";
import { MIN_POSITIVES, PSEUDO_LABEL_SHARE, recipes, TRAINER_VERSION } from "./models.ts";
import { chooseOperatingPoint, type LabelledScores } from "./operating-point.ts";
import { type PythonOptions, runPython } from "./python.ts";
import { artefactFile, publish, TRAINER_KEY } from "./repository.ts";
import { type TimeSplit, TRAIN, VALIDATION } from "./split.ts";

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
  const split = checkedSplit(job);
  const { slice, ...sizes } = split;
  options.progress({
    step: "prepare",
    model: null,
    detail: `${split.train} rows to fit, ${split.validation} to choose the operating point, ${split.embargo} between`,
  });
  const labels = labelSources(job, slice);
  const jobFile = await writeJob(job, slice, labels);
  await runPython(jobFile, job.deadlineMs ?? defaults.deadlineMs, options);

  const held = validationRows(job, split);
  const judged = await Promise.all(job.models.map((model, at) => judge(job, model, labels[at]!, split, held)));
  const models: ModelReport[] = [];
  for (const { fitted, unnumbered, report } of judged) {
    const { manifest, folder } = await publish(job.repository, fitted, unnumbered);
    options.progress({ step: "publish", model: manifest.name, detail: `version ${manifest.version} in ${folder}` });
    models.push({ ...report, version: manifest.version, folder });
  }
  const report: TrainingReport = {
    version: 1,
    digest: job.data.digest,
    split: sizes,
    threshold: SCORE_THRESHOLD,
    models,
    seconds: (performance.now() - startedMs) / 1000,
  };
  await writeFile(join(job.folder, "report.json"), `${JSON.stringify(report, null, 2)}\n`);
  // The rows are the bulk of the folder, and the caller can make them again.
  await rm(join(job.folder, "matrix.f32"));
  return report;
}

function labelSources(job: TrainingJob, slice: Int8Array): LabelSource[] {
  const positives = job.data.label.reduce((sum, label, row) => sum + (label === 1 && slice[row] === TRAIN ? 1 : 0), 0);
  const opinion: LabelSource = positives >= MIN_POSITIVES ? "given" : "pseudo";
  return job.models.map((model) => (recipes[model.kind].supervised ? opinion : "none"));
}

/** Writes the job folder that `weir_trainer` reads (its contract stands in `__main__.py`) and answers its job file. */
async function writeJob(job: TrainingJob, slice: Int8Array, labels: readonly LabelSource[]): Promise<string> {
  const { columns, matrix, entity, windowEndMs, label } = job.data;
  await mkdir(job.folder, { recursive: true });
  for (const old of ["out", "pseudo", "report.json"]) await rm(join(job.folder, old), { recursive: true, force: true });
  const columnar = { "matrix.f32": matrix, "entity.i32": entity, "window-end-ms.f64": windowEndMs };
  for (const [file, values] of Object.entries({ ...columnar, "label.i8": label, "slice.i8": slice })) {
    await writeFile(join(job.folder, file), values);
  }
  const at = new Map(columns.map((column, index) => [column, index]));
  const contract = {
    version: 1,
    threads: THREADS,
    matrix: { file: "matrix.f32", rows: entity.length, columns: columns.length },
    entity: "entity.i32",
    windowEndMs: "window-end-ms.f64",
    label: "label.i8",
    slice: "slice.i8",
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

interface ValidationRows {
  /** Among the rows held out, in order: those to choose on. */
  readonly places: readonly number[];
  /** False where no label is known; all rows then count as normal. */
  readonly labelled: boolean;
  readonly rows: Omit<LabelledScores, "raw">;
}

function validationRows({ data }: TrainingJob, { slice }: TimeSplit): ValidationRows {
  const held = [...slice.keys()].filter((row) => slice[row] === VALIDATION);
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
async function judge(job: TrainingJob, model: ModelJob, labels: LabelSource, split: TimeSplit, held: ValidationRows) {
  const fitted = join(job.folder, "out", model.name);
  const { format } = recipes[model.kind];
  const fit = JSON.parse(await readFile(join(fitted, "fit.json"), "utf8")) as Fit;
  const outputs = floats(await readFile(join(fitted, "raw.f32")));
  if (outputs.length !== split.validation || !outputs.every((value) => value >= 0 && value <= 1)) {
    throw new WeirError(
      "TRAINER_FAILED",
      "fatal",
      `${model.name} answered ${outputs.length} outputs for ${split.validation} rows, or some outside 0..1.`,
      `Look into ${fitted}.`,
    );
  }
  const scores: LabelledScores = { ...held.rows, raw: Float32Array.from(held.places, (place) => outputs[place]!) };
  const operatingPoint = chooseOperatingPoint(scores, {
    maxFalseEpisodesPerMachineDay: job.maxFalseEpisodesPerMachineDay ?? defaults.maxFalseEpisodesPerMachineDay,
    hopMs: job.hopMs,
  });
  const fittedEnds = job.data.windowEndMs.filter((_, row) => split.slice[row] === TRAIN).sort();
  const unnumbered: Omit<ModelManifest, "version"> = {
    name: model.name,
    format,
    columns: model.columns,
    featureSet: model.featureSet,
    featureSetHash: model.featureSetHash,
    missing: "nan",
    input: { name: "input__0", columns: model.columns.length },
    output: { name: "output__0" },
    calibration: calibrate(scores, operatingPoint),
    threshold: SCORE_THRESHOLD,
    trained: {
      rows: split.train,
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
      .update(await readFile(join(fitted, artefactFile[format])))
      .digest("hex"),
    labels,
    rows: { train: split.train, validation: scores.raw.length },
    positives: { train: fit.positives, validation: scores.label.reduce((sum, label) => sum + label, 0) },
    operatingPoint,
    quality: held.labelled ? measure(scores.raw, scores.label, operatingPoint.raw) : null,
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
