import { beforeEach, expect, test, vi } from "vitest";
import { type TailOptions, tailTopic } from "../../ops/index.ts";
import { topicName } from "../../streams/index.ts";
import { FakeBroker } from "../lake/fakes.ts";
import { codecs, featureBatch, features, logBatch, logsRaw, startMs } from "../lake/logs.ts";

let broker: FakeBroker;
let lines: string[];

beforeEach(() => {
  broker = new FakeBroker();
  lines = [];
});

const tail = (topic: string, more: Partial<TailOptions> = {}) =>
  tailTopic({
    broker,
    codecs,
    topic: topicName(topic),
    json: false,
    fromBeginning: true,
    follow: false,
    write: (line) => lines.push(line),
    ...more,
  });

test("a record is one readable line, long values cut, line breaks taken out", async () => {
  broker.createTopic(logsRaw, 1);
  const batch = logBatch(startMs, [startMs], "a");
  batch.events[0]!.message = `first\nsecond ${"x".repeat(500)}`;
  broker.append(logsRaw, 0, codecs.encode(logsRaw, batch), startMs, "i-1");
  await tail(logsRaw);
  expect(lines).toHaveLength(1);
  expect(lines[0]).toMatch(/^logs\.raw\/0@0 2026-01-06T22:00:00\.000Z i-1 kind=events source=s@1\/shard-0 /);
  expect(lines[0]!.length).toBeLessThanOrEqual(240);
  expect(lines[0]).not.toMatch(/[\r\n]/);
});

test("a matrix is printed as one line a row", async () => {
  broker.createTopic(features, 1);
  broker.append(features, 0, codecs.encode(features, featureBatch(startMs, ["i-1", "i-2"])), startMs, "0/1/0");
  await tail(features);
  expect(lines).toHaveLength(3);
  expect(lines[0]).toContain("featureSet=test");
  expect(lines[1]).toMatch(/^ {2}i-1 matrix=0,NaN,0 quality=1$/);
  expect(lines[2]).toMatch(/^ {2}i-2 matrix=-?0\.\d+,NaN,0 quality=0\.99219$/);
});

test("JSON lines hold the whole record, matrices as rows, NaN as null", async () => {
  broker.createTopic(features, 1);
  broker.append(features, 0, codecs.encode(features, featureBatch(startMs, ["i-1", "i-2", "i-3"])), startMs, "k");
  await tail(features, { json: true });
  const record = JSON.parse(lines[0]!);
  expect(record).toMatchObject({ topic: "features", partition: 0, offset: 0, timestampMs: startMs, key: "k" });
  expect(record.value.entities).toEqual(["i-1", "i-2", "i-3"]);
  expect(record.value.matrix).toHaveLength(3);
  expect(record.value.matrix[2].slice(1)).toEqual([null, 2]);
  expect(record.value.quality).toEqual([1, 0.9921875, 0.984375]);
});

test("a changelog shows keys and sizes, deleted keys as such", async () => {
  broker.createTopic("features.changelog", 1);
  broker.append("features.changelog", 0, Buffer.alloc(10), startMs, "panes/7");
  broker.append("features.changelog", 0, null, startMs, "panes/8");
  await tail("features.changelog");
  expect(lines.map((l) => l.split(" ").slice(2).join(" "))).toEqual(["panes/7 10 B", "panes/8 deleted"]);
});

test("what a foreign producer writes as JSON is shown as its fields", async () => {
  broker.createTopic("samples", 1);
  broker.append("samples", 0, Buffer.from('{"entity":"i-1","cpu":7.5}'), startMs, "i-1");
  broker.append("samples", 0, Buffer.from('{"entity":'), startMs, "i-2");
  await tail("samples");
  expect(lines[0]).toMatch(/ i-1 entity=i-1 cpu=7\.5$/);
  expect(lines[1]).toMatch(/ i-2 undecodable, 10 B: /);
});

test("bytes that cannot be decoded are shown as such and the rest goes on", async () => {
  broker.createTopic(features, 1);
  broker.append(features, 0, Buffer.from("no avro"));
  broker.append(features, 0, codecs.encode(features, featureBatch(startMs, [])));
  await tail(features);
  expect(lines[0]).toMatch(/undecodable, 7 B/);
  expect(lines[1]).toContain("featureSet=test");
});

test("a limit ends it, over all partitions", async () => {
  broker.createTopic(features, 3);
  for (let i = 0; i < 30; i++) broker.append(features, i % 3, codecs.encode(features, featureBatch(startMs, [])));
  await tail(features, { limit: 7 });
  expect(lines).toHaveLength(7);
});

test("without a beginning only new records are shown, and following goes on until it is told to stop", async () => {
  broker.createTopic(features, 2);
  broker.append(features, 0, codecs.encode(features, featureBatch(startMs, [])), startMs, "old");
  const stop = new AbortController();
  const running = tail(features, { fromBeginning: false, follow: true, signal: stop.signal });
  await vi.waitFor(() => {
    broker.append(features, 1, codecs.encode(features, featureBatch(startMs, [])), startMs, "new");
    expect(lines.length).toBeGreaterThan(0);
  });
  stop.abort();
  await running;
  expect(lines.every((l) => l.includes(" new "))).toBe(true);
});

test("an empty topic ends at once", async () => {
  broker.createTopic(features, 2);
  await tail(features);
  expect(lines).toEqual([]);
});
