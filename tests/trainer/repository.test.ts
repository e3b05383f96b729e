import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { ModelManifest } from "../../schemas/index.ts";
import { latestVersion, modelsUpToDate, publish } from "../../trainer/index.ts";
import { TRAINER_VERSION } from "../../trainer/models.ts";

let home: string;
let repository: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "weir-repository-"));
  repository = join(home, "models");
  await mkdir(join(home, "fitted"));
  await writeFile(join(home, "fitted/forest.json"), "{}");
  await writeFile(join(home, "fitted/golden.json"), "{}");
});
afterEach(() => rm(home, { recursive: true, force: true }));

const manifest = (columns: readonly string[]): Omit<ModelManifest, "version"> => ({
  name: "forest",
  format: "isolation-forest-json",
  columns,
  featureSet: "set",
  featureSetHash: "hash",
  missing: "nan",
  input: { name: "input__0", columns: columns.length },
  output: { name: "output__0" },
  calibration: { raw: [0, 1], probability: [0, 1], score: [0, 1] },
  threshold: 0.85,
  trained: { rows: 1, positives: 0, digest: "data", fromMs: 0, toMs: 1, labels: "none" },
  libraries: { "weir-trainer": TRAINER_VERSION },
});
const put = (...columns: string[]) => publish(repository, join(home, "fitted"), manifest(columns));
const config = () => readFile(join(repository, "forest/config.pbtxt"), "utf8");

test("versions count up as numbers: after 9 comes 10, then 11", async () => {
  expect(await latestVersion(repository, "forest")).toBeNull();
  expect((await put("a")).manifest.version).toBe("1");
  await mkdir(join(repository, "forest/9"));
  expect((await put("a")).manifest.version).toBe("10");
  await mkdir(join(repository, "forest/not-a-version"));
  expect((await put("a")).manifest.version).toBe("11");
  expect(await latestVersion(repository, "forest")).toBe("11");
});

test("two versions are served side by side, but not across a change of width", async () => {
  await put("a", "b");
  await put("a", "b");
  expect(await config()).toContain("num_versions: 2");
  await put("a", "b", "c");
  expect(await config()).toContain("dims: [ 3 ]");
  expect(await config()).toContain("num_versions: 1");
});

test("a version that cannot be put together leaves the repository as it was and nothing beside it", async () => {
  await put("a");
  const before = await readdir(repository, { recursive: true });
  await rm(join(home, "fitted/golden.json"));
  await expect(put("a")).rejects.toThrow("golden.json");
  expect(await readdir(repository, { recursive: true })).toEqual(before);
  expect((await readdir(home)).sort()).toEqual(["fitted", "models"]);
});

test("a number that another publisher took meanwhile is a conflict, never an overwrite", async () => {
  await put("a");
  const results = await Promise.allSettled([put("a"), put("a")]);
  const refused = results.filter((result) => result.status === "rejected").map((result) => result.reason as Error);
  expect(refused.length).toBeLessThanOrEqual(1);
  for (const error of refused) expect(error).toMatchObject({ code: "MODEL_PUBLISH_CONFLICT" });
  for (const entry of await readdir(join(repository, "forest"))) {
    if (entry === "config.pbtxt") continue;
    expect((await readdir(join(repository, "forest", entry))).sort()).toEqual([
      "forest.json",
      "golden.json",
      "manifest.json",
      "model.py",
    ]);
  }
});

test("a manifest that cannot be read counts as out of date, and so does one of another trainer", async () => {
  const asked = [{ name: "forest", featureSetHash: "hash" }];
  const { folder, manifest: published } = await put("a");
  expect(await modelsUpToDate(repository, asked, "data")).toBe(true);
  const older = { ...published, libraries: { "weir-trainer": "0" } };
  await writeFile(join(folder, "manifest.json"), JSON.stringify(older));
  expect(await modelsUpToDate(repository, asked, "data")).toBe(false);
  await writeFile(join(folder, "manifest.json"), "{");
  expect(await modelsUpToDate(repository, asked, "data")).toBe(false);
});
