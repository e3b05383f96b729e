import { expect, test } from "vitest";
import { EvidenceGatherer, EvidenceReader, pointId, type Stored } from "../../explainer/index.ts";
import { prepare } from "../../processors/index.ts";
import type { Evidence, LogBatch } from "../../schemas/index.ts";
import type { RawRecord } from "../../streams/index.ts";
import { incident, line, T0 } from "./support.ts";

const batch = (entity: string, messages: readonly string[], kind: LogBatch["kind"] = "events"): LogBatch => ({
  kind,
  source: "s/0",
  clockMs: T0,
  arrivalMs: T0,
  sequence: "1",
  account: "1",
  logGroup: "g",
  logStream: "s",
  entity,
  events: messages.map((message, i) => ({ id: `${entity}-${i}`, timestampMs: T0 + i, message })),
});

/** A log that begins at offset 100, read a few records at a time. */
function logOf(batches: readonly (LogBatch | "broken")[]) {
  const fetched: number[] = [];
  const fetch = async (_topic: string, _partition: number, offset: number) => {
    fetched.push(offset);
    const records = batches.slice(offset - 100, offset - 97).map(
      (b, i): RawRecord => ({
        offset: offset + i,
        timestampMs: 0,
        key: null,
        value: Buffer.from(b === "broken" ? "broken" : JSON.stringify(b)),
      }),
    );
    const endOffset = 100 + batches.length;
    return { records, nextOffset: Math.min(offset + 3, endOffset), endOffset, startOffset: 100 };
  };
  const codecs = {
    unknownId: () => null,
    learn: async () => undefined,
    decode: <T>(_topic: string, bytes: Buffer): T => JSON.parse(bytes.toString()) as T,
  };
  return { reader: new EvidenceReader({ fetch }, codecs), fetched };
}

const evidence = (entity: string, firstOffset: number, lastOffset: number, windowEndMs = T0): Evidence => ({
  entity,
  windowEndMs,
  topic: "logs.raw",
  partition: 0,
  firstOffset,
  lastOffset,
});
const signal = new AbortController().signal;

test("evidence offsets lead to the events of the entity, both ends included", async () => {
  const log = logOf([
    batch("a", ["before"]),
    batch("a", ["one", "two"]),
    batch("b", ["other"]),
    "broken",
    batch("a", [], "tick"),
    batch("a", ["three"]),
    batch("a", ["after"]),
  ]);
  const lines = await log.reader.read([evidence("a", 101, 105)], signal);
  expect(lines.map((l) => [l.offset, l.eventId, l.text])).toEqual([
    [101, "a-0", "one"],
    [101, "a-1", "two"],
    [105, "a-0", "three"],
  ]);
});

test("a piece of evidence without a record, or beyond the end of the log, reads nothing and does not hang", async () => {
  const log = logOf([batch("a", ["one"])]);
  expect(await log.reader.read([evidence("a", -1, -1)], signal)).toEqual([]);
  expect((await log.reader.read([evidence("a", 100, 999)], signal)).map((l) => l.text)).toEqual(["one"]);
});

test("pieces that overlap are read once", async () => {
  const log = logOf(Array.from({ length: 9 }, (_, i) => batch("a", [`m${i}`])));
  const lines = await log.reader.read([evidence("a", 100, 103), evidence("a", 102, 105, T0 + 1)], signal);
  expect(lines.map((l) => l.text)).toEqual(["m0", "m1", "m2", "m3", "m4", "m5"]);
});

test("at most 200 records and 200 KB are kept, each piece getting its share, the newest first", async () => {
  const log = logOf(Array.from({ length: 1000 }, (_, i) => batch(i < 500 ? "a" : "b", [`m${i}`])));
  const lines = await log.reader.read([evidence("a", 100, 599), evidence("b", 600, 1099, T0 + 1)], signal);
  expect(lines.length).toBe(200);
  expect(lines.filter((l) => l.entity === "b").length).toBe(100);
  expect(lines[0]?.entity).toBe("b");
  const heavy = logOf(Array.from({ length: 100 }, () => batch("a", ["x".repeat(50_000)])));
  const texts = (await heavy.reader.read([evidence("a", 100, 199)], signal)).map((l) => l.text.length);
  expect(texts.reduce((a, b) => a + b, 0)).toBe(200_000);
});

test("a chunk's id follows from its place alone", () => {
  const [chunk] = prepare([line(7, "request failed")], incident());
  const id = pointId(chunk!);
  expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/);
  expect(pointId({ ...chunk!, seen: 9, text: "y" })).toBe(id);
  for (const other of [{ offset: 8 }, { partition: 1 }, { topic: "t" }, { eventId: "x" }, { chunk: 1 }])
    expect(pointId({ ...chunk!, ...other })).not.toBe(id);
});

const lines = [line(1, "info: all well"), line(2, "error: upstream answered 502")];
const reader = { read: async () => lines };
const embedder = { embed: async (texts: readonly string[]) => texts.map(() => Array<number>(384).fill(0)) };
const store = {
  stored: [] as Stored[],
  upsert: async (points: readonly Stored[]) => void store.stored.push(...points),
  search: async () => [{ ...line(9, "nearest"), similarity: 0.9 }],
  forget: async () => undefined,
  stats: async () => ({ points: 0 }),
};
const fails = async () => Promise.reject(new Error("down"));
const hangs = () => new Promise<never>(() => undefined);

test("what the search finds comes first, and every chunk was stored with its group", async () => {
  const gatherer = new EvidenceGatherer({ reader, embedder, store });
  const { citations, way } = await gatherer.gather(incident(), signal);
  expect(way).toBe("search");
  expect(citations.map((c) => c.text)).toEqual(["nearest", "error: upstream answered 502", "info: all well"]);
  expect(store.stored.map((p) => [p.chunk.offset, p.entityGroup, p.vector.length])).toEqual([
    [1, "shop", 384],
    [2, "shop", 384],
  ]);
});

test.each([
  ["embeddings fail", { embedder: { embed: fails } }],
  ["embeddings hang and heed the deadline", { embedder: { embed: (_: unknown, s: AbortSignal) => abortable(s) } }],
  ["the vector store fails", { store: { ...store, upsert: fails } }],
  ["the search fails", { store: { ...store, search: fails } }],
])("when %s, the lines are ranked by their words", async (_name, broken) => {
  const gatherer = new EvidenceGatherer({ reader, embedder, store, searchDeadlineMs: 20, ...broken });
  const { citations, way } = await gatherer.gather(incident(), signal);
  expect(way).toBe("lexical");
  expect(citations[0]).toMatchObject({ id: "E1", text: "error: upstream answered 502", similarity: 0 });
});

function abortable(s: AbortSignal): Promise<never> {
  return new Promise((_, reject) => s.addEventListener("abort", () => reject(s.reason as Error)));
}

test("a log that cannot be read leaves the incident's own figures", async () => {
  const gatherer = new EvidenceGatherer({ reader: { read: fails }, embedder, store });
  expect(await gatherer.gather(incident(), signal)).toMatchObject({ citations: [], way: "none" });
  expect(gatherer.lastFault).toContain("down");
});

test("after three failures in a row the index is left alone", async () => {
  let calls = 0;
  const failing = {
    embed: () => {
      calls++;
      return fails();
    },
  };
  const gatherer = new EvidenceGatherer({ reader, embedder: failing, store });
  for (let i = 0; i < 5; i++) await gatherer.gather(incident(), signal);
  expect(calls).toBe(3);
  expect(gatherer.counts.lexical).toBe(5);
});

test("stopping the stage ends a search that hangs", async () => {
  const stop = new AbortController();
  const gatherer = new EvidenceGatherer({
    reader,
    embedder: {
      embed: (_texts, s) => {
        queueMicrotask(() => stop.abort());
        return abortable(s);
      },
    },
    store: { ...store, search: hangs },
  });
  await expect(gatherer.gather(incident(), stop.signal)).rejects.toThrow();
});
