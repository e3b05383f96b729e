import { afterAll, beforeAll, expect, test } from "vitest";
import { connectCodecs } from "../../commands/init.ts";
import type { Scored } from "../../edge/index.ts";
import { topics } from "../../pipeline.ts";
import { interpolate } from "../../processors/index.ts";
import type { PredictionBatch } from "../../schemas/index.ts";
import { connectBroker } from "../../streams/index.ts";
import { arrivals, drive, figuresOf } from "../load/schedule.ts";
import { grpcSender, httpSender, type LocalTarget, startLocalTarget, TOKEN } from "../load/target.ts";
import { until } from "../support/kafka.ts";

/** `weir run api` in a process of its own, as people start it, on a real broker, registry and Triton. */
let target: LocalTarget;
beforeAll(async () => {
  target = await startLocalTarget();
}, 120_000);
afterAll(() => target?.stop(), 60_000);

/** Told to come back, as on a busy machine, it does. */
async function post(body: unknown): Promise<Response> {
  let answer: Response | undefined;
  await until("an answer", async () => {
    answer = await fetch(`http://127.0.0.1:${target.edgePort}/v1/score`, {
      method: "POST",
      headers: { authorization: `Bearer ${TOKEN}`, "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    return answer.status !== 503;
  });
  return answer!;
}

test("a row over HTTP has the score that the model's own file gives it, by the arm that routing gives its entity", async () => {
  const seen = new Set<string>();
  for (let i = 0; i < 40; i++) {
    const answer = (await (
      await post({ entity: `i-${i}`, features: { cpu: i / 10, memory: 0.5, errors: null } })
    ).json()) as Scored;
    const model = target.models.get(answer.arm.model, answer.arm.version)!;
    const row = Float32Array.from(model.columns, (name) => ({ cpu: i / 10, memory: 0.5 })[name] ?? Number.NaN);
    const [raw] = model.evaluator.score(row, 1);
    expect(answer.score).toBeCloseTo(interpolate(model.calibration.raw, model.calibration.score, raw!), 4);
    expect(answer.missing).toEqual(model.columns.filter((name) => !["cpu", "memory"].includes(name)));
    expect(answer.routingVersion).toBe(1);
    seen.add(answer.arm.model);
  }
  expect([...seen].sort()).toEqual(["catboost_anomaly", "xgboost_anomaly"]);
});

test("a name that the model does not have is refused and named", async () => {
  const answer = await post({ entity: "i-1", features: { cpu: 1, cpus: 1 } });
  expect([answer.status, ((await answer.json()) as { error: string }).error]).toEqual([
    400,
    expect.stringMatching(/has no cpus$/),
  ]);
});

test("verdicts of the stream can be looked up once they are committed", async () => {
  const broker = connectBroker({ brokers: [target.kafka], clientId: "test" });
  const codecs = await connectCodecs({ registryUrl: target.registry });
  const batch: PredictionBatch = {
    featureSet: "small",
    windowEndMs: 60_000,
    watermarkMs: 60_000,
    chunk: 0,
    chunks: 1,
    routingFamily: "anomaly",
    routingVersion: 1,
    models: [{ name: "xgboost_anomaly", version: "1", evaluator: "triton", latencyMs: 1 }],
    entities: ["i-1"],
    arm: Buffer.alloc(1),
    score: Buffer.from(Float32Array.of(0.9).buffer),
    probability: Buffer.alloc(4),
    raw: Buffer.alloc(4),
    shadow: Buffer.alloc(4),
  };
  const producer = broker.producer("test.predictions.fake");
  await producer.init();
  const value = codecs.encode(topics.predictions, batch);
  await producer.send([{ topic: topics.predictions, partition: 0, key: "0/60000/0", value, timestampMs: 60_000 }]);
  await producer.commit();
  await producer.close();
  await until("the verdict is there", async () => {
    const answer = await fetch(`http://127.0.0.1:${target.edgePort}/v1/entities/i-1/verdicts`, {
      headers: { authorization: `Bearer ${TOKEN}` },
    });
    const { verdicts } = (await answer.json()) as { verdicts: { verdict: string }[] };
    return verdicts[0]?.verdict === "anomaly";
  });
});

test("the load test's callers are answered over HTTP and over gRPC", async () => {
  const phase = { name: "short", users: 5, seconds: 2, ramp: false, requestsPerSecond: 2.77 };
  for (const sender of [httpSender(target.edgePort, 5), grpcSender(target.grpc, target.models, 5)]) {
    const figures = figuresOf(await drive(arrivals(phase), (user) => sender.send(user)), phase.seconds);
    sender.close();
    // A busy machine may let a few run into their time limit; nothing else may go wrong.
    const { "HTTP 503": toldToWait = 0, MODEL_SERVER_TIMEOUT: timedOut = 0, ...faults } = figures.faults;
    expect(faults).toEqual({});
    expect(figures.requests).toBeGreaterThan(20);
    expect(toldToWait + timedOut).toBeLessThan(figures.requests / 2);
  }
});
