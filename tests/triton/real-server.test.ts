import { spawnSync } from "node:child_process";
import { copyFileSync, cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Stack, startStack } from "../../local/index.ts";
import { modelConfig } from "../../schemas/index.ts";
import { loadModels, type Models, modelsIn, TritonClient, TritonScorer } from "../../triton/index.ts";

/** The real Triton, its python backend running the trainer's own model code on small artefacts. */
const names = ["xgboost_anomaly", "catboost_anomaly", "isolation_forest"];
const forever = new AbortController().signal;
let runDir: string;
let stack: Stack;
let client: TritonClient;
let models: Models;

beforeAll(async () => {
  runDir = mkdtempSync(join(tmpdir(), "weir-triton-"));
  stack = await startStack({ runDir, components: ["triton"] });
  const { grpc, modelRepository } = stack.endpoints.triton;
  const fixtures = new URL("fixtures/repository/", import.meta.url).pathname;
  const modelCode = new URL("../../trainer/python/weir_trainer/model.py", import.meta.url).pathname;
  for (const name of names) {
    const home = join(modelRepository, name);
    cpSync(join(fixtures, name), home, { recursive: true });
    for (const version of readdirSync(home)) copyFileSync(modelCode, join(home, version, "model.py"));
    const config = modelConfig(name, name === "catboost_anomaly" ? 5 : 6, { backend: "python", keptVersions: 2 });
    writeFileSync(join(home, "config.pbtxt"), config.replace("max_batch_size: 4096", "max_batch_size: 256"));
  }
  client = new TritonClient({ address: grpc });
  models = await loadModels({ client, repositoryDir: modelRepository, names });
}, 120_000);

afterAll(async () => {
  client?.close();
  await stack?.stop();
  if (runDir) rmSync(runDir, { recursive: true, force: true });
}, 60_000);

/** The golden rows over and over: missing values and ties included. */
function rows(name: string, version: string, count: number): Float32Array {
  const { golden, columns } = models.get(name, version)!;
  return Float32Array.from({ length: count * columns.length }, (_, i) => golden.matrix[i % golden.matrix.length]!);
}

const request = (name: string, version: string, count: number) => {
  const { manifest } = models.get(name, version)!;
  const { input, output, columns } = manifest;
  const data = rows(name, version, count);
  return { model: name, version, input: input.name, output: output.name, columns: columns.length, data };
};

describe("on the real server", () => {
  test.each([
    ["xgboost_anomaly", "1"],
    ["xgboost_anomaly", "2"],
    ["catboost_anomaly", "1"],
    ["isolation_forest", "1"],
  ])(
    "%s version %s answers as the built-in evaluator does, over more rows than one request may hold",
    async (name, version) => {
      const { evaluator } = models.get(name, version)!;
      const asked = request(name, version, 1_000);
      const answer = await client.infer(asked);
      const expected = evaluator.score(asked.data, 1_000);
      expect(answer.version).toBe(version);
      expect(answer.data.length).toBe(1_000);
      answer.data.forEach((raw, row) => {
        expect(Math.abs(raw - expected[row]!)).toBeLessThan(1e-5);
      });
    },
  );

  test("metadata, configuration, statistics, index and health are read", async () => {
    expect([await client.serverLive(), await client.serverReady()]).toEqual([true, true]);
    expect((await client.serverMetadata()).extensions).toContain("model_repository");
    expect((await client.modelMetadata("xgboost_anomaly")).versions).toEqual(["1", "2"]);
    expect(await client.modelConfig("catboost_anomaly")).toMatchObject({ backend: "python", max_batch_size: 256 });
    const before = (await client.statistics("isolation_forest", "1"))[0]!;
    await client.infer(request("isolation_forest", "1", 7));
    const after = (await client.statistics("isolation_forest", "1"))[0]!;
    expect(after.inference_count - before.inference_count).toBe(7);
    expect(after.inference_stats!.success!.ns).toBeGreaterThan(before.inference_stats!.success!.ns);
    const index = await client.repositoryIndex();
    expect(index.filter((m) => m.state === "READY").map((m) => `${m.name}/${m.version}`)).toEqual(
      expect.arrayContaining(["xgboost_anomaly/1", "xgboost_anomaly/2", "catboost_anomaly/1", "isolation_forest/1"]),
    );
    expect(await client.modelReady("nobody")).toBe(false);
  });

  test("what it refuses comes back as a code", async () => {
    const asked = request("xgboost_anomaly", "1", 2);
    const code = (code: string) => expect.objectContaining({ code });
    await expect(client.infer({ ...asked, model: "nobody" })).rejects.toEqual(code("MODEL_NOT_FOUND"));
    await expect(client.infer({ ...asked, version: "9" })).rejects.toEqual(code("MODEL_NOT_FOUND"));
    await expect(client.infer({ ...asked, columns: 4 })).rejects.toEqual(code("MODEL_REQUEST_REFUSED"));
    await expect(client.infer({ ...asked, input: "x" })).rejects.toEqual(code("MODEL_REQUEST_REFUSED"));
    await expect(client.load("nobody")).rejects.toEqual(code("MODEL_LOAD_FAILED"));
  });

  test("an unloaded model and one whose process was killed are brought back by the scorer, no row lost", async () => {
    const scorer = new TritonScorer({ client, models });
    const matrix = rows("xgboost_anomaly", "2", 64);
    const call = { model: "xgboost_anomaly", modelVersion: "2", rows: 64, matrix };
    const timeless = async (...calls: (typeof call)[]) =>
      (await scorer.score(calls, forever)).map(({ latencyMs, ...answer }) => answer);
    const [before] = await timeless(call);
    await client.unload("xgboost_anomaly");
    expect(await timeless(call, call)).toEqual([before, before]);
    for (const pid of stubsOf("xgboost_anomaly")) process.kill(pid, "SIGKILL");
    expect(await client.modelReady("xgboost_anomaly", "2")).toBe(true);
    expect(await timeless(call, call)).toEqual([before, before]);
  }, 60_000);
});

describe("weir model", () => {
  /** The command as a user calls it, on this test's server. */
  const weir = (...args: string[]) => {
    const { grpc, modelRepository } = stack.endpoints.triton;
    const env = { ...process.env, WEIR_TRITON_GRPC: grpc, WEIR_MODEL_REPOSITORY: modelRepository };
    const main = new URL("../../main.ts", import.meta.url).pathname;
    const { status, stdout, stderr } = spawnSync(process.execPath, [main, "model", ...args], { env, encoding: "utf8" });
    return { status, stderr, last: stdout.trim().split("\n").at(-1) ?? "" };
  };
  const home = (name: string) => join(stack.endpoints.triton.modelRepository, name);

  test("publish makes a folder the next version, served and proved", async () => {
    const from = new URL("fixtures/repository/isolation_forest/1", import.meta.url).pathname;
    const { status, last, stderr } = weir("publish", from, "--json");
    expect([status, stderr]).toEqual([0, expect.stringContaining("weir routing set")]);
    expect(JSON.parse(last)).toMatchObject({ model: "isolation_forest", version: "2", backend: "python" });
    expect((await client.modelMetadata("isolation_forest")).versions).toEqual(["1", "2"]);
    const { modelRepository } = stack.endpoints.triton;
    models = await loadModels({ client, repositoryDir: modelRepository, names: modelsIn(modelRepository) });
    const answer = await client.infer(request("isolation_forest", "2", 64));
    expect(answer.version).toBe("2");
    const checked = weir("check", home("isolation_forest"), "--server", stack.endpoints.triton.grpc, "--json");
    expect([checked.status, JSON.parse(checked.last)]).toMatchObject([
      0,
      { faults: 0, models: [{}, { goldenRows: 64 }] },
    ]);
  }, 60_000);

  test("publish takes a version back that the server cannot load, and the version before goes on", async () => {
    const config = readFileSync(join(home("catboost_anomaly"), "config.pbtxt"), "utf8");
    const from = join(home("catboost_anomaly"), "1");
    // No onnxruntime backend is to be had here: the server refuses the configuration.
    const { status, stderr } = weir("publish", from, "--backend", "onnxruntime");
    expect([status, stderr]).toEqual([1, expect.stringContaining("MODEL_LOAD_FAILED")]);
    expect(readdirSync(home("catboost_anomaly")).sort()).toEqual(["1", "config.pbtxt"]);
    expect(readFileSync(join(home("catboost_anomaly"), "config.pbtxt"), "utf8")).toBe(config);
    expect((await client.infer(request("catboost_anomaly", "1", 8))).version).toBe("1");
  }, 60_000);

  test("check tells what the server does otherwise than the folder says", () => {
    const server = stack.endpoints.triton.grpc;
    const copy = join(runDir, "copy", "xgboost_anomaly");
    cpSync(home("xgboost_anomaly"), copy, { recursive: true });
    cpSync(join(copy, "1"), join(copy, "7"), { recursive: true });
    const manifest = readFileSync(join(copy, "7", "manifest.json"), "utf8");
    writeFileSync(join(copy, "7", "manifest.json"), manifest.replace('"version":"1"', '"version":"7"'));
    const { status, last } = weir("check", copy, "--server", server, "--json");
    const { models: found } = JSON.parse(last) as { models: { version: string; faults: string[] }[] };
    expect(status).toBe(1);
    expect(found.map(({ version, faults }) => [version, faults.length])).toEqual([
      ["1", 0],
      ["2", 0],
      ["7", 1],
    ]);
    expect(found[2]!.faults[0]).toMatch(/version 7/);
  }, 60_000);
});

test("once the server is stopped, a scorer that may does the same by itself, marked so", async () => {
  const matrix = rows("xgboost_anomaly", "2", 64);
  const call = { model: "xgboost_anomaly", modelVersion: "2", rows: 64, matrix };
  const scorer = new TritonScorer({ client, models, fallbackAfterMs: 5_000 });
  const [before] = await scorer.score([call], forever);
  await stack.stop();
  const [after] = await scorer.score([call], forever);
  expect([before!.evaluator, after!.evaluator]).toEqual(["triton", "built-in"]);
  expect(after!.version).toBe("2");
  after!.raw.forEach((raw, row) => {
    expect(Math.abs(raw - before!.raw[row]!)).toBeLessThan(1e-6);
  });
}, 60_000);

/** The processes that run a model of this server; its repository's path tells them from any other's. */
function stubsOf(name: string): number[] {
  const home = join(stack.endpoints.triton.modelRepository, name);
  return readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number)
    .filter((pid) => {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, "utf8");
        return command.includes("triton_python_backend_stub") && command.includes(home);
      } catch {
        return false;
      }
    });
}
