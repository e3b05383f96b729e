import { afterEach, expect, test, vi } from "vitest";
import { ExplanationWriter, type LanguageModel, type WriterOptions } from "../../explainer/index.ts";
import type { Prompt, TextJob } from "../../processors/index.ts";
import { citation, gathered, incident } from "./support.ts";

const claim = (text: string, ...evidence: string[]) => [{ text, evidence }];
const good = {
  rootCause: claim("The cpu is busy and upstream calls failed with 502.", "E1"),
  impact: claim("Requests of the shop fail on web-7.", "E1", "incident"),
  actions: claim("Look at the upstream and at the busy process.", "incident"),
  prevention: claim("Set a limit and alert earlier than now.", "incident"),
};
const invented = { ...good, rootCause: claim("The cpu of db-99 is broken.", "E1") };

const job = (id: string, more: Partial<TextJob["incident"]> = {}): TextJob => ({
  incident: incident({ incidentId: id, ...more }),
  gathered: gathered([citation(1, "request failed: upstream answered 502")]),
});

let writer: ExplanationWriter | null = null;
afterEach(() => writer?.stop());

function start(answers: (object | string | Error)[], more: Partial<WriterOptions> = {}) {
  const prompts: Prompt[] = [];
  const temperatures: number[] = [];
  const model: LanguageModel = {
    name: "test-model",
    complete: async (prompt, { temperature }) => {
      prompts.push(prompt);
      temperatures.push(temperature);
      const answer = answers.length > 1 ? answers.shift()! : answers[0]!;
      if (answer instanceof Error) throw answer;
      const text = typeof answer === "string" ? answer : JSON.stringify(answer);
      return { text, promptTokens: 10, completionTokens: 20 };
    },
  };
  writer = new ExplanationWriter({ model, ...more });
  return { writer, prompts, temperatures };
}

const idle = (w: ExplanationWriter) =>
  vi.waitFor(() => expect(w.status()).toMatchObject({ queued: 0, running: 0 }), { timeout: 10_000, interval: 5 });

test("a grounded answer becomes an explanation of mode model, with its times split", async () => {
  const { writer } = start([good]);
  writer.start();
  writer.offer(job("a"));
  await idle(writer);
  expect(writer.status()).toMatchObject({ ready: 1, written: 0 });
  const [text] = writer.take();
  expect(text?.timestampMs).toBe(incident().updatedAtMs);
  expect(text?.explanation).toMatchObject({ incidentId: "a", mode: "model", model: "test-model", groundedness: 1 });
  expect(text?.explanation.rootCause).toBe("The cpu is busy and upstream calls failed with 502. [E1]");
  const { embeddingMs, searchMs, promptMs, generationMs, totalMs } = text!.explanation.timings;
  expect(totalMs).toBeCloseTo(embeddingMs + searchMs + promptMs + generationMs);
  expect(writer.take()).toEqual([]);
  expect(writer.status()).toMatchObject({ ready: 0, written: 1, tokens: 20 });
});

test("an answer with a made-up host is refused, asked for once more with the objection, then given up", async () => {
  const { writer, prompts, temperatures } = start([invented]);
  writer.start();
  writer.offer(job("a"));
  await idle(writer);
  expect(writer.take()).toEqual([]);
  expect(writer.status()).toMatchObject({ refused: 1, written: 0 });
  expect(prompts.length).toBe(2);
  expect(prompts[1]?.user).toContain("db-99 is not in its evidence");
  expect(temperatures[1]).toBeGreaterThan(temperatures[0]!);
});

test("a good second answer is taken", async () => {
  const { writer } = start(["not json", good]);
  writer.start();
  writer.offer(job("a"));
  await idle(writer);
  expect(writer.take()).toHaveLength(1);
});

test("a text that does not name the type has it put before", async () => {
  const { writer } = start([{ ...good, rootCause: claim("Upstream calls failed with 502.", "E1") }]);
  writer.start();
  writer.offer(job("a"));
  await idle(writer);
  expect(writer.take()[0]?.explanation.rootCause).toMatch(/^Incident of type cpu: Upstream/);
});

test("the most severe incident comes first, and the least urgent gives way when the queue is full", async () => {
  const { writer, prompts } = start([good], { maxQueued: 2 });
  writer.offer(job("a", { severity: "low", entityGroup: "group-a" }));
  writer.offer(job("b", { severity: "critical", entityGroup: "group-b" }));
  writer.offer(job("c", { severity: "high", entityGroup: "group-c" }));
  writer.start();
  await idle(writer);
  expect(prompts.map((p) => /Service: (group-.)/.exec(p.user)?.[1])).toEqual(["group-b", "group-c"]);
  expect(writer.status()).toMatchObject({ displaced: 1 });
});

test("past its hourly budget incidents keep their template", async () => {
  const { writer } = start([good], { perHour: 1 });
  writer.start();
  writer.offer(job("a"));
  writer.offer(job("b"));
  await idle(writer);
  expect(writer.take()).toHaveLength(1);
  expect(writer.status()).toMatchObject({ overBudget: 1 });
});

test("a newer revision takes the place of a text that waits, and of one that nobody has taken", async () => {
  const { writer, prompts } = start([good]);
  writer.offer(job("a", { revision: 1 }));
  writer.offer(job("a", { revision: 4 }));
  writer.offer(job("a", { revision: 2 }));
  writer.start();
  await idle(writer);
  expect(prompts.length).toBe(1);
  writer.offer(job("a", { revision: 7 }));
  await idle(writer);
  expect(writer.take().map((t) => t.explanation.incidentRevision)).toEqual([7]);
  expect(writer.status().superseded).toBe(2);
});

test("a model that does not answer at first is asked again", async () => {
  const { writer } = start([new Error("connection refused"), good]);
  writer.start();
  writer.offer(job("a"));
  await idle(writer);
  expect(writer.take()).toHaveLength(1);
});

test("stop ends an answer that never comes", async () => {
  const model: LanguageModel = {
    name: "m",
    complete: (_p, { signal }) =>
      new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error))),
  };
  writer = new ExplanationWriter({ model });
  writer.start();
  writer.offer(job("a"));
  await vi.waitFor(() => expect(writer?.status().running).toBe(1));
  await writer.stop();
  expect(writer.take()).toEqual([]);
});
