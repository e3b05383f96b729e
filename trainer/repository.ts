import { chmod, copyFile, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { isDeepStrictEqual } from "node:util";
import { artefactOf, type Backend, type ModelManifest, modelConfig, tensorsFor } from "../schemas/index.ts";
import { WeirError } from "../streams/index.ts";
import { TRAINER_VERSION } from "./models.ts";

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
 * Adds a version to the repository and answers its manifest, its tensors named as the server's `backend` has them;
 * `fitted` holds the artefact and golden.json.
 *
 * The version is put together beside the repository, where no model server looks, and renamed into place whole. A
 * version that exists is never changed. Throws MODEL_PUBLISH_CONFLICT if another publisher took the number meanwhile.
 */
export async function publish(
  repository: string,
  fitted: string,
  unnumbered: Omit<ModelManifest, "version">,
  backend: Backend = "python",
): Promise<{ readonly manifest: ModelManifest; readonly folder: string }> {
  const { name, format } = unnumbered;
  const previous = await latestManifest(repository, name);
  const version = String(Number((await latestVersion(repository, name)) ?? 0) + 1);
  const manifest: ModelManifest = {
    ...unnumbered,
    ...tensorsFor(backend, unnumbered.columns.length),
    version,
  };

  await mkdir(repository, { recursive: true });
  const staging = await mkdtemp(`${resolve(repository)}.staging-`);
  try {
    const staged = join(staging, version);
    await mkdir(staged);
    const file = artefactOf[format];
    await copyFile(join(fitted, file), join(staged, file));
    await copyFile(join(fitted, "golden.json"), join(staged, "golden.json"));
    if (backend === "python") await copyFile(MODEL_PY, join(staged, "model.py"));
    await writeFile(join(staged, "manifest.json"), `${JSON.stringify(manifest, null, 2)}\n`);
    // One configuration holds for all versions served: an older one with other tensors cannot be kept beside this one.
    const { input, output } = manifest;
    const isLike = previous === null || isDeepStrictEqual([previous.input, previous.output], [input, output]);
    const config = modelConfig(name, input.columns, { backend, keptVersions: isLike ? 2 : 1 });
    await writeFile(join(staging, "config.pbtxt"), config);
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
