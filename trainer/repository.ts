import { chmod, copyFile, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { WeirError } from "../streams/index.ts";
import type { ModelFormat, ModelManifest } from "./manifest.ts";
import { TRAINER_VERSION } from "./models.ts";

/** File of the artefact in a version folder. */
export const artefactFile: Readonly<Record<ModelFormat, string>> = {
  "xgboost-json": "xgboost.json",
  "catboost-onnx": "model.onnx",
  "isolation-forest-json": "forest.json",
};

/** Key of `ModelManifest.libraries` under which the trainer's own version stands. */
export const TRAINER_KEY = "weir-trainer";

const MODEL_PY = fileURLToPath(new URL("./python/weir_trainer/model.py", import.meta.url));

/** The newest version in the repository, or null where the model has none. Versions are whole numbers as text. */
export async function latestVersion(repository: string, name: string): Promise<string | null> {
  const entries = await readdir(join(repository, name)).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
  const versions = entries.filter((entry) => /^[1-9][0-9]*$/.test(entry)).map(Number);
  return versions.length === 0 ? null : String(Math.max(...versions));
}

/** Whether the newest version of every model was trained by this trainer on this data for this feature set. */
export async function modelsUpToDate(
  repository: string,
  models: readonly { readonly name: string; readonly featureSetHash: string }[],
  trainingDigest: string,
): Promise<boolean> {
  const fresh = models.map(async ({ name, featureSetHash }) => {
    const manifest = await latestManifest(repository, name);
    return (
      manifest?.featureSetHash === featureSetHash &&
      manifest.trained.digest === trainingDigest &&
      manifest.libraries[TRAINER_KEY] === TRAINER_VERSION
    );
  });
  return (await Promise.all(fresh)).every(Boolean);
}

/** Null where there is no version, or none that can be read: it is then trained anew. */
async function latestManifest(repository: string, name: string): Promise<ModelManifest | null> {
  const version = await latestVersion(repository, name);
  if (version === null) return null;
  try {
    return JSON.parse(await readFile(join(repository, name, version, "manifest.json"), "utf8")) as ModelManifest;
  } catch {
    return null;
  }
}

/**
 * Adds a version to the repository and answers its manifest; `fitted` holds the artefact and golden.json.
 *
 * The version is put together beside the repository, where no model server looks, and renamed into place whole. A
 * version that exists is never changed. Throws MODEL_PUBLISH_CONFLICT if another publisher took the number meanwhile.
 */
export async function publish(
  repository: string,
  fitted: string,
  unnumbered: Omit<ModelManifest, "version">,
): Promise<{ readonly manifest: ModelManifest; readonly folder: string }> {
  const { name, format } = unnumbered;
  const previous = await latestManifest(repository, name);
  const version = String(Number((await latestVersion(repository, name)) ?? 0) + 1);
  const manifest: ModelManifest = { ...unnumbered, version };

  await mkdir(repository, { recursive: true });
  const staging = await mkdtemp(`${resolve(repository)}.staging-`);
  try {
    const staged = join(staging, version);
    await mkdir(staged);
    const file = artefactFile[format];
    await copyFile(join(fitted, file), join(staged, file));
    await copyFile(join(fitted, "golden.json"), join(staged, "golden.json"));
    await copyFile(MODEL_PY, join(staged, "model.py"));
    await writeFile(join(staged, "manifest.json"), `${JSON.stringify(manifest, null, 2)}\n`);
    // One configuration holds for all versions served: an older one of another width cannot be kept beside this one.
    const keptVersions = previous === null || previous.input.columns === manifest.input.columns ? 2 : 1;
    await writeFile(join(staging, "config.pbtxt"), modelConfig(name, manifest.input.columns, keptVersions));
    const folder = join(repository, name, version);
    await putInPlace(staging, staged, folder).catch((cause: unknown) => {
      throw new WeirError(
        "MODEL_PUBLISH_CONFLICT",
        "fatal",
        `Version ${version} of ${name} could not be put into ${repository}.`,
        "See that one trainer at a time publishes there and that the folder is writable; then train again.",
        { cause },
      );
    });
    return { manifest, folder };
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}

/** The first version brings its model's folder along; later ones leave the running one's configuration till last. */
async function putInPlace(staging: string, staged: string, folder: string): Promise<void> {
  const home = dirname(folder);
  if (basename(folder) === "1") {
    await chmod(staging, 0o755); // temporary folders start closed to others; a model server may run as another user
    await rename(staging, home);
  } else {
    await rename(staged, folder);
    await rename(join(staging, "config.pbtxt"), join(home, "config.pbtxt"));
  }
}

/** Triton's view of a model: python backend, rows of `columns` floats in, one float out, batched on the server. */
export function modelConfig(name: string, columns: number, keptVersions: number): string {
  return `name: "${name}"
backend: "python"
max_batch_size: 4096
input [ { name: "input__0" data_type: TYPE_FP32 dims: [ ${columns} ] } ]
output [ { name: "output__0" data_type: TYPE_FP32 dims: [ 1 ] } ]
instance_group [ { count: 1 kind: KIND_CPU } ]
dynamic_batching { preferred_batch_size: [ 64, 256 ] max_queue_delay_microseconds: 500 }
version_policy { latest { num_versions: ${keptVersions} } }
`;
}
