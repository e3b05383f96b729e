import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { ModelCatalog, ScoringModel } from "../processors/index.ts";
import type { ModelManifest } from "../schemas/index.ts";
import { WeirError } from "../streams/index.ts";
import type { TritonClient } from "./client/client.ts";
import { type Evaluator, loadEvaluator } from "./evaluator/evaluator.ts";
import { type GoldenRows, readGolden, readManifest } from "./manifest.ts";

/** Largest difference between a golden row's raw output and what an evaluator or server answers. */
const GOLDEN_TOLERANCE = 1e-5;
/** A model whose process died takes this long to be gone after an unload. */
const UNLOAD_LIMIT_MS = 10_000;

/** One version folder of the model repository, read and checked. */
export interface Model {
  readonly manifest: ModelManifest;
  readonly golden: GoldenRows;
  readonly evaluator: Evaluator;
}

/** Model versions by name. `add` makes another one known while the catalogue is in use. */
export class Models implements ModelCatalog {
  readonly #models = new Map<string, Model & ScoringModel>();
  readonly #repositoryDir: string | null;

  constructor(repositoryDir: string | null = null) {
    this.#repositoryDir = repositoryDir;
  }

  add(model: Model): void {
    const { manifest, evaluator } = model;
    const { name, version, columns, featureSet, featureSetHash, calibration, threshold } = manifest;
    const scoring = { columns, featureSet, featureSetHash, calibration, threshold };
    const explain = (row: Float32Array) => evaluator.explain(row);
    this.#models.set(`${name}/${version}`, { ...model, ...scoring, explain });
  }

  get(name: string, version: string): (Model & ScoringModel) | undefined {
    return this.#models.get(`${name}/${version}`);
  }

  has(name: string, version: string): boolean {
    return this.#models.has(`${name}/${version}`);
  }

  /** Like `has`, but a version published since the catalogue was made is read from the repository, if it is whole. */
  learn(name: string, version: string): boolean {
    if (this.has(name, version)) return true;
    if (this.#repositoryDir === null || !/^[\w-]+$/.test(name) || !/^[1-9]\d*$/.test(version)) return false;
    try {
      this.add(readModel(join(this.#repositoryDir, name, version)));
      return true;
    } catch (error) {
      if (error instanceof WeirError) return false;
      throw error;
    }
  }

  /** Version numbers of a model, newest first. */
  versionsOf(name: string): string[] {
    const versions = [...this.#models.values()].filter((m) => m.manifest.name === name).map((m) => m.manifest.version);
    return versions.sort((a, b) => Number(b) - Number(a));
  }
}

/** Reads a version folder; the evaluator must give the golden rows their raw outputs. Throws a fatal WeirError. */
export function readModel(dir: string): Model {
  const manifest = readManifest(dir);
  const golden = readGolden(dir, manifest);
  const evaluator = loadEvaluator(dir, manifest, golden);
  checkGolden(golden, evaluator.score(golden.matrix, golden.rows), `The file in ${dir}`);
  return { manifest, golden, evaluator };
}

/** Models in the repository that were published by Weir; other folders are somebody else's. */
export function modelsIn(repositoryDir: string): string[] {
  const isOurs = (name: string) =>
    readFolders(join(repositoryDir, name)).some((version) =>
      existsSync(join(repositoryDir, name, version, "manifest.json")),
    );
  const names = readFolders(repositoryDir).filter(isOurs).sort();
  if (names.length > 0) return names;
  throw new WeirError(
    "MODEL_UNKNOWN",
    "fatal",
    `${repositoryDir} holds no model with a manifest.`,
    "Publish one with `weir model publish`, or correct WEIR_MODEL_REPOSITORY.",
  );
}

export interface LoadModelsOptions {
  readonly client: TritonClient;
  readonly repositoryDir: string;
  /** Folders of the repository. */
  readonly names: readonly string[];
  readonly signal?: AbortSignal;
}

/**
 * Has the server load each model and proves every version it then serves: its tensors are the manifest's and it gives
 * the golden rows their raw outputs. Versions that lie in the repository but are no longer served stay known (old
 * routing versions name them) but are not proved.
 *
 * Throws MODEL_METADATA_MISMATCH, MODEL_GOLDEN_MISMATCH, MODEL_MANIFEST_INVALID or MODEL_ARTEFACT_INVALID (fatal), or
 * the client's error. A model whose process died is unloaded and loaded once.
 */
export async function loadModels(options: LoadModelsOptions): Promise<Models> {
  const { client, repositoryDir, signal } = options;
  const call = signal ? { signal } : {};
  const models = new Models(repositoryDir);
  for (const name of options.names) {
    const versions = versionFolders(join(repositoryDir, name));
    for (const version of versions) models.add(readModel(join(repositoryDir, name, version)));
    await client.load(name, call);
    const served = (await client.modelMetadata(name, "", call)).versions;
    const unknown = served.filter((version) => !models.has(name, version));
    if (unknown.length > 0 || served.length === 0) {
      throw new WeirError(
        "MODEL_METADATA_MISMATCH",
        "fatal",
        `The server serves ${name} in versions ${served.join(", ") || "(none)"}; ${join(repositoryDir, name)} holds ${versions.join(", ")}.`,
        "Start the model server on this repository.",
      );
    }
    for (const version of served) {
      const model = models.get(name, version)!;
      await client.expectTensors(name, version, tensorsOf(model.manifest), call);
      await proveOnServer(client, model, signal);
    }
  }
  return models;
}

/**
 * One version that was published after `loadModels`: has the server load it and proves it, whatever is wrong with other
 * versions of the model. Throws as `loadModels` does.
 */
export async function loadVersion(
  client: TritonClient,
  repositoryDir: string,
  name: string,
  version: string,
): Promise<Model> {
  const model = readModel(join(repositoryDir, name, version));
  await client.load(name);
  await client.expectTensors(name, version, tensorsOf(model.manifest));
  await proveOnServer(client, model, undefined);
  return model;
}

/**
 * Only an answer to known rows shows that a model works: one whose process died still counts as ready. Such a model is
 * unloaded and loaded once.
 */
export async function proveOnServer(
  client: TritonClient,
  model: Model,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { name, version } = model.manifest;
  const call = signal ? { signal } : {};
  const who = `${name} version ${version} at ${client.address}`;
  try {
    checkGolden(model.golden, await inferGolden(client, model, call), who);
  } catch (error) {
    if (!(error instanceof WeirError) || error.code !== "MODEL_FAILED") throw error;
    await reviveModel(client, name, signal);
    checkGolden(model.golden, await inferGolden(client, model, call), who);
  }
}

/**
 * Brings back a model whose process died. The server still calls it ready, and to load it again changes nothing while
 * its files are the same: it has to be unloaded first.
 */
export async function reviveModel(client: TritonClient, name: string, signal?: AbortSignal): Promise<void> {
  const call = signal ? { signal } : {};
  await client.unload(name, call);
  await untilUnloaded(client, name, signal);
  await client.load(name, call);
}

async function inferGolden(client: TritonClient, model: Model, call: { signal?: AbortSignal }): Promise<Float32Array> {
  const { manifest, golden } = model;
  const reply = await client.infer(
    {
      model: manifest.name,
      version: manifest.version,
      input: manifest.input.name,
      output: manifest.output.name,
      columns: manifest.columns.length,
      data: golden.matrix,
    },
    call,
  );
  return reply.data;
}

async function untilUnloaded(client: TritonClient, name: string, signal: AbortSignal | undefined): Promise<void> {
  const endMs = Date.now() + UNLOAD_LIMIT_MS;
  for (;;) {
    const index = await client.repositoryIndex(signal ? { signal } : {});
    const busy = index.filter((entry) => entry.name === name && !["UNAVAILABLE", ""].includes(entry.state));
    if (busy.length === 0 || Date.now() > endMs) return;
    await sleep(100, undefined, signal ? { signal } : {});
  }
}

/** The tensors that a manifest promises. */
export const tensorsOf = ({ input, output, columns }: ModelManifest) => ({
  inputs: [{ name: input.name, datatype: "FP32", shape: [-1, columns.length] }],
  outputs: [{ name: output.name, datatype: "FP32", shape: [-1, output.width ?? 1] }],
});

function checkGolden(golden: GoldenRows, answered: Float32Array, who: string): void {
  const bad = golden.raw.findIndex((raw, row) => !(Math.abs(answered[row]! - raw) <= GOLDEN_TOLERANCE));
  if (bad < 0 && answered.length === golden.rows) return;
  throw new WeirError(
    "MODEL_GOLDEN_MISMATCH",
    "fatal",
    `${who} answers golden row ${bad} with ${answered[bad]}, ${golden.raw[bad]} was expected.`,
    "Publish the model again; check that the library versions of trainer and server agree.",
  );
}

function versionFolders(dir: string): string[] {
  const versions = readFolders(dir).filter((name) => /^[1-9]\d*$/.test(name));
  if (versions.length > 0) return versions.sort((a, b) => Number(a) - Number(b));
  throw new WeirError(
    "MODEL_UNKNOWN",
    "fatal",
    `${dir} holds no model version.`,
    "Train and publish the model first, or correct the repository's path.",
  );
}

function readFolders(dir: string): string[] {
  try {
    return readdirSync(dir, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [entry.name] : []));
  } catch {
    return [];
  }
}
