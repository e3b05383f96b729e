import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  createScoreProcessor,
  FAILED,
  interpolate,
  type ScoreAnswer,
  type ScoreCall,
  type ScoreOptions,
  type ScoringModel,
} from "../../processors/score/index.ts";
import type { Anomaly, AnomalyEdge, FeatureBatch, PredictionBatch, RoutingConfig } from "../../schemas/index.ts";
import { standaloneSchema, typeOf } from "../../schemas/index.ts";
import { type InputRecord, type Output, partitionFor, type Rejection, topicName } from "../../streams/index.ts";
import { armChooser, RoutingTable } from "../../triton/index.ts";

const MINUTE = 60_000;
const T = 1_700_000_000_000 - (1_700_000_000_000 % MINUTE);
const topics = {
  predictions: topicName("predictions"),
  anomalies: topicName("anomalies"),
  anomaliesByGroup: topicName("anomalies.by-group"),
  evidence: topicName("logs.raw"),
};
const featureSet = { name: "small", hash: "h1", columns: ["cpu", "memory", "disk"], windowMinutes: 15 };

/** score = raw from 0 to 1; probability half of it. */
const model = (columns: string[], more: Partial<ScoringModel> = {}): ScoringModel => ({
  columns,
  featureSet: "small",
  featureSetHash: "h1",
  calibration: { raw: [0, 1], probability: [0, 0.5], score: [0, 1] },
  threshold: 0.85,
  explain: (row) => Float64Array.from(row, (x) => x * 2 - 1),
  ...more,
});

const catalog: Record<string, ScoringModel> = {
  "a/1": model(["cpu", "memory", "disk"]),
  "c/1": model(["disk", "memory", "cpu"]),
  "b/1": model(["memory", "cpu"], { featureSet: "smaller", featureSetHash: "h2" }),
};

const routing = (more: Partial<RoutingConfig> = {}): RoutingConfig => ({
  family: "anomaly",
  version: 1,
  mode: "split",
  salt: "s",
  effectiveFromMs: T,
  arms: [
    { model: "a", modelVersion: "1", weight: 70 },
    { model: "b", modelVersion: "1", weight: 30 },
  ],
  author: "test",
  createdAtMs: 0,
  experiment: "",
  labelledUntilMs: 0,
  ...more,
});

/** A fake that behaves like a model server: model a answers a row's first value, model b half of it. */
class FakeScorer {
  calls: ScoreCall[] = [];
  async score(calls: readonly ScoreCall[]): Promise<ScoreAnswer[]> {
    this.calls.push(...calls);
    return calls.map(({ model, modelVersion, rows, matrix }) => {
      const columns = matrix.length / rows;
      const raw = Float32Array.from({ length: rows }, (_, row) => matrix[row * columns]! * (model === "a" ? 1 : 0.5));
      return { version: modelVersion, evaluator: "triton", raw };
    });
  }
}

function batch(rows: [entity: string, cpu: number, memory?: number][], more: Partial<FeatureBatch> = {}): FeatureBatch {
  const matrix = Float32Array.from(rows.flatMap(([, cpu, memory = Number.NaN]) => [cpu, memory, 0.25]));
  return {
    featureSet: "small",
    featureSetHash: "h1",
    windowEndMs: T,
    watermarkMs: T,
    chunk: 0,
    chunks: 1,
    entities: rows.map(([entity]) => entity),
    columns: 3,
    matrix: Buffer.from(matrix.buffer),
    quality: Buffer.alloc(rows.length * 4),
    firstOffset: rows.map((_, i) => 100 + i),
    lastOffset: rows.map((_, i) => 200 + i),
    silent: [],
    ...more,
  };
}

const record = (value: FeatureBatch, partition = 2): InputRecord<FeatureBatch> => ({
  topic: topicName("features"),
  partition,
  offset: 0,
  timestampMs: value.windowEndMs,
  key: `${partition}/${value.windowEndMs}/${value.chunk}`,
  value,
});

interface Sent {
  topic: string;
  key: string;
  value: unknown;
  timestampMs: number;
  partition: number | undefined;
}

function setup(configs: RoutingConfig[] = [routing()], more: Partial<ScoreOptions> = {}) {
  const router = new RoutingTable("anomaly", () => true);
  for (const config of configs) expect(router.offer(config)).toEqual([]);
  const scorer = new FakeScorer();
  const processor = createScoreProcessor({
    topics,
    partitions: 3,
    routingFamily: "anomaly",
    featureSet,
    models: { get: (name, version) => catalog[`${name}/${version}`] },
    router,
    scorer,
    groupOf: (entity) => `group-of-${entity}`,
    ...more,
  });
  const run = async (...values: FeatureBatch[]) => {
    const sent: Sent[] = [];
    const rejected: Rejection[] = [];
    const counted: Record<string, number> = {};
    const out: Output = {
      send: (topic, key, value, timestampMs, partition) => sent.push({ topic, key, value, timestampMs, partition }),
      reject: (rejection) => rejected.push(rejection),
      late: () => {},
      count: (outcome, events) => {
        counted[outcome] = (counted[outcome] ?? 0) + events;
      },
    };
    const records = values.map((value) => record(value));
    const plan = processor.plan(records);
    processor.apply(records, await processor.perform(plan, new AbortController().signal), out);
    const to = (topic: string) => sent.filter((s) => s.topic === topic);
    return {
      sent,
      rejected,
      counted,
      predictions: to("predictions").map((s) => s.value as PredictionBatch),
      anomalies: to("anomalies").map((s) => s.value as Anomaly),
      edges: to("anomalies.by-group"),
    };
  };
  return { processor, router, scorer, run };
}

const floats = (bytes: Buffer) => [...new Float32Array(new Uint8Array(bytes).buffer)];
const choose = armChooser(routing());
const entityOf = (arm: number) => Array.from({ length: 100 }, (_, i) => `i-${i}`).find((e) => choose(e) === arm)!;
const [first, second] = [entityOf(0), entityOf(1)];

describe("a row", () => {
  test("is judged by its arm's model, in that model's columns; the other arm's score stands beside it", async () => {
    const { run, scorer } = setup();
    const { predictions } = await run(
      batch([
        [first, 0.5, 0.8],
        [second, 0.25, 0.6],
      ]),
    );
    expect(scorer.calls.map((c) => [c.model, ...c.matrix])).toEqual([
      ["a", ...new Float32Array([0.5, 0.8, 0.25, 0.25, 0.6, 0.25])],
      ["b", ...new Float32Array([0.8, 0.5, 0.6, 0.25])],
    ]);
    const p = predictions[0]!;
    expect(p.models.map((m) => `${m.name}/${m.version}/${m.evaluator}`)).toEqual(["a/1/triton", "b/1/triton"]);
    expect([...p.arm]).toEqual([0, 1]);
    expect(floats(p.raw)).toEqual([0.5, Math.fround(0.6) * 0.5].map(Math.fround));
    expect(floats(p.score)).toEqual([0.5, Math.fround(0.6) * 0.5].map(Math.fround));
    expect(floats(p.probability)).toEqual([0.25, Math.fround(0.6) * 0.25].map(Math.fround));
    expect(floats(p.shadow)).toEqual([Math.fround(0.8) * 0.5, 0.25].map(Math.fround));
  });

  test("is asked of its own arm alone where both are not wanted; the missing score is NaN", async () => {
    const { run, scorer } = setup([routing()], { scoreBothArms: false });
    const { predictions } = await run(batch([[second, 0.5, 0.5]]));
    expect(scorer.calls.map((c) => c.model)).toEqual(["b"]);
    expect(predictions[0]!.models.map((m) => m.name)).toEqual(["b"]);
    expect([...predictions[0]!.arm]).toEqual([0]);
    expect(floats(predictions[0]!.shadow)).toEqual([Number.NaN]);
  });

  test("in shadow mode has the first arm's verdict and always both scores; off, nothing but the first arm", async () => {
    const shadow = setup([routing({ mode: "shadow" })], { scoreBothArms: false });
    const p = (await shadow.run(batch([[second, 0.5, 0.5]]))).predictions[0]!;
    expect([p.models[p.arm[0]!]!.name, floats(p.raw), floats(p.shadow)]).toEqual(["a", [0.5], [0.25]]);
    const off = setup([routing({ mode: "off" })]);
    await off.run(batch([[second, 0.5, 0.5]]));
    expect(off.scorer.calls.map((c) => c.model)).toEqual(["a"]);
  });

  test("is not scored before the first routing version, but its watermark goes on", async () => {
    const { run, scorer } = setup();
    const early = await run(batch([[first, 1]], { windowEndMs: T - 1, watermarkMs: T - 1, silent: ["quiet"] }));
    expect(scorer.calls).toEqual([]);
    expect(early.predictions).toMatchObject([{ entities: [], routingVersion: -1, watermarkMs: T - 1, models: [] }]);
    expect(early.anomalies).toEqual([]);
    expect(early.edges.length).toBe(3);
    expect((await run(batch([[first, 1]], { silent: ["quiet"] }))).anomalies.length).toBe(2);
  });

  test("has the champion's verdict where an experiment's challenger gave no answer; the challenger is marked as failed", async () => {
    const asked: boolean[] = [];
    const ill = {
      score: async (calls: readonly ScoreCall[]): Promise<ScoreAnswer[]> =>
        calls.map(({ rows, mayFail }) => {
          asked.push(mayFail ?? false);
          const raw = mayFail ? new Float32Array(0) : new Float32Array(rows).fill(0.9);
          return { version: "1", evaluator: mayFail ? FAILED : "triton", latencyMs: 7, raw };
        }),
    };
    const rows: [string, number][] = [
      [first, 0.5],
      [second, 0.5],
    ];
    const { predictions, anomalies } = await setup([routing({ experiment: "try" })], { scorer: ill }).run(batch(rows));
    expect(asked).toEqual([false, true]);
    const p = predictions[0]!;
    expect(p.models.map((m) => `${m.name} ${m.evaluator} ${m.latencyMs}`)).toEqual(["a triton 7", "b failed 7"]);
    expect([...p.arm]).toEqual([0, 0]);
    expect(floats(p.raw)).toEqual([0.9, 0.9].map(Math.fround));
    expect(floats(p.shadow)).toEqual([Number.NaN, Number.NaN]);
    expect(anomalies.map((a) => a.model)).toEqual(["a", "a"]);
    asked.length = 0;
    await setup([routing()], { scorer: ill }).run(batch(rows));
    expect(asked, "outside an experiment both arms must answer").toEqual([false, false]);
  });

  test("lies unaligned in its record without harm", async () => {
    const aligned = batch([[first, 0.5, 0.8]]);
    const frame = Buffer.concat([Buffer.alloc(1), aligned.matrix]);
    const { run, scorer } = setup();
    await run({ ...aligned, matrix: frame.subarray(1) });
    expect([...scorer.calls[0]!.matrix]).toEqual([0.5, 0.8, 0.25].map(Math.fround));
  });
});

test("a large batch goes uncopied to a model that takes its columns as they are, and each answer finds its row", async () => {
  const rows = (count: number, at: number) =>
    Array.from({ length: count }, (_, i): [string, number] => [`i-${at + i}`, ((at + i) % 100) / 100]);
  const large = batch(rows(300, 0));
  const { run, scorer } = setup();
  const { predictions } = await run(batch(rows(20, 500)), large, batch(rows(20, 600)));
  const whole = scorer.calls.filter((call) => call.matrix.buffer === large.matrix.buffer);
  expect(whole.map(({ model, rows }) => [model, rows])).toEqual([["a", 300]]);
  // Model b takes other columns, and the small batches share a call.
  expect(scorer.calls.map(({ model, rows }) => `${model} ${rows}`).sort()).toEqual(["a 300", "a 40", "b 340"]);
  for (const [prediction, at] of [
    [predictions[0]!, 500],
    [predictions[1]!, 0],
    [predictions[2]!, 600],
  ] as const) {
    const raw = new Float32Array(new Uint8Array(prediction.raw).buffer);
    const first = prediction.models.findIndex(({ name }) => name === "a");
    prediction.entities.forEach((_, row) => {
      if (prediction.arm[row] === first) expect(raw[row]).toBe(Math.fround(((at + row) % 100) / 100));
    });
  }
});

test("a large batch is put into the order of a model that has the same columns in another one", async () => {
  const rows = Array.from({ length: 300 }, (_, i): [string, number, number] => [`i-${i}`, i / 300, 0.5]);
  const { run, scorer } = setup([routing({ arms: [{ model: "c", modelVersion: "1", weight: 100 }] })]);
  await run(batch(rows));
  expect(scorer.calls).toHaveLength(1);
  expect([...scorer.calls[0]!.matrix.subarray(3 * 30, 3 * 31)]).toEqual([0.25, 0.5, Math.fround(30 / 300)]);
});

test("rows of several batches share a request of at most 512 rows, and each answer finds its row again", async () => {
  const entity = fc.integer({ min: 0, max: 99_999 }).map((i) => `i-${i}`);
  const value = fc.float({ min: 0, max: 1, noNaN: true });
  const rows = fc.array(fc.tuple(entity, value, value), { maxLength: 300 });
  await fc.assert(
    fc.asyncProperty(fc.array(rows, { minLength: 1, maxLength: 6 }), async (batches) => {
      const { run, scorer } = setup();
      const values = batches.map((b, i) => batch(b, { windowEndMs: T + i * MINUTE }));
      const { predictions } = await run(...values);
      expect(scorer.calls.every((c) => c.rows >= 1 && c.rows <= 512)).toBe(true);
      predictions.forEach((p, i) => {
        const own = batches[i]!.map(([e, cpu, memory]) => (choose(e) === 0 ? cpu : memory * 0.5));
        const other = batches[i]!.map(([e, cpu, memory]) => (choose(e) === 0 ? memory * 0.5 : cpu));
        expect(floats(p.raw)).toEqual(own.map(Math.fround));
        expect(floats(p.shadow)).toEqual(other.map(Math.fround));
      });
    }),
    { numRuns: 30 },
  );
});

describe("an anomaly", () => {
  test("is a row at or over the threshold, with its reasons and the offsets of its evidence", async () => {
    const { run } = setup();
    const { anomalies, predictions } = await run(
      batch([
        [first, 0.84, 0.1],
        [`${first}x`, 0.85, 0.9],
        [first, 0.95, 0.9],
      ]),
    );
    const scores = floats(predictions[0]!.score);
    expect(anomalies.length).toBe(scores.filter((s) => s >= Math.fround(0.85)).length);
    expect(anomalies.at(-1)).toEqual({
      anomalyId: `${first}/${T}/model`,
      kind: "model",
      entity: first,
      entityGroup: `group-of-${first}`,
      windowStartMs: T - 15 * MINUTE,
      windowEndMs: T,
      featureSet: "small",
      model: "a",
      modelVersion: "1",
      routingVersion: 1,
      score: Math.fround(0.95),
      probability: Math.fround(Math.fround(0.95) / 2),
      threshold: Math.fround(0.85),
      topFeatures: [
        { name: "cpu", value: Math.fround(0.95), contribution: Math.fround(Math.fround(0.95) * 2 - 1) },
        { name: "memory", value: Math.fround(0.9), contribution: Math.fround(Math.fround(0.9) * 2 - 1) },
      ],
      evidence: { entity: first, windowEndMs: T, topic: "logs.raw", partition: 2, firstOffset: 102, lastOffset: 202 },
    });
  });

  test("at exactly the operating point is one, the next float below is none", async () => {
    const { run } = setup([routing({ arms: [{ model: "a", modelVersion: "1", weight: 100 }] })]);
    const at = Math.fround(0.85);
    expect((await run(batch([[first, at]]))).anomalies.length).toBe(1);
    expect((await run(batch([[first, at - 6e-8]]))).anomalies.length).toBe(0);
  });

  test("is raised for an entity that fell silent, with no record behind it", async () => {
    const { anomalies } = await setup().run(batch([], { silent: ["quiet"] }));
    expect(anomalies).toMatchObject([
      { anomalyId: `quiet/${T}/telemetry_silent`, kind: "telemetry_silent", score: 1, model: "", topFeatures: [] },
    ]);
    expect(anomalies[0]!.evidence).toMatchObject({ partition: 2, firstOffset: -1, lastOffset: -1 });
  });

  test("goes to its own partition under its entity, and to its group's partition with its writer's clock", async () => {
    const { sent, edges } = await setup().run(batch([[first, 1, 1]], { watermarkMs: T - 5 }));
    expect(sent.find((s) => s.topic === "anomalies")).toMatchObject({
      key: first,
      partition: undefined,
      timestampMs: T,
    });
    const group = `group-of-${first}`;
    expect(edges[0]).toMatchObject({ key: group, partition: partitionFor(group, 3), timestampMs: T });
    expect(edges[0]!.value).toMatchObject({ kind: "anomaly", source: "score/2", clockMs: T - 5 });
  });
});

test("after the last chunk of a minute, and not before, one tick goes to every partition of the re-keyed topic", async () => {
  const { run } = setup();
  expect((await run(batch([[first, 0.1]], { chunk: 0, chunks: 2 }))).edges).toEqual([]);
  const { edges } = await run(batch([[second, 0.1]], { chunk: 1, chunks: 2 }));
  expect(edges.map((e) => [e.partition, e.value as AnomalyEdge])).toEqual(
    [0, 1, 2].map((p) => [p, { kind: "tick", source: "score/2", clockMs: T, anomaly: null }]),
  );
});

test("a prediction batch keeps the key and the time of the feature batch", async () => {
  const { sent } = await setup().run(batch([[first, 0.1]]));
  expect(sent[0]).toMatchObject({ topic: "predictions", key: `2/${T}/0`, timestampMs: T, partition: undefined });
});

test("rows are counted once each, an empty batch as control", async () => {
  const { run } = setup();
  expect(
    (
      await run(
        batch([
          [first, 0.1],
          [second, 0.1],
        ]),
        batch([]),
      )
    ).counted,
  ).toEqual({ accepted: 2, control: 1 });
});

test("a batch of another feature set or of a wrong size is a dead letter; its watermark goes on", async () => {
  for (const [more, code] of [
    [{ featureSetHash: "other" }, "feature_set_unknown"],
    [{ matrix: Buffer.alloc(11) }, "feature_batch_malformed"],
    [{ lastOffset: [] }, "feature_batch_malformed"],
  ] satisfies [Partial<FeatureBatch>, string][]) {
    const { run, scorer } = setup();
    const { rejected, counted, predictions, edges } = await run(batch([[first, 1]], more));
    expect(rejected).toMatchObject([{ code, timestampMs: T }]);
    expect(counted).toEqual({});
    expect(predictions).toMatchObject([{ entities: [], watermarkMs: T, routingVersion: -1 }]);
    expect([edges.length, scorer.calls.length]).toEqual([3, 0]);
  }
});

test("a model that is not known, or was trained on other columns, stops the stage with both lists", () => {
  const arms = (name: string) => [{ model: name, modelVersion: "1", weight: 100 }];
  const plan = (name: string) => () =>
    setup([routing({ arms: arms(name) })]).processor.plan([record(batch([[first, 1]]))]);
  expect(plan("ghost")).toThrow(expect.objectContaining({ code: "MODEL_UNKNOWN", disposition: "fatal" }));
  catalog["swap/1"] = model(["cpu", "swap"]);
  expect(plan("swap")).toThrow(/Model columns: cpu, swap. Row columns: cpu, memory, disk/);
  catalog["stale/1"] = model(["cpu"], { featureSetHash: "older" });
  expect(plan("stale")).toThrow(expect.objectContaining({ code: "MODEL_FEATURES_MISMATCH" }));
});

describe("a replay", () => {
  const values = [
    batch([
      [first, 0.9, 0.4],
      [second, 0.2, 1],
    ]),
    batch([[first, 0.1]], { windowEndMs: T + MINUTE, watermarkMs: T + MINUTE, silent: [second] }),
  ];
  const encode = (sent: Sent[]) =>
    sent.map((s) => {
      const schema = { predictions: "prediction-batch", anomalies: "anomaly" }[s.topic] ?? "anomaly-edge";
      return [
        s.topic,
        s.key,
        s.partition,
        s.timestampMs,
        typeOf(standaloneSchema(schema)).toBuffer(s.value).toString("hex"),
      ];
    });

  test("of equal batches writes equal bytes, however the batches are grouped", async () => {
    const together = encode((await setup().run(...values)).sent);
    const { run } = setup();
    const apart = [...encode((await run(values[0]!)).sent), ...encode((await run(values[1]!)).sent)];
    expect(apart).toEqual(together);
    expect(encode((await setup().run(...values)).sent)).toEqual(together);
  });

  test("takes a routing version that came late from where it counted first, as the store remembers", async () => {
    const late = routing({ version: 2, effectiveFromMs: T, mode: "off" });
    const { run, router, processor } = setup();
    await run(values[0]!);
    router.offer(late);
    expect((await run(values[0]!)).predictions[0]!.routingVersion).toBe(1);
    expect((await run(values[1]!)).predictions[0]!.routingVersion).toBe(2);

    const restarted = setup([routing(), late]);
    processor.stores[0]!.flush((key, value) => restarted.processor.stores[0]!.restore(key, value));
    expect((await restarted.run(values[0]!)).predictions[0]!.routingVersion).toBe(1);
    expect((await restarted.run(values[1]!)).predictions[0]!.routingVersion).toBe(2);
  });
});

test("a calibration is flat beyond its ends, exact at its knots and never falls in between", () => {
  const knots = [0, 0.25, 1];
  const values = [0.125, 0.85, 1];
  expect([-1, 0, 0.25, 1, 2].map((x) => interpolate(knots, values, x))).toEqual([0.125, 0.125, 0.85, 1, 1]);
  const x = fc.double({ min: -1, max: 2, noNaN: true });
  fc.assert(
    fc.property(x, x, (a, b) => {
      const [low, high] = [Math.min(a, b), Math.max(a, b)];
      expect(interpolate(knots, values, low)).toBeLessThanOrEqual(interpolate(knots, values, high));
    }),
  );
});
