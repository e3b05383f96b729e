import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { status } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { FAILED, type ScoreCall } from "../../processors/index.ts";
import { loadModels, Models, modelsIn, readModel, TritonClient, TritonScorer } from "../../triton/index.ts";
import { FaultServer, grpcError, reply, sums } from "./fault-server.ts";

const fixtures = new URL("fixtures/repository/", import.meta.url).pathname;
const model = readModel(join(fixtures, "xgboost_anomaly/1"));
const models = new Models();
models.add(model);

let server: FaultServer;
let client: TritonClient;
beforeEach(async () => {
  server = await new FaultServer().start();
  client = new TritonClient({ address: server.address, timeoutMs: 10_000 });
});
afterEach(() => {
  client.close();
  server.kill();
});

const call = (rows = 2): ScoreCall => ({
  model: "xgboost_anomaly",
  modelVersion: "1",
  rows,
  matrix: Float32Array.from({ length: rows * 6 }, () => 0.5),
});
const forever = new AbortController().signal;

describe("the scorer", () => {
  test("answers in the order of its calls, naming the version that answered", async () => {
    const scorer = new TritonScorer({ client, models });
    const answers = await scorer.score([call(1), call(3), call(2)], forever);
    expect(answers.map((a) => a.raw.length)).toEqual([1, 3, 2]);
    expect(answers[0]).toEqual({
      version: "1",
      evaluator: "triton",
      latencyMs: expect.any(Number),
      raw: Float32Array.of(3),
    });
    expect(await scorer.score([], forever)).toEqual([]);
  });

  test("answers a call that may fail as failed, whatever is wrong, and does not wait", async () => {
    const may = { ...call(), mayFail: true };
    const failed = { version: "1", evaluator: FAILED, raw: new Float32Array(0) };
    const scorer = new TritonScorer({ client, models });
    expect(await scorer.score([may], forever)).toMatchObject([{ evaluator: "triton" }]);
    server.handlers = { ModelInfer: (r) => reply(r, Float32Array.of(Number.NaN, 1), [2, 1]) };
    expect(await scorer.score([may], forever)).toMatchObject([failed]);
    server.handlers = { ModelInfer: () => Promise.reject(grpcError(status.INTERNAL, "is not healthy")) };
    expect(await scorer.score([may], forever)).toMatchObject([failed]);
    expect(server.count("RepositoryModelUnload")).toBe(0);
    server.kill();
    expect(await scorer.score([may], forever)).toMatchObject([failed]);
  });

  test("waits for a server that is gone, tells why, and goes on when it is back", async () => {
    server.kill();
    const told: string[] = [];
    const onWait = (error: { code: string }) => {
      told.push(error.code);
      if (told.length === 2) void server.start();
    };
    const answers = await new TritonScorer({ client, models, onWait }).score([call()], forever);
    expect(answers[0]!.raw).toEqual(Float32Array.of(3, 3));
    expect(told[0]).toBe("MODEL_SERVER_UNAVAILABLE");
  });

  test("gives up waiting with the reason of the aborted signal", async () => {
    server.kill();
    const stop = new AbortController();
    const onWait = () => stop.abort(new Error("stopping"));
    await expect(new TritonScorer({ client, models, onWait }).score([call(), call()], stop.signal)).rejects.toThrow(
      "stopping",
    );
  });

  test("has a server that came back empty load the model", async () => {
    let loaded = false;
    server.handlers = {
      ModelInfer: (r) => (loaded ? sums(r) : Promise.reject(grpcError(status.NOT_FOUND, "unknown model"))),
      RepositoryModelLoad: () => {
        loaded = true;
        return {};
      },
    };
    const answers = await new TritonScorer({ client, models }).score([call(1), call(1)], forever);
    expect(answers.map((a) => a.raw)).toEqual([Float32Array.of(3), Float32Array.of(3)]);
    expect(server.count("RepositoryModelLoad")).toBe(1);
  });

  test("unloads and loads a model whose process died, since the server does not", async () => {
    let isDead = true;
    let isLoaded = true;
    const dead = () => Promise.reject(grpcError(status.INTERNAL, "Stub process 'm' is not healthy."));
    server.handlers = {
      ModelInfer: (r) => (isDead ? dead() : sums(r)),
      RepositoryModelUnload: () => {
        isLoaded = false;
        return {};
      },
      RepositoryIndex: () => ({
        models: [{ name: "xgboost_anomaly", version: "1", state: isLoaded ? "READY" : "UNAVAILABLE", reason: "" }],
      }),
      RepositoryModelLoad: () => {
        isDead = isLoaded;
        return {};
      },
    };
    const answers = await new TritonScorer({ client, models }).score([call(1)], forever);
    expect(answers[0]!.raw).toEqual(Float32Array.of(3));
  });

  test("throws what waiting cannot mend", async () => {
    const scorer = new TritonScorer({ client, models });
    const code = (code: string) => expect.objectContaining({ code, disposition: "fatal" });
    server.handlers.ModelInfer = (r) => reply(r, Float32Array.of(Number.NaN, 1), [2, 1]);
    await expect(scorer.score([call()], forever)).rejects.toEqual(code("MODEL_OUTPUT_NOT_FINITE"));
    server.handlers.ModelInfer = (r) => reply(r, new Float32Array(6), [2, 3]);
    await expect(scorer.score([call()], forever)).rejects.toEqual(code("MODEL_SHAPE_MISMATCH"));
    server.handlers.ModelInfer = (r) => ({ ...sums(r), raw_output_contents: [] });
    await expect(scorer.score([call()], forever)).rejects.toEqual(code("MODEL_OUTPUT_SHORT"));
    server.handlers.ModelInfer = () => Promise.reject(grpcError(status.INVALID_ARGUMENT, "wrong columns"));
    await expect(scorer.score([call()], forever)).rejects.toEqual(code("MODEL_REQUEST_REFUSED"));
    const ghost = { ...call(), modelVersion: "9" };
    await expect(scorer.score([ghost], forever)).rejects.toEqual(code("MODEL_UNKNOWN"));
  });

  test("takes the second of two outputs a row: the chance of an anomaly", async () => {
    server.handlers.ModelInfer = (r) => reply(r, Float32Array.of(0.75, 0.25, 0.5, 0.5), [2, 2]);
    const [answer] = await new TritonScorer({ client, models }).score([call()], forever);
    expect(answer!.raw).toEqual(Float32Array.of(0.25, 0.5));
  });
});

describe("loading models", () => {
  const name = "xgboost_anomaly";
  const tensors = (columns: number) => ({
    inputs: [{ name: "input__0", datatype: "FP32", shape: [-1, columns] }],
    outputs: [{ name: "output__0", datatype: "FP32", shape: [-1, 1] }],
  });
  const metadata = (versions: string[], columns = 6) => ({ name, versions, platform: "python", ...tensors(columns) });
  const load = (repositoryDir = fixtures, names = [name]) => loadModels({ client, repositoryDir, names });
  const golden = (version: string) => readModel(join(fixtures, name, version)).golden.raw;

  beforeEach(() => {
    server.handlers = {
      RepositoryModelLoad: () => ({}),
      ModelMetadata: () => metadata(["1", "2"]),
      ModelInfer: (r) => reply(r, golden(r.model_version).slice(), [64, 1], r.model_version),
    };
  });

  test("proves every version served by its golden rows and makes all versions known", async () => {
    const loaded = await load();
    expect(loaded.versionsOf(name)).toEqual(["2", "1"]);
    expect(loaded.get(name, "1")!.columns).toEqual(model.manifest.columns);
    expect(server.count("ModelInfer")).toBe(2);
    expect(server.count("ModelReady")).toBe(0);
  });

  test("refuses a version that answers a golden row otherwise", async () => {
    server.handlers.ModelInfer = (r) => reply(r, golden("1").slice(), [64, 1], r.model_version);
    await expect(load()).rejects.toEqual(expect.objectContaining({ code: "MODEL_GOLDEN_MISMATCH" }));
  });

  test("refuses a server whose tensors are not the manifest's, and prints both", async () => {
    server.handlers.ModelMetadata = () => metadata(["1", "2"], 7);
    await expect(load()).rejects.toThrow(
      /Expected: input input__0 FP32 \[-1, 6\].*Server: input input__0 FP32 \[-1, 7\]/,
    );
  });

  test("refuses a server that runs on another repository", async () => {
    server.handlers.ModelMetadata = () => metadata(["9"]);
    await expect(load()).rejects.toThrow(/serves xgboost_anomaly in versions 9/);
  });

  test("names a model that is not in the repository, and one whose manifest is broken, before it asks the server", async () => {
    await expect(load(fixtures, ["ghost"])).rejects.toEqual(expect.objectContaining({ code: "MODEL_UNKNOWN" }));
    const copy = mkdtempSync(join(tmpdir(), "weir-models-"));
    try {
      cpSync(fixtures, copy, { recursive: true });
      writeFileSync(join(copy, name, "2", "manifest.json"), "{}");
      await expect(load(copy)).rejects.toEqual(expect.objectContaining({ code: "MODEL_MANIFEST_INVALID" }));
    } finally {
      rmSync(copy, { recursive: true });
    }
    expect(server.calls).toEqual([]);
  });

  test("means all models of the repository that have a manifest; without any the repository is refused", () => {
    const copy = mkdtempSync(join(tmpdir(), "weir-models-"));
    try {
      expect(() => modelsIn(copy)).toThrow(expect.objectContaining({ code: "MODEL_UNKNOWN" }));
      cpSync(fixtures, copy, { recursive: true });
      mkdirSync(join(copy, "foreign", "1"), { recursive: true });
      expect(modelsIn(copy)).toEqual(["catboost_anomaly", "isolation_forest", "xgboost_anomaly"]);
    } finally {
      rmSync(copy, { recursive: true });
    }
  });

  test("a version published later becomes known when it is asked for, if it is whole", async () => {
    const copy = mkdtempSync(join(tmpdir(), "weir-models-"));
    try {
      cpSync(join(fixtures, name, "1"), join(copy, name, "1"), { recursive: true });
      server.handlers.ModelMetadata = () => metadata(["1"]);
      const loaded = await load(copy);
      expect([loaded.learn(name, "1"), loaded.learn(name, "2"), loaded.learn("../models", "1")]).toEqual([
        true,
        false,
        false,
      ]);
      cpSync(join(fixtures, name, "2"), join(copy, name, "2"), { recursive: true });
      writeFileSync(join(copy, name, "2", "golden.json"), "{}");
      expect(loaded.learn(name, "2")).toBe(false);
      cpSync(join(fixtures, name, "2", "golden.json"), join(copy, name, "2", "golden.json"));
      expect(loaded.learn(name, "2")).toBe(true);
      expect(loaded.get(name, "2")!.columns).toEqual(model.manifest.columns);
    } finally {
      rmSync(copy, { recursive: true });
    }
  });
});
