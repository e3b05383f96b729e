import { afterAll, beforeAll, expect, test } from "vitest";
import { type Scored, type ScoreRequest, serveEdge } from "../../edge/index.ts";
import { ask, startNginx } from "./nginx.ts";

/** The HTTP interface's own server, one for each arm, with a fake in place of the models; the nginx is real. */
const TOKEN = "a-token-for-tests-1";
type Arm = "first" | "second";
const scoreAs =
  (model: Arm) =>
  async ({ entity }: ScoreRequest): Promise<Scored> => ({
    entity,
    score: 0.5,
    probability: 0.1,
    verdict: "normal",
    threshold: 0.85,
    arm: { model, version: "1" },
    routingVersion: 1,
    missing: [],
  });
const edgeOf = (arm: Arm, port = 0) =>
  serveEdge({
    tokens: [TOKEN],
    score: scoreAs(arm),
    verdictsOf: () => [],
    healthy: async () => true,
    host: "127.0.0.1",
    port,
  });

const edges = {} as Record<Arm, Awaited<ReturnType<typeof serveEdge>>>;
let nginx: Awaited<ReturnType<typeof startNginx>>;
const portOf = (arm: Arm): number => Number(new URL(edges[arm].url).port);

beforeAll(async () => {
  for (const arm of ["first", "second"] as const) edges[arm] = await edgeOf(arm);
  nginx = await startNginx({ first: portOf("first"), second: portOf("second") });
});
afterAll(async () => {
  await nginx?.stop();
  await Promise.all(Object.values(edges).map((edge) => edge.close()));
});

const body = JSON.stringify({ entity: "i-1", features: { cpu: 1 } });
const headers = { authorization: `Bearer ${TOKEN}`, "content-type": "application/json" };
const post = (more: { cookie?: string; from?: string } = {}) =>
  ask(nginx.port, "/v1/score", {
    method: "POST",
    body,
    headers: { ...headers, ...(more.cookie !== undefined && { cookie: more.cookie }) },
    ...(more.from !== undefined && { from: more.from }),
  });
const armOf = (reply: { body: string }): Arm => (JSON.parse(reply.body) as Scored).arm.model as Arm;
const cookieOf = (reply: { headers: Record<string, unknown> }): string =>
  String((reply.headers["set-cookie"] as string[] | undefined)?.[0] ?? "").split(";")[0]!;
/** A caller of its own for each: they have the rate limit each to themselves. */
const callers = (count: number, net: number) => Array.from({ length: count }, (_, i) => `127.${net}.0.${i + 1}`);

test("of 4,000 new callers 70 in 100 come to the first arm, and each is told its arm", async () => {
  const count = { first: 0, second: 0 };
  for (const from of callers(50, 1)) {
    for (const reply of await Promise.all(Array.from({ length: 80 }, () => post({ from })))) {
      expect(reply.status).toBe(200);
      expect(cookieOf(reply)).toBe(`weir_arm=${armOf(reply)}`);
      count[armOf(reply)]++;
    }
  }
  // Five standard deviations of 4,000 draws.
  expect(Math.abs(count.first / 4_000 - 0.7)).toBeLessThan(0.036);
});

test("a caller with the cookie stays with its arm and is given no other; one with a forged cookie is spread anew", async () => {
  for (const arm of ["first", "second"] as const) {
    for (const reply of await Promise.all(
      callers(2, 2).flatMap((from) => Array.from({ length: 50 }, () => post({ from, cookie: `weir_arm=${arm}` }))),
    )) {
      expect([reply.status, armOf(reply), cookieOf(reply)]).toEqual([200, arm, ""]);
    }
  }
  const forged = await post({ from: "127.3.0.1", cookie: "weir_arm=third" });
  expect(cookieOf(forged)).toBe(`weir_arm=${armOf(forged)}`);
});

test("while an arm's instance is gone its callers are answered by the other arm, and come back to it afterwards", async () => {
  const port = portOf("second");
  await edges.second.close();
  for (const from of callers(3, 4)) {
    for (let i = 0; i < 10; i++) {
      const reply = await post({ from, cookie: "weir_arm=second" });
      expect([reply.status, armOf(reply)]).toEqual([200, "first"]);
    }
  }
  edges.second = await edgeOf("second", port);
  for (
    const deadline = performance.now() + 30_000;
    armOf(await post({ from: "127.4.0.9", cookie: "weir_arm=second" })) !== "second";
  ) {
    expect(performance.now()).toBeLessThan(deadline);
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}, 60_000);

test("one address that sends too much at once is told 429, another is not", async () => {
  const replies = await Promise.all(Array.from({ length: 400 }, () => post({ from: "127.5.0.1" })));
  const passed = replies.filter((r) => r.status === 200).length;
  expect(replies.every((r) => r.status === 200 || r.status === 429)).toBe(true);
  expect(passed).toBeGreaterThanOrEqual(100);
  expect(passed).toBeLessThan(400);
  expect((await post({ from: "127.5.0.2" })).status).toBe(200);
});

test("tokens are still asked for, large bodies refused, and the instances' own pages not passed on", async () => {
  const from = "127.6.0.1";
  const without = await ask(nginx.port, "/v1/score", {
    method: "POST",
    body,
    headers: { "content-type": "application/json" },
    from,
  });
  expect(without.status).toBe(401);
  const large = await ask(nginx.port, "/v1/score", { method: "POST", body: "x".repeat(70_000), headers, from });
  expect(large.status).toBe(413);
  expect((await ask(nginx.port, "/metrics", { from })).status).toBe(404);
  expect((await ask(nginx.port, "/healthz", { from })).status).toBe(404);
  expect((await ask(nginx.port, "/openapi.json", { from })).status).toBe(200);
});
