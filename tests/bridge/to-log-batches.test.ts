import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { expect, test } from "vitest";
import { decodeRecord, type Piece, toPieces } from "../../sources/index.ts";
import { eventsOf, toSpans } from "../../sources/kinesis/to-log-batches.ts";
import { partitionFor } from "../../streams/index.ts";
import { codecs, logRecord, T0, topics } from "./harness.ts";

const made = (value: object | Buffer) => {
  const data = Buffer.isBuffer(value) ? value : gzipSync(JSON.stringify(value));
  const record = { sequence: "49", arrivalMs: T0, data };
  const context = { stream: "logs", shard: "shard-0", source: "logs@1/shard-0", clockMs: 7, partitions: 4 };
  return { record, decoded: decodeRecord(data, { arrivalMs: T0, clockMode: "records" }), context };
};
const piecesOf = (value: object | Buffer): Piece[] => {
  const { record, decoded, context } = made(value);
  return toPieces(record, decoded, context);
};
const idsOf = (pieces: readonly Piece[]) =>
  pieces.flatMap((p) => (p.kind === "log" ? p.value.events.map((e) => e.id) : [`dead ${p.value.eventId}`]));
const metric = (id: string, instance: string) => ({
  id,
  timestamp: T0,
  message: JSON.stringify({ _aws: { Timestamp: T0 }, InstanceId: instance, cpu: 1 }),
});

test("a record of several entities is split, each batch in its entity's partition, order kept within", () => {
  const events = [metric("1", "i-a"), metric("2", "i-b"), metric("3", "i-a")];
  const pieces = piecesOf({ ...logRecord("all", [], T0, "/metrics"), logEvents: events });
  expect(
    pieces.map((p) => (p.kind === "log" ? [p.value.entity, p.partition, p.value.events.map((e) => e.id)] : p)),
  ).toEqual([
    ["i-a", partitionFor("i-a", 4), ["1", "3"]],
    ["i-b", partitionFor("i-b", 4), ["2"]],
  ]);
});

test("a batch names its source, sequence, arrival and the clock before its record", () => {
  expect(piecesOf(logRecord("i-0a1b2c3d", ["1"], T0))).toEqual([
    {
      kind: "log",
      partition: partitionFor("i-0a1b2c3d", 4),
      value: {
        kind: "events",
        source: "logs@1/shard-0",
        clockMs: 7,
        arrivalMs: T0,
        sequence: "49",
        account: "123456789012",
        logGroup: "/application/logs",
        logStream: "i-0a1b2c3d",
        entity: "i-0a1b2c3d",
        events: [{ id: "1", timestampMs: T0, message: "message 1" }],
      },
    },
  ]);
});

test("a batch holds at most 500 events", () => {
  const ids = Array.from({ length: 1_001 }, (_, i) => String(i));
  const pieces = piecesOf(logRecord("web-1", ids));
  expect(pieces.map(eventsOf)).toEqual([500, 500, 1]);
  expect(idsOf(pieces)).toEqual(ids);
});

test("an encoded batch stays below 900,000 bytes, also with the largest event and long names", () => {
  const message = "ü".repeat(110_000);
  const events = Array.from({ length: 9 }, (_, i) => ({ id: String(i), timestamp: T0, message }));
  const large = { id: "large", timestamp: T0, message: "x".repeat(884_990) };
  const name = "ü".repeat(512);
  const pieces = piecesOf({ ...logRecord(name, [], T0, name), owner: name, logEvents: [large, ...events, large] });
  expect(pieces.length).toBeGreaterThan(3);
  for (const p of pieces) expect(codecs.encode(topics.logsRaw, p.value).length).toBeLessThanOrEqual(900_000);
});

test("a rejected record is a dead letter with its origin and its bytes; cut at 900,000 it says so", () => {
  const bytes = Buffer.alloc(900_001, "x");
  const [piece, ...more] = piecesOf(bytes);
  expect(more).toEqual([]);
  expect(piece).toMatchObject({
    kind: "dead",
    value: {
      code: "not_gzip",
      reason: expect.stringContaining("Cut: the first 900000 of 900001 bytes"),
      stage: "bridge",
      originTopic: "kinesis:logs",
      originPartition: "shard-0",
      originOffset: "49",
      eventId: "",
      timestampMs: T0,
    },
  });
  expect(piece!.kind === "dead" && piece!.value.bytes.equals(bytes.subarray(0, 900_000))).toBe(true);
});

test("a rejected event keeps its id and entity beside the accepted ones", () => {
  const record = logRecord("i-0a1b2c3d", ["good"]);
  record.logEvents.push({ id: "far", timestamp: T0 + 3_600_000, message: "m" });
  const pieces = piecesOf(record);
  expect(idsOf(pieces)).toEqual(["good", "dead far"]);
  expect(pieces[1]!.value).toMatchObject({ code: "future_timestamp", eventId: "far", entity: "i-0a1b2c3d" });
});

test("control and clock records write nothing", () => {
  expect(piecesOf({ messageType: "CONTROL_MESSAGE" })).toEqual([]);
  expect(piecesOf({ messageType: "WEIR_CLOCK", clockMs: T0 })).toEqual([]);
});

const anyEvent = fc.record({
  id: fc.uuid(),
  timestamp: fc.constantFrom(T0, T0 + 3_600_000),
  entity: fc.constantFrom("i-a", "i-b", "i-c"),
});

test("spans follow the record's order: however entities are named, the rest is what the first spans left out", () => {
  fc.assert(
    fc.property(fc.array(anyEvent, { maxLength: 40 }), fc.nat(1_000), fc.nat(1_000), (events, before, after) => {
      const logEvents = events.map((e) => ({ ...metric(e.id, e.entity), timestamp: e.timestamp }));
      const { record, decoded, context } = made({ ...logRecord("all", [], T0), logEvents });
      const spans = [...toSpans(record, decoded, context, 0, before + 1)];
      let items = 0;
      for (const span of spans) {
        items += span.items;
        const later = { ...context, entities: { dimension: "none" } };
        const rest = [...toSpans(record, decoded, later, items, after + 1)].flatMap((s) => s.pieces);
        const ids = [...idsOf(spans.slice(0, spans.indexOf(span) + 1).flatMap((s) => s.pieces)), ...idsOf(rest)];
        expect(ids.map((id) => id.replace("dead ", "")).sort()).toEqual(events.map((e) => e.id).sort());
      }
      expect(items).toBe(events.length);
    }),
  );
});

test("a span ends at its bytes, those of rejected events counted", () => {
  const bad = { id: "", timestamp: T0, message: "x".repeat(1_000) };
  const logEvents = [bad, bad, { id: "a", timestamp: T0, message: "y".repeat(2_000) }, bad];
  const { record, decoded, context } = made({ ...logRecord("all", [], T0), logEvents });
  expect([...toSpans(record, decoded, context, 0, 1_500)].map((s) => s.items)).toEqual([2, 1, 1]);
});

test("several accounts deliver into one stream: what has the same group and stream in two of them is two entities", () => {
  const of = (owner: string) => piecesOf({ ...logRecord("web", ["1"]), owner });
  const [first, second] = [of("111111111111"), of("222222222222")].map(([piece]) => piece as Piece & { kind: "log" });
  expect([first!.value.account, second!.value.account]).toEqual(["111111111111", "222222222222"]);
  expect(first!.value.entity).toBe("111111111111//application/logs/web");
  expect(second!.value.entity).toBe("222222222222//application/logs/web");
});
