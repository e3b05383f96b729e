import { expect, test } from "vitest";
import { ExplainProcessor, type FinishedText, type TextJob } from "../../processors/index.ts";
import type { Explanation, Incident } from "../../schemas/index.ts";
import { type InputRecord, type Output, topicName } from "../../streams/index.ts";
import { citation, gathered, incident } from "./support.ts";

function setUp() {
  const sent: { key: string; value: Explanation; timestampMs: number }[] = [];
  const counts: Record<string, number> = {};
  const offered: TextJob[] = [];
  const finished: FinishedText[] = [];
  const asked: string[] = [];
  const out: Output = {
    send: (_topic, key, value, timestampMs) => sent.push({ key, value: value as Explanation, timestampMs }),
    reject: () => expect.unreachable(),
    late: () => expect.unreachable(),
    count: (outcome, n) => {
      counts[outcome] = (counts[outcome] ?? 0) + n;
    },
  };
  const processor = new ExplainProcessor({
    output: topicName("explanations"),
    evidence: {
      gather: async (i) => {
        asked.push(`${i.incidentId}#${i.revision}`);
        return gathered([citation(1, "request failed: upstream answered 502")]);
      },
    },
    texts: { offer: (job) => offered.push(job), take: () => finished.splice(0) },
  });
  let offset = 0;
  const feed = async (...incidents: (Incident | null)[]) => {
    const records: InputRecord<Incident | null>[] = incidents.map((value) => ({
      topic: topicName("incidents"),
      partition: 0,
      offset: offset++,
      timestampMs: 0,
      key: "k",
      value,
    }));
    const reply = await processor.perform(processor.plan(records), new AbortController().signal);
    processor.apply(records, reply, out);
  };
  return { processor, out, sent, counts, offered, finished, asked, feed };
}

test("a new incident gets its template explanation at once, under its own key and event time", async () => {
  const { feed, sent, offered, counts } = setUp();
  await feed(incident());
  expect(sent).toHaveLength(1);
  expect(sent[0]).toMatchObject({ key: incident().incidentId, timestampMs: incident().updatedAtMs });
  expect(sent[0]?.value).toMatchObject({ mode: "template", model: "", groundedness: 1, incidentRevision: 1 });
  expect(sent[0]?.value.rootCause).toContain("upstream answered 502");
  expect(sent[0]?.value.timings).toMatchObject({ embeddingMs: 3, searchMs: 4, totalMs: 7 });
  expect(offered.map((j) => j.incident.revision)).toEqual([1]);
  expect(counts).toEqual({ accepted: 1 });
});

//  revision   1     2          3          4          7          8
//  state      open  escalated  escalated  escalated  same       resolved
//  template   x                           x
test("an update gets a new template only when it changes the picture, and not sooner than three revisions on", async () => {
  const { feed, sent } = setUp();
  const at = (revision: number, more: Partial<Incident>) => incident({ revision, state: "update", ...more });
  await feed(incident());
  await feed(at(2, { severity: "high" }), at(3, { severity: "critical" }));
  await feed(at(4, { severity: "critical" }), at(7, { severity: "critical" }));
  await feed(at(8, { state: "resolved", severity: "critical" }));
  expect(sent.map((s) => s.value.incidentRevision)).toEqual([1, 4]);
});

test("two records of an incident in one batch are explained as they would be in two", async () => {
  const one = setUp();
  await one.feed(incident(), incident({ revision: 2, state: "update", severity: "high" }));
  expect(one.asked).toEqual([`${incident().incidentId}#1`]);
});

test("planning twice plans the same: it changes nothing", () => {
  const { processor } = setUp();
  const record = {
    topic: topicName("incidents"),
    partition: 0,
    offset: 0,
    timestampMs: 0,
    key: "k",
    value: incident(),
  };
  expect(processor.plan([record])).toEqual(processor.plan([record]));
});

test("a resolved incident leaves the state and a tombstone is a control record", async () => {
  const { feed, processor, counts, sent } = setUp();
  await feed(incident(), incident({ state: "resolved", revision: 2 }), null);
  expect(processor.stores[0]?.size.keys).toBe(0);
  expect(counts).toEqual({ accepted: 2, control: 1 });
  expect(sent).toHaveLength(1);
});

test("a text that a model finished goes out as an update of the same key, once", async () => {
  const { processor, out, sent, finished, feed } = setUp();
  await feed(incident());
  const explanation: Explanation = { ...sent[0]!.value, mode: "model", model: "m", rootCause: "better" };
  finished.push({ explanation, timestampMs: 5 });
  processor.poll(out);
  processor.poll(out);
  expect(sent.map((s) => [s.key, s.value.mode])).toEqual([
    [incident().incidentId, "template"],
    [incident().incidentId, "model"],
  ]);
});
