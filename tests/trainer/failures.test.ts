import { chmod, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { WeirError } from "../../streams/index.ts";
import { type ModelJob, type TrainingJob, trainModels } from "../../trainer/index.ts";
import { syntheticRows } from "./synthetic.ts";

let home: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "weir-trainer-"));
});
afterEach(() => rm(home, { recursive: true, force: true }));

const data = syntheticRows({ entities: 2, minutes: 200, columns: 3 });
const model: ModelJob = {
  name: "xgboost_anomaly",
  kind: "xgboost_anomaly",
  featureSet: "core-3",
  featureSetHash: "hash-3",
  columns: data.columns,
};
const job = (more: Partial<TrainingJob> = {}): TrainingJob => ({
  folder: join(home, "job"),
  repository: join(home, "models"),
  data,
  models: [model],
  embargoMs: 15 * 60_000,
  hopMs: 60_000,
  ...more,
});

/** What training ends with; `script` stands in for the Python interpreter. */
async function failure(
  script: string | null,
  more: Partial<TrainingJob> = {},
  signal?: AbortSignal,
): Promise<WeirError> {
  const python = join(home, "python");
  if (script !== null) {
    await writeFile(python, `#!/bin/sh\n${script}\n`);
    await chmod(python, 0o755);
  }
  const error = await trainModels(job(more), { python, progress: () => {}, ...(signal ? { signal } : {}) }).then(
    () => null,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(WeirError);
  return error as WeirError;
}

test("a bad job is refused with all its faults at once, before anything is written", async () => {
  const matrix = data.matrix.slice(1);
  matrix[0] = Number.POSITIVE_INFINITY;
  const label = data.label.slice();
  label[7] = 3;
  const error = await failure(null, {
    data: { ...data, matrix, label, digest: "" },
    models: [
      { ...model, columns: ["metric_0", "metric_0"] },
      { ...model, columns: ["absent"] },
      { ...model, name: "../escape" },
    ],
    hopMs: 0,
    embargoMs: -1,
    validationFraction: 1,
    maxFalseEpisodesPerMachineDay: Number.NaN,
    deadlineMs: 0,
  });
  expect(error.code).toBe("TRAINING_JOB_INVALID");
  for (const fault of [
    "the matrix has 1199 cells, not 400 rows x 3 columns",
    "1 cells of the matrix are infinite",
    "1 labels are none of 1, 0 and -1",
    "the digest of the data is empty",
    "model xgboost_anomaly has a column twice",
    "model xgboost_anomaly is listed twice",
    "the data lacks columns of model xgboost_anomaly: absent",
    'model name "../escape" is not a lower-case word',
    "hopMs is 0",
    "embargoMs is -1",
    "validationFraction is 1",
    "maxFalseEpisodesPerMachineDay is NaN",
    "deadlineMs is 0",
  ]) {
    expect(error.message).toContain(fault);
  }
  expect(await readdir(home)).toEqual([]);
});

test("history shorter than the embargo is refused", async () => {
  const error = await failure(null, { embargoMs: 86_400_000 });
  expect(error.message).toContain("no row lies outside the embargo");
});

test("a missing interpreter is named with the command that mends it", async () => {
  const error = await failure(null);
  expect(error.code).toBe("TRAINER_PYTHON_MISSING");
  expect(error.message).toContain(join(home, "python"));
  expect(error.nextStep).toContain("npx weir doctor");
});

test("a crash is told with the last lines and publishes nothing", async () => {
  const error = await failure("seq 1 100 >&2; echo 'MemoryError: no room' >&2; exit 3");
  expect(error.code).toBe("TRAINER_FAILED");
  expect(error.message).toContain("ended with 3");
  expect(error.message).toContain("MemoryError: no room");
  expect(error.message).not.toContain("\n  50\n");
  expect(await readdir(home)).not.toContain("models");
});

test("a package that is not installed points at the environment", async () => {
  const error = await failure(`echo "ModuleNotFoundError: No module named 'catboost'" >&2; exit 1`);
  expect(error.nextStep).toContain("lacks a package");
});

test("a trainer that does not end is ended at the deadline", async () => {
  const error = await failure("echo halfway >&2; exec sleep 600", { deadlineMs: 3_000 });
  expect(error.code).toBe("TRAINER_TIMEOUT");
  expect(error.message).toContain("halfway");
});

test("a stop from outside ends the trainer", async () => {
  expect((await failure("exec sleep 600", {}, AbortSignal.timeout(50))).code).toBe("TRAINER_STOPPED");
  expect((await failure("exec sleep 600", {}, AbortSignal.abort())).code).toBe("TRAINER_STOPPED");
});

test("outputs that do not fit the rows are refused, not published", async () => {
  const out = join(home, "job/out/xgboost_anomaly");
  const error = await failure(`mkdir -p ${out}; printf '{}' >${out}/fit.json; printf 'abcd' >${out}/raw.f32`);
  expect(error.code).toBe("TRAINER_FAILED");
  expect(error.message).toContain("answered 1 outputs");
  expect(await readdir(home)).not.toContain("models");
});
