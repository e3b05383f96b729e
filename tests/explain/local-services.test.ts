import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  EvidenceGatherer,
  ExplanationWriter,
  OpenAiEmbedder,
  OpenAiLanguageModel,
  QdrantStore,
} from "../../explainer/index.ts";
import { type Stack, startStack } from "../../local/index.ts";
import { prepare, promptFor } from "../../processors/index.ts";
import { citation, gathered, incident, line, MINUTE, T0 } from "./support.ts";

/** The real engine and the real models of the local stack, through the clients that production uses. */
let runDir: string;
let stack: Stack;
const { signal } = new AbortController();

const start = () => startStack({ runDir, components: ["qdrant", "ai"] });

beforeAll(async () => {
  runDir = mkdtempSync(path.join(os.tmpdir(), "weir-explain-"));
  stack = await start();
  await stack.ready("ai");
}, 120_000);
afterAll(async () => {
  await stack?.stop();
  rmSync(runDir, { recursive: true, force: true });
}, 60_000);

const embedder = () => new OpenAiEmbedder({ baseUrl: stack.endpoints.ai!.baseUrl, model: "all-MiniLM-L6-v2" });
const store = (collection: string) => new QdrantStore({ url: stack.endpoints.qdrant!, collection });

const about = incident({ type: "memory", openedAtMs: T0, updatedAtMs: T0 + 5 * MINUTE });
const texts = [
  "java.lang.OutOfMemoryError: heap space exhausted, allocation failed",
  "GET /index.html 200 in 12 ms",
  "worker 17 was killed: out of memory",
  "user logged in from the office",
  "swap is full, process killed by the kernel",
];

describe("embeddings", () => {
  test("have 384 dimensions, length 1, and put like near like", async () => {
    const [a, b, c] = await embedder().embed(["out of memory", "heap exhausted", "the cat sat on the mat"], signal);
    const dot = (x: number[], y: number[]) => x.reduce((sum, v, i) => sum + v * y[i]!, 0);
    expect(a!.length).toBe(384);
    expect(dot(a!, a!)).toBeCloseTo(1, 4);
    expect(dot(a!, b!)).toBeGreaterThan(dot(a!, c!) + 0.2);
  });

  test("do not depend on what else is in the request, nor on its order", async () => {
    const together = await embedder().embed([...texts, texts[0]!.repeat(9)], signal);
    const [alone] = await embedder().embed([texts[3]!], signal);
    together[3]!.forEach((v, i) => {
      expect(v).toBeCloseTo(alone![i]!, 1);
    });
  });

  test("of a server that is gone are refused with a code", async () => {
    const gone = new OpenAiEmbedder({ baseUrl: "http://127.0.0.1:1/v1", model: "m" });
    await expect(gone.embed(["x"], signal)).rejects.toMatchObject({ code: "EMBEDDING_FAILED", disposition: "retry" });
  });
});

describe("the vector store", () => {
  test("finds the group's chunks of the time, each once however often it was written, and keeps them over a restart", async () => {
    const chunks = prepare(
      texts.map((text, i) => line(i, text)),
      about,
    );
    const vectors = await embedder().embed(
      chunks.map((c) => c.text),
      signal,
    );
    const points = chunks.map((chunk, i) => ({ chunk, entityGroup: "shop", vector: vectors[i]! }));
    const before = store("durable");
    await before.upsert(points, signal);
    await before.upsert(points, signal);
    await before.upsert([{ ...points[0]!, entityGroup: "other", chunk: { ...chunks[0]!, partition: 9 } }], signal);
    expect(await before.stats()).toEqual({ points: 6 });

    await stack.stop();
    stack = await start();
    await stack.ready("ai");
    const after = store("durable");
    const [vector] = await embedder().embed(["process killed, out of memory"], signal);
    const wanted = { vector: vector!, entityGroup: "shop", fromMs: T0, toMs: T0 + MINUTE };
    const hits = await after.search(wanted, signal);
    expect(hits.length).toBeGreaterThan(0);
    expect(hits.length).toBeLessThanOrEqual(5);
    expect(hits.every((h) => h.similarity > 0.5 && /memory|killed/i.test(h.text) && h.partition === 0)).toBe(true);
    expect(hits.map((h) => h.similarity)).toEqual(hits.map((h) => h.similarity).toSorted((a, b) => b - a));
    expect(await after.search({ ...wanted, fromMs: T0 + MINUTE }, signal)).toEqual([]);
    expect(await after.search({ ...wanted, entityGroup: "nobody" }, signal)).toEqual([]);

    await after.forget(T0 + 3, signal);
    expect(await after.stats()).toEqual({ points: 2 });
  }, 120_000);

  test("makes its collection once though two tasks begin at once", async () => {
    const [vector] = await embedder().embed(["x"], signal);
    const wanted = { vector: vector!, entityGroup: "shop", fromMs: 0, toMs: 1 };
    const found = await Promise.all([store("race"), store("race")].map((s) => s.search(wanted, signal)));
    expect(found).toEqual([[], []]);
  });

  test("that is gone is refused with a code", async () => {
    const gone = new QdrantStore({ url: "http://127.0.0.1:1" });
    await expect(gone.stats()).rejects.toMatchObject({ code: "VECTOR_STORE_FAILED" });
  });

  test("announces itself as the embedded engine and refuses what it does not cover", async () => {
    const base = stack.endpoints.qdrant!;
    const get = async (path: string, init?: RequestInit) => (await fetch(base + path, init)).status;
    expect(await (await fetch(base)).json()).toMatchObject({ title: "qdrant-edge embedded" });
    expect(await get("/collections/none")).toBe(404);
    expect(await get("/collections/..%2F..%2Fetc", { method: "PUT", body: '{"vectors":{}}' })).toBe(404);
    expect(await get("/collections/x/points/recommend", { method: "POST", body: "{}" })).toBe(404);
    expect(await get("/collections/x", { method: "PUT", body: "not json" })).toBe(400);
    expect(await get("/collections/x", { method: "PUT", body: '{"vectors":{"size":384,"distance":"No"}}' })).toBe(400);
  });
});

test("evidence is found by what it means, out of the lines of the incident", async () => {
  const gatherer = new EvidenceGatherer({
    reader: { read: async () => texts.map((text, i) => line(i, text)) },
    embedder: embedder(),
    store: store("gathered"),
    searchDeadlineMs: 60_000,
  });
  const found = await gatherer.gather(about, signal);
  expect(found.way).toBe("search");
  expect(found.citations.map((c) => c.id)).toEqual(["E1", "E2", "E3", "E4", "E5"]);
  expect(found.citations[0]?.similarity).toBeGreaterThan(0.5);
  expect(found.citations[0]?.text).toMatch(/memory|killed/i);
  expect(found.embeddingMs).toBeGreaterThan(0);
  expect(found.searchMs).toBeGreaterThan(0);
}, 120_000);

/** The small model of the local stack writes poor texts: only the form of what it answers is asserted. */
describe("the language model", () => {
  const model = () =>
    new OpenAiLanguageModel({
      baseUrl: stack.endpoints.ai!.baseUrl,
      model: stack.endpoints.ai!.chatModel,
      apiKey: "none",
      deadlineMs: 300_000,
    });
  const citations = texts.map((text, i) => citation(i + 1, text));

  test("answers in the schema asked for, and cites only ids that were shown", async () => {
    const { text, completionTokens } = await model().complete(promptFor(about, citations, "<<m>>"), {
      temperature: 0,
      signal,
    });
    expect(completionTokens).toBeGreaterThan(0);
    const answer = JSON.parse(text) as Record<string, { text: string; evidence: string[] }[]>;
    expect(Object.keys(answer)).toEqual(["rootCause", "impact", "actions", "prevention"]);
    for (const claims of Object.values(answer)) {
      expect(claims.length).toBeGreaterThanOrEqual(1);
      for (const claim of claims)
        for (const id of claim.evidence) expect(["E1", "E2", "E3", "E4", "E5", "incident"]).toContain(id);
    }
  }, 320_000);

  test("has every text either written and grounded, or refused and counted", async () => {
    const writer = new ExplanationWriter({ model: model() });
    writer.start();
    writer.offer({ incident: about, gathered: gathered(citations) });
    await expect.poll(() => writer.status().queued + writer.status().running, { timeout: 600_000 }).toBe(0);
    const taken = writer.take();
    const { refused, failed, lastFault } = writer.status();
    expect([taken.length + refused, failed, lastFault === "" || refused === 1]).toEqual([1, 0, true]);
    for (const { explanation } of taken) expect(explanation.groundedness).toBeGreaterThan(0);
    await writer.stop();
  }, 620_000);

  test("past its deadline is an error with a code, and the server goes on", async () => {
    const { baseUrl, chatModel } = stack.endpoints.ai!;
    const hasty = new OpenAiLanguageModel({ baseUrl, model: chatModel, apiKey: "none", deadlineMs: 50 });
    const prompt = promptFor(about, citations, "<<m>>");
    await expect(hasty.complete(prompt, { temperature: 0, signal })).rejects.toMatchObject({
      code: "LANGUAGE_MODEL_FAILED",
    });
    expect((await embedder().embed(["still there"], signal)).length).toBe(1);
  });

  test.each([
    ["{", 400],
    ['{"messages":"x"}', 400],
    ['{"messages":[{"role":"user","content":"x"}],"stream":true}', 400],
    [JSON.stringify({ messages: [{ role: "user", content: "word ".repeat(9_000) }] }), 400],
  ])("refuses a request it cannot serve", async (body, status) => {
    const reply = await fetch(`${stack.endpoints.ai!.baseUrl}/chat/completions`, { method: "POST", body });
    expect(reply.status).toBe(status);
    expect(await reply.json()).toMatchObject({ error: { message: expect.any(String) } });
  });
});
