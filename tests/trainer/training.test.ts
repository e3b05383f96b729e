import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { defaultCacheDir } from "../../local/index.ts";
import type { ModelManifest } from "../../schemas/index.ts";
import {
  latestVersion,
  type ModelJob,
  modelsUpToDate,
  type TrainingData,
  type TrainingJob,
  type TrainingProgress,
  type TrainingReport,
  trainModels,
} from "../../trainer/index.ts";
import { syntheticRows } from "./synthetic.ts";

const python = join(defaultCacheDir(), "tools/bin/python");
const reproduce = fileURLToPath(new URL("./reproduce.py", import.meta.url));
const embargoMs = 15 * 60_000;
const limitMs = 300_000;

interface GoldenFile {
  readonly rows: readonly (readonly (number | null)[])[];
  readonly raw: readonly number[];
}

let home: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "weir-trainer-"));
});
afterAll(() => rm(home, { recursive: true, force: true }));

const models = (data: TrainingData): ModelJob[] => {
  const whole = { featureSet: "core-8", featureSetHash: "hash-8", columns: data.columns };
  const shorter = { featureSet: "core-7", featureSetHash: "hash-7", columns: data.columns.slice(0, -1) };
  return [
    { name: "isolation_forest", kind: "isolation_forest", ...whole },
    { name: "xgboost_anomaly", kind: "xgboost_anomaly", ...whole },
    { name: "catboost_anomaly", kind: "catboost_anomaly", ...shorter },
  ];
};

const jobFor = (name: string, data: TrainingData, more: Partial<TrainingJob> = {}): TrainingJob => ({
  folder: join(home, name, "job"),
  repository: join(home, name, "models"),
  data,
  models: models(data),
  embargoMs,
  hopMs: 60_000,
  ...more,
});

const json = async <T>(...path: string[]): Promise<T> => JSON.parse(await readFile(join(...path), "utf8")) as T;

describe("a job with labels", () => {
  const data = syntheticRows({ entities: 6, minutes: 800, columns: 8 });
  const events: TrainingProgress[] = [];
  let job: TrainingJob;
  let report: TrainingReport;
  beforeAll(async () => {
    job = jobFor("labelled", data);
    report = await trainModels(job, { python, progress: (event) => events.push(event) });
  }, limitMs);

  const each = <T>(check: (manifest: ModelManifest, folder: string, at: number) => Promise<T>): Promise<T[]> =>
    Promise.all(
      report.models.map(async ({ folder }, at) =>
        check(await json<ModelManifest>(folder, "manifest.json"), folder, at),
      ),
    );

  test("every model has one whole version, a server configuration and nothing else beside it", async () => {
    const artefacts = ["forest.json", "xgboost.json", "model.onnx"];
    await each(async (manifest, folder, at) => {
      expect((await readdir(folder)).sort()).toEqual(
        [artefacts[at]!, "golden.json", "manifest.json", "model.py"].sort(),
      );
      expect((await readdir(join(job.repository, manifest.name))).sort()).toEqual(["1", "config.pbtxt"]);
      const config = await readFile(join(job.repository, manifest.name, "config.pbtxt"), "utf8");
      expect(config).toContain(`dims: [ ${manifest.columns.length} ]`);
    });
    expect(await readdir(join(job.repository, ".."))).toEqual(expect.arrayContaining(["job", "models"]));
    expect(await readdir(join(job.repository, ".."))).toHaveLength(2);
  });

  test("manifests name their columns in order, the rows they were fitted on and the libraries", async () => {
    await each(async (manifest, _, at) => {
      expect(manifest).toMatchObject({
        version: "1",
        columns: at === 2 ? data.columns.slice(0, -1) : data.columns,
        input: { name: "input__0", columns: at === 2 ? 7 : 8 },
        threshold: 0.85,
        trained: {
          rows: data.entity.length,
          digest: "synthetic-1",
          fromMs: data.windowEndMs[0],
          toMs: data.windowEndMs.at(-1),
          labels: at === 0 ? "none" : "given",
        },
      });
      expect(Object.keys(manifest.libraries)).toEqual(expect.arrayContaining(["weir-trainer", "python", "numpy"]));
    });
  });

  test("golden rows are reproduced by the libraries themselves and by the served file, missing values included", async () => {
    await writeFile(join(home, "fitted.f32"), data.matrix);
    const run = await promisify(execFile)(python, [reproduce, job.repository, join(home, "fitted.f32")]);
    const outputs = JSON.parse(run.stdout) as Record<string, { library: number[]; served: number[] }>;
    await each(async (manifest, folder) => {
      const golden = await json<GoldenFile>(folder, "golden.json");
      expect(golden.rows).toHaveLength(64);
      expect(golden.rows.flat().filter((cell) => cell === null).length).toBeGreaterThan(manifest.columns.length);
      const { library, served } = outputs[manifest.name]!;
      expect(served).toEqual(golden.raw);
      golden.raw.forEach((raw, row) => {
        expect(Math.abs(raw - library[row]!)).toBeLessThan(1e-6);
      });
    });
  });

  test("calibration ascends and puts 0.85 at the operating point", async () => {
    await each(async ({ calibration: { raw, probability, score } }, _, at) => {
      expect(score[raw.indexOf(report.models[at]!.operatingPoint.raw)]).toBe(0.85);
      for (const map of [raw, probability, score]) expect(map).toEqual([...map].sort((a, b) => a - b));
    });
  });

  test("supervised models find the planted outages by the columns they were planted in", () => {
    for (const { quality, importance, operatingPoint } of report.models.slice(1)) {
      expect(quality!.prAuc!).toBeGreaterThan(0.9);
      expect(operatingPoint.rule).toBe("best-f1"); // 480 anomalies are enough
      expect(operatingPoint.falseEpisodesPerMachineDay).toBeLessThanOrEqual(0.5);
      const planted = importance.slice(0, 3).map(({ column }) => column);
      expect(planted.sort()).toEqual(["metric_0", "metric_1", "metric_2"]);
    }
  });

  test("the forest, which saw no label, still beats chance", () => {
    const { quality, positives, rows } = report.models[0]!;
    expect(quality!.prAuc!).toBeGreaterThan((2 * positives.validation) / rows.validation);
  });

  test("every labelled row counts once in the quality, and the published model is fitted on all rows", () => {
    const rows = data.entity.length;
    expect(report.split).toBeNull();
    for (const { quality, rows: counts } of report.models) {
      const { truePositives, falsePositives, falseNegatives, trueNegatives } = quality!.confusion;
      expect(truePositives + falsePositives + falseNegatives + trueNegatives).toBe(rows);
      expect(counts).toEqual({ train: rows, validation: rows });
    }
  });

  test("the report holds five folds with their figures, mean and spread", () => {
    expect(report.models.map(({ crossValidation }) => crossValidation!.fitted)).toEqual([
      "once",
      "per-fold",
      "per-fold",
    ]);
    for (const { crossValidation, positives } of report.models) {
      const { folds, prAuc, f1 } = crossValidation!;
      expect(folds).toHaveLength(5);
      expect(folds.reduce((sum, fold) => sum + fold.rows, 0)).toBe(data.entity.length);
      expect(folds.reduce((sum, fold) => sum + fold.positives, 0)).toBe(positives.validation);
      const share = folds.map((fold) => fold.prAuc!);
      expect(prAuc.mean).toBeCloseTo(share.reduce((sum, value) => sum + value, 0) / 5, 12);
      expect(prAuc.spread).toBeGreaterThan(0);
      expect(f1.mean).toBeGreaterThan(0);
    }
  });

  test("the outputs that choose are those of the folds, not of the published model, which saw the rows", async () => {
    const raw = new Float32Array(
      new Uint8Array(await readFile(join(job.folder, "out/xgboost_anomaly/raw.f32"))).buffer,
    );
    const golden = await json<GoldenFile>(report.models[1]!.folder, "golden.json");
    const published = golden.rows.slice(1).map((row, at) => ({ row, raw: golden.raw[at + 1]! }));
    const width = data.columns.length;
    const differing = published.filter(({ row, raw: own }) => {
      const at = data.entity.findIndex((_, index) =>
        row.every((cell, column) => Object.is(data.matrix[index * width + column], cell ?? Number.NaN)),
      );
      return Math.abs(raw[at]! - own) > 1e-6;
    });
    expect(differing.length).toBeGreaterThan(published.length / 2);
  });

  test("the report is kept with the job, the bulky matrix is not", async () => {
    expect(await json(job.folder, "report.json")).toEqual(JSON.parse(JSON.stringify(report)));
    expect(await readdir(job.folder)).not.toContain("matrix.f32");
  });

  test("progress tells each step of each model, whichever comes first", () => {
    const names = report.models.map(({ name }) => name);
    const [prepared, ...told] = events.map(({ step, model }) => `${step} ${model ?? ""}`.trim());
    expect(prepared).toBe("prepare");
    expect(told.slice(-names.length)).toEqual(names.map((name) => `publish ${name}`));
    const fitting = told.slice(0, -names.length);
    expect(fitting).toHaveLength(2 * names.length);
    for (const name of names)
      expect(fitting.filter((step) => step.endsWith(` ${name}`))).toEqual([`fit ${name}`, `score ${name}`]);
  });

  test(
    "training again gives the same bytes under the next version, and the first stays",
    async () => {
      const again = await trainModels(job, { python, progress: () => {} });
      expect(again.models.map((model) => model.artefactDigest)).toEqual(
        report.models.map((model) => model.artefactDigest),
      );
      expect(again.models.map((model) => model.version)).toEqual(["2", "2", "2"]);
      for (const [at, { name, folder }] of again.models.entries()) {
        expect((await readdir(join(job.repository, name))).sort()).toEqual(["1", "2", "config.pbtxt"]);
        const [old, fresh] = [report.models[at]!.folder, folder];
        expect(await json(fresh, "golden.json")).toEqual(await json(old, "golden.json"));
        const { version: _, ...rest } = await json<ModelManifest>(fresh, "manifest.json");
        expect(await json(old, "manifest.json")).toEqual({ ...rest, version: "1" });
      }
    },
    limitMs,
  );

  test("models are up to date for their data and feature sets only", async () => {
    const asked = models(data);
    expect(await modelsUpToDate(job.repository, asked, data.digest)).toBe(true);
    expect(await modelsUpToDate(job.repository, asked, "other data")).toBe(false);
    const changed = [...asked.slice(0, 2), { ...asked[2]!, featureSetHash: "other" }];
    expect(await modelsUpToDate(job.repository, changed, data.digest)).toBe(false);
    expect(await modelsUpToDate(job.repository, [...asked, { ...asked[0]!, name: "new_one" }], data.digest)).toBe(
      false,
    );
  });
});

test(
  "without labels supervised models learn the forest's opinion, say so, and report no quality",
  async () => {
    const rows = syntheticRows({ entities: 4, minutes: 400, columns: 8 }, 2);
    const data = { ...rows, label: new Int8Array(rows.label.length).fill(-1) };
    const { models: trained } = await trainModels(jobFor("unlabelled", data), { python, progress: () => {} });
    expect(trained.map(({ labels }) => labels)).toEqual(["none", "pseudo", "pseudo"]);
    for (const { quality, operatingPoint, rows: counts, positives } of trained) {
      expect(quality).toBeNull();
      expect(operatingPoint.rule).toBe("normal-quantile");
      expect(positives.validation).toBe(0);
      expect(counts.validation).toBeGreaterThan(0);
    }
    expect(trained[1]!.positives.train).toBe(Math.floor(trained[1]!.rows.train * 0.01));
    expect(await latestVersion(join(home, "unlabelled", "models"), "xgboost_anomaly")).toBe("1");
  },
  limitMs,
);

test(
  "columns that never vary or are never there do not stop a job",
  async () => {
    const data = syntheticRows({ entities: 4, minutes: 400, columns: 8 }, 3);
    for (let row = 0; row < data.entity.length; row++) {
      data.matrix[row * 8 + 4] = 7;
      data.matrix[row * 8 + 5] = Number.NaN;
    }
    const report = await trainModels(jobFor("dull", data), { python, progress: () => {} });
    expect(report.models.map(({ quality }) => quality!.prAuc! > 0.1)).toEqual([true, true, true]);
  },
  limitMs,
);
