import { request as httpRequest } from "node:http";
import { connect } from "node:net";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  openApi,
  RequestFault,
  readRequest,
  type Scored,
  type ScoreRequest,
  serveEdge,
  VerdictView,
} from "../../edge/index.ts";
import type { PredictionBatch } from "../../schemas/index.ts";
import { WeirError } from "../../streams/index.ts";
import { until } from "../support/kafka.ts";

const TOKEN = "a-token-for-tests-1";
const scored: Scored = {
  entity: "i-1",
  score: 0.9,
  probability: 0.4,
  verdict: "anomaly",
  threshold: 0.85,
  arm: { model: "a", version: "1" },
  routingVersion: 3,
  missing: [],
};
let edge: Awaited<ReturnType<typeof serveEdge>>;
let score: (request: ScoreRequest) => Promise<Scored>;
let healthy = true;
const view = new VerdictView(() => 0.85, 3);

beforeEach(async () => {
  score = async ({ entity }) => ({ ...scored, entity });
  healthy = true;
  edge = await serveEdge({
    tokens: ["another-token-for-tests", TOKEN],
    score: (request) => score(request),
    verdictsOf: (entity) => view.of(entity),
    healthy: async () => healthy,
    host: "127.0.0.1",
    port: 0,
  });
});
afterEach(() => edge.close());

const auth = { authorization: `Bearer ${TOKEN}` };
const post = (body: unknown, headers: Record<string, string> = {}) =>
  fetch(`${edge.url}/v1/score`, {
    method: "POST",
    headers: { "content-type": "application/json", ...auth, ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
const row = { entity: "i-1", features: { cpu: 1, memory: null } };

describe("a score", () => {
  test("is given to who has a token, as the description says", async () => {
    const answer = await post(row);
    expect([answer.status, answer.headers.get("content-type")]).toEqual([200, "application/json"]);
    const body = (await answer.json()) as Record<string, unknown>;
    expect(body).toEqual(scored);
    const schema = openApi.components.schemas.Scored as { properties: object; required: string[] };
    expect(Object.keys(body).sort()).toEqual(Object.keys(schema.properties).sort());
    expect(schema.required.sort()).toEqual(Object.keys(schema.properties).sort());
  });

  test("is refused without a token, with a wrong one, one cut short, and one in another form", async () => {
    for (const authorization of [
      "",
      "Bearer ",
      "Bearer wrong",
      `Bearer ${TOKEN.slice(0, -1)}`,
      `Bearer ${TOKEN}x`,
      TOKEN,
      `Basic ${TOKEN}`,
    ])
      expect((await post(row, { authorization })).status).toBe(401);
    expect((await post(row, { authorization: "Bearer another-token-for-tests" })).status).toBe(200);
  });

  test.each<[unknown, RegExp]>([
    ["{", /no JSON/],
    ["[1]", /no JSON object/],
    ["null", /no JSON object/],
    [{}, /entity must be.*features must name/],
    [{ entity: "", features: { a: 1 } }, /entity must be/],
    [{ entity: "e".repeat(513), features: { a: 1 } }, /entity must be/],
    [{ entity: "e", features: {} }, /at least one/],
    [{ entity: "e", features: { a: "1", b: true, c: 1 } }, /no number or null: a, b$/],
    [{ entity: "e", features: { a: 1e300 } }, /no number or null: a/],
    [{ ...row, threshold: 0 }, /unknown: threshold/],
  ])("of the body %j is refused and says why", async (body, why) => {
    const answer = await post(body);
    expect(answer.status).toBe(400);
    expect(((await answer.json()) as { error: string }).error).toMatch(why);
  });

  test("any text as a body is either read or refused, never an error of ours", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        try {
          expect(readRequest(value)).toEqual({ entity: expect.any(String), features: expect.any(Object) });
        } catch (error) {
          expect(error).toBeInstanceOf(RequestFault);
        }
      }),
    );
  });

  test("that the model cannot give now is 503 with a time to come back; what is broken inside is told by code alone", async () => {
    const fail = (error: unknown) => {
      score = () => Promise.reject(error);
      return post(row);
    };
    const gone = await fail(new WeirError("MODEL_SERVER_UNAVAILABLE", "retry", "10.0.0.7 is gone", "look"));
    expect([gone.status, gone.headers.get("retry-after"), await gone.json()]).toEqual([
      503,
      "1",
      { error: "MODEL_SERVER_UNAVAILABLE" },
    ]);
    const broken = await fail(new Error("secret detail"));
    expect([broken.status, await broken.json()]).toEqual([502, { error: "INTERNAL" }]);
    const fault = await fail(new RequestFault(400, "a has no x"));
    expect([fault.status, await fault.json()]).toEqual([400, { error: "a has no x" }]);
  });
});

test("a body over 64 KiB is refused while it comes, another type too, and the server goes on", async () => {
  const large = { entity: "i-1", features: { cpu: 1 }, pad: "x".repeat(70_000) };
  const status = await post(large).then(
    (answer) => answer.status,
    () => 413, // refused before it was sent whole: the connection may end first
  );
  expect(status).toBe(413);
  expect((await post("cpu=1", { "content-type": "text/plain" })).status).toBe(415);
  expect((await post(row)).status).toBe(200);
});

test("at most 256 rows wait at once: the next is told to come back, and those that wait are answered", async () => {
  const waiting: (() => void)[] = [];
  score = () => new Promise((resolve) => waiting.push(() => resolve(scored)));
  const open = Array.from({ length: 256 }, () => post(row));
  await until("256 rows wait", () => waiting.length === 256);
  const next = await post(row);
  expect([next.status, next.headers.get("retry-after")]).toEqual([503, "1"]);
  for (const go of waiting) go();
  expect((await Promise.all(open)).every((answer) => answer.status === 200)).toBe(true);
  score = async () => scored;
  expect((await post(row)).status).toBe(200);
});

test("a caller that goes away in the middle of its body harms nobody", async () => {
  const { port } = new URL(edge.url);
  await new Promise<void>((resolve) => {
    const socket = connect(Number(port), "127.0.0.1", () => {
      socket.write(
        `POST /v1/score HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${TOKEN}\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{"ent`,
      );
      socket.destroy();
      resolve();
    });
  });
  expect((await post(row)).status).toBe(200);
});

test("other pages and methods are told so, and no token opens what does not exist", async () => {
  const status = async (path: string, method = "GET") =>
    (await fetch(`${edge.url}${path}`, { method, headers: auth })).status;
  expect(await status("/v1/nothing")).toBe(404);
  expect(await status("/v1/entities//verdicts")).toBe(404);
  expect(await status("/v1/entities/%ff/verdicts")).toBe(404);
  expect(await status("/constructor")).toBe(404);
  const wrong = await fetch(`${edge.url}/v1/score`, { headers: auth });
  expect([wrong.status, wrong.headers.get("allow")]).toEqual([405, "POST"]);
});

test("health says whether rows can be scored; metrics count by route and status", async () => {
  expect((await fetch(`${edge.url}/healthz`)).status).toBe(200);
  healthy = false;
  expect((await fetch(`${edge.url}/healthz`)).status).toBe(503);
  await post(row);
  await post({});
  const metrics = await (await fetch(`${edge.url}/metrics`)).text();
  expect(metrics).toContain('weir_api_requests_total{route="/v1/score",status="200"} 1');
  expect(metrics).toContain('weir_api_requests_total{route="/v1/score",status="400"} 1');
});

test("every path of the description is served with its methods, and the page names each and loads nothing from elsewhere", async () => {
  expect(await (await fetch(`${edge.url}/openapi.json`)).json()).toEqual(openApi);
  const page = await (await fetch(`${edge.url}/docs`)).text();
  expect(page).not.toMatch(/(?:src|href)="(?:https?:)?\/\//);
  for (const [path, methods] of Object.entries(openApi.paths)) {
    expect(page).toContain(path);
    for (const method of Object.keys(methods)) {
      const answered = await new Promise<number>((resolve, reject) => {
        const sent = httpRequest(edge.url + path.replace("{entity}", "i-1"), { method, headers: auth }, (r) => {
          r.resume();
          resolve(r.statusCode!);
        });
        sent.on("error", reject).end();
      });
      expect([path, [404, 405].includes(answered)]).toEqual([path, false]);
    }
  }
});

const batch = (minute: number, rows: readonly (readonly [entity: string, score: number])[]): PredictionBatch => ({
  featureSet: "s",
  windowEndMs: minute * 60_000,
  watermarkMs: 0,
  chunk: 0,
  chunks: 1,
  routingFamily: "anomaly",
  routingVersion: 2,
  models: [{ name: "a", version: "1", evaluator: "triton", latencyMs: 1 }],
  entities: rows.map(([entity]) => entity),
  arm: Buffer.alloc(rows.length),
  score: Buffer.from(Float32Array.from(rows, ([, value]) => value).buffer),
  probability: Buffer.alloc(rows.length * 4),
  raw: Buffer.alloc(rows.length * 4),
  shadow: Buffer.alloc(rows.length * 4),
});

test("the newest verdicts of an entity come newest first, at most 15, each once; entities long unheard of are forgotten", async () => {
  for (let minute = 1; minute <= 20; minute++) view.take(batch(minute, [["a/b", minute === 20 ? 0.9 : 0.1]]));
  view.take(batch(20, [["a/b", 0.2]]));
  const answer = await fetch(`${edge.url}/v1/entities/${encodeURIComponent("a/b")}/verdicts`, { headers: auth });
  const { entity, verdicts } = (await answer.json()) as {
    entity: string;
    verdicts: { windowEnd: string; verdict: string }[];
  };
  expect([entity, verdicts.length]).toEqual(["a/b", 15]);
  expect(verdicts[0]).toEqual({
    windowEnd: "1970-01-01T00:20:00.000Z",
    score: Math.fround(0.9),
    verdict: "anomaly",
    model: "a",
    version: "1",
    routingVersion: 2,
  });
  expect(verdicts.at(-1)!.windowEnd).toBe("1970-01-01T00:06:00.000Z");
  view.take(
    batch(21, [
      ["c", 0],
      ["d", 0],
      ["a/b", 0],
      ["e", 0],
    ]),
  );
  expect([view.size, view.of("c"), view.of("a/b").length]).toEqual([3, [], 15]);
  const none = await fetch(`${edge.url}/v1/entities/nobody/verdicts`, { headers: auth });
  expect(await none.json()).toEqual({ entity: "nobody", verdicts: [] });
});
