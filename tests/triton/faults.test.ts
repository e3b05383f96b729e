import { status } from "@grpc/grpc-js";
import { afterEach, describe, expect, test } from "vitest";
import { createScoreProcessor } from "../../processors/index.ts";
import type { FeatureBatch, PredictionBatch, RoutingConfig } from "../../schemas/index.ts";
import { type Output, topicName } from "../../streams/index.ts";
import {
  loadModels,
  type Models,
  RoutingTable,
  readModel,
  TritonClient,
  type TritonClientOptions,
  TritonScorer,
  type TritonScorerOptions,
} from "../../triton/index.ts";
import { FaultServer, grpcError, reply } from "./fault-server.ts";
import { Wire } from "./proxy.ts";

/**
 * The score stage's own plan, perform and apply against a server that speaks the protocol and goes wrong: the outcomes of
 * docs/scoring.md. The server answers with the real models' outputs, so that a row scored by another version shows.
 */
const repositoryDir = new URL("fixtures/repository/", import.meta.url).pathname;
const name = "xgboost_anomaly";
const versions = { "1": readModel(`${repositoryDir}${name}/1`), "2": readModel(`${repositoryDir}${name}/2`) };
const { manifest, golden } = versions["1"];
const forever = new AbortController().signal;
const open: { close(): void }[] = [];
afterEach(() => {
  for (const thing of open.splice(0).reverse()) thing.close();
});

type Infer = NonNullable<FaultServer["handlers"]["ModelInfer"]>;
const answer: Infer = (request) => {
  const version = request.model_version as "1" | "2";
  const raw = request.raw_input_contents[0]!;
  const matrix = new Float32Array(new Uint8Array(raw).buffer);
  const rows = matrix.length / manifest.columns.length;
  return reply(request, versions[version].evaluator.score(matrix, rows), [rows, 1], version);
};

async function serve(): Promise<FaultServer> {
  const server = await new FaultServer({
    ModelInfer: answer,
    RepositoryModelLoad: () => ({}),
    ModelMetadata: () => ({
      name,
      versions: ["1", "2"],
      platform: "python",
      inputs: [{ name: "input__0", datatype: "FP32", shape: [-1, 6] }],
      outputs: [{ name: "output__0", datatype: "FP32", shape: [-1, 1] }],
    }),
  }).start();
  open.push({ close: () => server.kill() });
  return server;
}

interface Stage {
  readonly client: TritonClient;
  readonly models: Models;
  readonly waited: string[];
  /** Ten batches of 8 to 17 rows through plan, perform and apply. */
  score(): Promise<PredictionBatch[]>;
}

async function stageOn(
  server: FaultServer,
  options: Partial<TritonClientOptions> & Pick<TritonScorerOptions, "fallbackAfterMs"> = {},
): Promise<Stage> {
  const { fallbackAfterMs, ...clientOptions } = options;
  const client = new TritonClient({
    address: server.address,
    timeoutMs: 20_000,
    attemptTimeoutMs: 10_000,
    ...clientOptions,
  });
  open.push(client);
  const models = await loadModels({ client, repositoryDir, names: [name] });
  const router = new RoutingTable("anomaly", (model, version) => models.has(model, version));
  const config: RoutingConfig = {
    family: "anomaly",
    version: 1,
    mode: "split",
    salt: "s",
    effectiveFromMs: 0,
    arms: [
      { model: name, modelVersion: "1", weight: 70 },
      { model: name, modelVersion: "2", weight: 30 },
    ],
    author: "test",
    createdAtMs: 0,
    experiment: "",
    labelledUntilMs: 0,
  };
  expect(router.offer(config)).toEqual([]);
  const waited: string[] = [];
  const scorer = new TritonScorer({
    client,
    models,
    onWait: (error) => waited.push(error.code),
    ...(fallbackAfterMs !== undefined && { fallbackAfterMs }),
  });
  const topic = (of: string) => topicName(of);
  const { featureSet, featureSetHash, columns } = manifest;
  const processor = createScoreProcessor({
    topics: {
      predictions: topic("predictions"),
      anomalies: topic("anomalies"),
      anomaliesByGroup: topic("anomalies.by-group"),
      evidence: topic("logs.raw"),
    },
    partitions: 1,
    routingFamily: "anomaly",
    featureSet: { name: featureSet, hash: featureSetHash, columns, windowMinutes: 15 },
    models,
    router,
    scorer,
    groupOf: (entity) => entity,
    scoreBothArms: false,
  });
  server.calls.length = 0;
  const score = async (): Promise<PredictionBatch[]> => {
    const records = batches();
    const sent: PredictionBatch[] = [];
    const out: Output = {
      send: (to, _key, value) => {
        if (to === "predictions") sent.push(value as PredictionBatch);
      },
      reject: () => expect.unreachable("nothing is rejected"),
      late: () => expect.unreachable("nothing is late"),
      count: () => undefined,
    };
    processor.apply(records, await processor.perform(processor.plan(records), forever), out);
    return sent;
  };
  return { client, models, waited, score };
}

function batches() {
  const columns = manifest.columns.length;
  let at = 0;
  return Array.from({ length: 10 }, (_, i) => {
    const rows = 8 + i;
    const matrix = Float32Array.from({ length: rows * columns }, (_, cell) => {
      const row = (at + Math.floor(cell / columns)) % golden.rows;
      return golden.matrix[row * columns + (cell % columns)]!;
    });
    at += rows;
    const value: FeatureBatch = {
      featureSet: manifest.featureSet,
      featureSetHash: manifest.featureSetHash,
      windowEndMs: 60_000,
      watermarkMs: 60_000,
      chunk: i,
      chunks: 10,
      entities: Array.from({ length: rows }, (_, row) => `i-${i}-${row}`),
      columns,
      matrix: Buffer.from(matrix.buffer),
      quality: Buffer.alloc(rows * 4),
      firstOffset: Array.from({ length: rows }, () => 0),
      lastOffset: Array.from({ length: rows }, () => 0),
      silent: [],
    };
    return { topic: topicName("features"), partition: 0, offset: i, timestampMs: 60_000, key: `0/60000/${i}`, value };
  });
}

const floats = (bytes: Buffer) => new Float32Array(new Uint8Array(bytes).buffer);

/** Every row once, in its order, with the very output of the version that its record names. */
function expectWhole(predictions: readonly PredictionBatch[]): void {
  const input = batches();
  expect(predictions.map((p) => p.entities)).toEqual(input.map(({ value }) => value.entities));
  predictions.forEach((prediction, i) => {
    const { matrix, entities } = input[i]!.value;
    const raw = floats(prediction.raw);
    entities.forEach((_, row) => {
      const ref = prediction.models[prediction.arm[row]!]!;
      const columns = manifest.columns.length;
      const values = floats(matrix).subarray(row * columns, (row + 1) * columns);
      const [expected] = versions[ref.version as "1" | "2"].evaluator.score(values, 1);
      expect(raw[row]).toBe(expected);
    });
  });
}
const evaluators = (predictions: readonly PredictionBatch[]) => [
  ...new Set(predictions.flatMap((p) => p.models.map((model) => model.evaluator))),
];
const count = (server: FaultServer) => server.count("ModelInfer");

describe("what passes by itself: the stage waits, no row is lost, doubled or scored by another version", () => {
  test("nothing wrong: one call a version", async () => {
    const server = await serve();
    const stage = await stageOn(server);
    expectWhole(await stage.score());
    expect([count(server), stage.waited]).toEqual([2, []]);
  });

  test("gone before the first call and back later", async () => {
    const server = await serve();
    const stage = await stageOn(server);
    server.kill();
    const scored = stage.score();
    await expect.poll(() => stage.waited.length, { timeout: 15_000 }).toBeGreaterThan(0);
    await server.start();
    expectWhole(await scored);
    expect(stage.waited).toContain("MODEL_SERVER_UNAVAILABLE");
  });

  test("cut off while it works on the calls", async () => {
    const server = await serve();
    const stage = await stageOn(server);
    let cut = false;
    server.handlers.ModelInfer = (request) => {
      if (cut) return answer(request);
      cut = true;
      setImmediate(() => {
        server.kill();
        void server.start();
      });
      return new Promise(() => undefined);
    };
    expectWhole(await stage.score());
  });

  test("slow: an answer that comes after its time limit is not taken, the next one is", async () => {
    const server = await serve();
    const stage = await stageOn(server, { attemptTimeoutMs: 800 });
    let slow = 2;
    let late = () => {};
    const never = new Promise<void>((resolve) => {
      late = resolve;
    });
    server.handlers.ModelInfer = async (request) => {
      if (slow-- > 0) await never;
      return answer(request);
    };
    expectWhole(await stage.score());
    expect(count(server)).toBeGreaterThan(2);
    late();
    expectWhole(await stage.score());
  });

  test("half-open: the connection stands and carries nothing; a new one is made and the calls go there", async () => {
    const server = await serve();
    const wire = await new Wire(server.port).start();
    open.push(wire);
    const stage = await stageOn(server, { address: `127.0.0.1:${wire.port}`, attemptTimeoutMs: 800 });
    wire.freeze();
    expectWhole(await stage.score());
    expect(stage.waited).toContain("MODEL_SERVER_TIMEOUT");
  });

  test("RESOURCE_EXHAUSTED and a full queue: fewer calls at once, then the same again", async () => {
    const server = await serve();
    const stage = await stageOn(server);
    const refusals = [
      grpcError(status.RESOURCE_EXHAUSTED, "too much"),
      grpcError(status.UNAVAILABLE, "Exceeds maximum queue size"),
    ];
    server.handlers.ModelInfer = (request) => {
      const refusal = refusals.pop();
      if (refusal) throw refusal;
      return answer(request);
    };
    expectWhole(await stage.score());
    expect([count(server), stage.waited]).toEqual([4, ["MODEL_SERVER_OVERLOADED"]]);
  });

  test("GOAWAY: calls under way are answered, later ones go over a new connection", async () => {
    const server = await serve();
    const stage = await stageOn(server);
    let told = false;
    server.handlers.ModelInfer = async (request) => {
      if (!told) {
        told = true;
        void server.drain().then(() => server.start());
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      return answer(request);
    };
    expectWhole(await stage.score());
    expectWhole(await stage.score());
  });

  test("unloaded in mid-flight: loaded again, though only one of the calls asks for it", async () => {
    const server = await serve();
    const stage = await stageOn(server);
    let loaded = true;
    let loads = 0;
    let answered = 0;
    server.handlers.ModelInfer = (request) => {
      if (answered++ === 1) loaded = false;
      if (loaded) return answer(request);
      throw grpcError(status.UNAVAILABLE, `Request for unknown model: '${name}' version 1 is not at ready state`);
    };
    server.handlers.RepositoryModelLoad = () => {
      loads++;
      loaded = true;
      return {};
    };
    expectWhole(await stage.score());
    expect([loads, stage.waited]).toEqual([1, ["MODEL_NOT_FOUND"]]);
  });

  test("two versions answering: each call names its version, and each row that one", async () => {
    const server = await serve();
    const stage = await stageOn(server);
    const predictions = await stage.score();
    expectWhole(predictions);
    const named = new Set(predictions.flatMap((p) => p.models.map((m) => m.version)));
    expect(named).toEqual(new Set(["1", "2"]));
    const asked = server.calls.map(({ request }) => (request as { model_version?: string }).model_version);
    expect(new Set(asked)).toEqual(named);
  });
});

describe("what does not pass by itself stops the stage before anything is written", () => {
  const two = new Float32Array(2);
  const cases: [string, Infer, string][] = [
    ["another version than asked", (r) => ({ ...answer(r), model_version: "3" }), "MODEL_VERSION_MISMATCH"],
    ["another number of rows", (r) => reply(r, two, [2, 1], r.model_version), "MODEL_SHAPE_MISMATCH"],
    ["another type", (r) => reply(r, two, [2, 1], r.model_version, "FP64"), "MODEL_SHAPE_MISMATCH"],
    ["NaN", (r) => ({ ...answer(r), raw_output_contents: [nans(r)] }), "MODEL_OUTPUT_NOT_FINITE"],
    ["half of the bytes", (r) => ({ ...answer(r), raw_output_contents: [nans(r).subarray(4)] }), "MODEL_OUTPUT_SHORT"],
    ["no bytes", (r) => ({ ...answer(r), raw_output_contents: [] }), "MODEL_OUTPUT_SHORT"],
  ];
  const nans = (request: Parameters<Infer>[0]) =>
    Buffer.from(new Float32Array(request.inputs[0]!.shape[0]!).fill(Number.NaN).buffer);

  test.each(cases)("%s", async (_, infer, code) => {
    const server = await serve();
    const stage = await stageOn(server);
    server.handlers.ModelInfer = infer;
    await expect(stage.score()).rejects.toEqual(expect.objectContaining({ code, disposition: "fatal" }));
    server.handlers.ModelInfer = answer;
    expectWhole(await stage.score());
  });
});

describe("with a fallback", () => {
  test("a server that is gone for longer is stood in for by the same models, and that is recorded", async () => {
    const server = await serve();
    const stage = await stageOn(server, { fallbackAfterMs: 2_000 });
    expect(evaluators(await stage.score())).toEqual(["triton"]);
    server.kill();
    const predictions = await stage.score();
    expectWhole(predictions);
    expect(evaluators(predictions)).toEqual(["built-in"]);
    expect(stage.waited[0]).toMatch(/MODEL_SERVER_(UNAVAILABLE|TIMEOUT)/);
    await server.start();
    await expect.poll(async () => evaluators(await stage.score()), { timeout: 15_000 }).toEqual(["triton"]);
  });

  test("one that stumbles for less is waited for", async () => {
    const server = await serve();
    const stage = await stageOn(server, { fallbackAfterMs: 10_000 });
    let refusals = 2;
    server.handlers.ModelInfer = (request) => {
      if (refusals-- > 0) throw grpcError(status.RESOURCE_EXHAUSTED, "too much");
      return answer(request);
    };
    const predictions = await stage.score();
    expectWhole(predictions);
    expect(evaluators(predictions)).toEqual(["triton"]);
  });

  test("one that answered in between has not been silent since", async () => {
    const server = await serve();
    const stage = await stageOn(server, { fallbackAfterMs: 2_000 });
    const refuseOnce = () => {
      let refused = false;
      server.handlers.ModelInfer = (request) => {
        if (refused) return answer(request);
        refused = true;
        throw grpcError(status.RESOURCE_EXHAUSTED, "too much");
      };
    };
    refuseOnce();
    expect(evaluators(await stage.score())).toEqual(["triton"]);
    const startedAt = performance.now();
    while (performance.now() - startedAt < 2_100) await stage.score();
    refuseOnce();
    expect(evaluators(await stage.score())).toEqual(["triton"]);
  });

  test("an answer that is wrong is no silence: the stage stops all the same", async () => {
    const server = await serve();
    const stage = await stageOn(server, { fallbackAfterMs: 1 });
    server.handlers.ModelInfer = (request) => ({ ...answer(request), model_version: "9" });
    await expect(stage.score()).rejects.toEqual(expect.objectContaining({ code: "MODEL_VERSION_MISMATCH" }));
  });
});
