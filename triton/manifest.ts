import { readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { artefactOf, type ModelManifest } from "../schemas/index.ts";
import { WeirError } from "../streams/index.ts";

/** Rows whose raw outputs are known: `golden.json`, null = missing. */
export interface GoldenRows {
  readonly rows: number;
  /** Row-major, in the manifest's column order. */
  readonly matrix: Float32Array;
  readonly raw: Float32Array;
}

type Json = Record<string, unknown>;

const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const isText = (value: unknown): value is string => typeof value === "string" && value !== "";
const isNumbers = (value: unknown): value is number[] => Array.isArray(value) && value.every(Number.isFinite);

/**
 * Reads the manifest of a version folder. Throws MODEL_MANIFEST_INVALID (fatal) with every fault it found.
 */
export function readManifest(dir: string): ModelManifest {
  const manifest = readJson(dir, "manifest.json");
  const faults = manifestFaults(manifest, { name: basename(dirname(dir)), version: basename(dir) });
  if (faults.length > 0) throw invalid(dir, faults);
  return manifest as unknown as ModelManifest;
}

/** Reads the golden rows of a version folder; they must have the manifest's columns. */
export function readGolden(dir: string, manifest: ModelManifest): GoldenRows {
  const golden = readJson(dir, "golden.json");
  const { rows, raw } = golden as { rows: (number | null)[][]; raw: number[] };
  const faults: string[] = [];
  if (!Array.isArray(rows) || rows.length === 0) faults.push("golden.json: rows is no list of rows");
  else if (!rows.every((row) => Array.isArray(row) && row.length === manifest.columns.length))
    faults.push(`golden.json: not every row has ${manifest.columns.length} values`);
  else if (!rows.flat().every((value) => value === null || Number.isFinite(value)))
    faults.push("golden.json: a value is neither a number nor null");
  if (!isNumbers(raw) || raw.length !== rows?.length) faults.push("golden.json: raw is no list of one number a row");
  if (faults.length > 0) throw invalid(dir, faults);
  const matrix = Float32Array.from(rows.flat(), (value) => value ?? Number.NaN);
  return { rows: rows.length, matrix, raw: Float32Array.from(raw) };
}

function manifestFaults(m: Json, folder: { name: string; version: string }): string[] {
  const faults: string[] = [];
  const need = (holds: boolean, fault: string): boolean => {
    if (!holds) faults.push(fault);
    return holds;
  };
  need(m.name === folder.name, `name ${JSON.stringify(m.name)} is not the folder's, ${folder.name}`);
  need(m.version === folder.version, `version ${JSON.stringify(m.version)} is not the folder's, ${folder.version}`);
  need(
    isText(m.format) && Object.hasOwn(artefactOf, m.format),
    `format ${JSON.stringify(m.format)} is none of ${Object.keys(artefactOf).join(", ")}`,
  );
  const { columns } = m;
  if (need(Array.isArray(columns) && columns.length > 0 && columns.every(isText), "columns is no list of names")) {
    const names = columns as string[];
    need(new Set(names).size === names.length, "columns holds a name twice");
    const input = isObject(m.input) ? m.input : {};
    need(
      input.columns === names.length,
      `input.columns is ${JSON.stringify(input.columns)}, columns has ${names.length}`,
    );
  }
  need(isObject(m.input) && isText(m.input.name), "input.name is missing");
  const output = isObject(m.output) ? m.output : {};
  need(isText(output.name), "output.name is missing");
  need(
    [undefined, 1, 2].includes(output.width as number),
    `output.width ${JSON.stringify(output.width)} is neither 1 nor 2`,
  );
  need(isText(m.featureSet), "featureSet is missing");
  need(isText(m.featureSetHash), "featureSetHash is missing");
  need(m.missing === "nan", `missing is ${JSON.stringify(m.missing)}, not "nan"`);
  need(
    typeof m.threshold === "number" && m.threshold > 0 && m.threshold < 1,
    `threshold ${JSON.stringify(m.threshold)} does not lie between 0 and 1`,
  );
  const t = isObject(m.trained) ? m.trained : {};
  need(
    [t.rows, t.positives, t.fromMs, t.toMs].every(Number.isFinite) && isText(t.digest) && isText(t.labels),
    "trained needs rows, positives, digest, fromMs, toMs and labels",
  );
  need(isObject(m.libraries) && Object.values(m.libraries).every(isText), "libraries is no list of versions");
  return [...faults, ...calibrationFaults(isObject(m.calibration) ? m.calibration : {})];
}

function calibrationFaults({ raw, probability, score }: Json): string[] {
  if (!isNumbers(raw) || !isNumbers(probability) || !isNumbers(score))
    return ["calibration needs raw, probability and score as lists of numbers"];
  const faults: string[] = [];
  if (raw.length < 2 || raw.length !== probability.length || raw.length !== score.length)
    faults.push("calibration needs at least two knots, as many of raw as of probability and score");
  if (raw.some((x, i) => i > 0 && x <= raw[i - 1]!)) faults.push("calibration.raw does not ascend");
  for (const [name, values] of Object.entries({ probability, score })) {
    if (values.some((x, i) => i > 0 && x < values[i - 1]!)) faults.push(`calibration.${name} falls somewhere`);
    if (values.some((x) => x < 0 || x > 1)) faults.push(`calibration.${name} leaves 0 to 1`);
  }
  return faults;
}

function readJson(dir: string, file: string): Json {
  try {
    const value: unknown = JSON.parse(readFileSync(join(dir, file), "utf8"));
    if (isObject(value)) return value;
  } catch (error) {
    throw invalid(dir, [`${file}: ${(error as Error).message}`]);
  }
  throw invalid(dir, [`${file} holds no JSON object`]);
}

const invalid = (dir: string, faults: readonly string[]): WeirError =>
  new WeirError(
    "MODEL_MANIFEST_INVALID",
    "fatal",
    `The model in ${dir} cannot be used: ${faults.join("; ")}.`,
    "Publish the model again with the trainer, or route to another version.",
  );
