import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type DecodedRecord, type DecodeOptions, decodeRecord, MAX_EVENT_BYTES } from "../../sources/index.ts";
import { inflate, inflateAside } from "../../sources/kinesis/inflate.ts";
import { clockRecord, logRecord, T0 } from "./harness.ts";

const options: DecodeOptions = { arrivalMs: T0, clockMode: "records" };
const gzip = (value: unknown) => gzipSync(typeof value === "string" ? value : JSON.stringify(value));
const decode = (value: unknown, more: Partial<DecodeOptions> = {}) =>
  decodeRecord(gzip(value), { ...options, ...more });
const codeOf = (decoded: DecodedRecord) => (decoded.kind === "rejected" ? decoded.code : decoded.kind);

describe("a record that cannot be used is named by its code", () => {
  const whole = gzip(logRecord("web-1", ["a"]));
  const corrupt = Buffer.from(whole);
  corrupt[corrupt.length - 6]! ^= 0xff;
  const cases: [string, Uint8Array, Partial<DecodeOptions>?][] = [
    ["not_gzip", Buffer.from("plain text")],
    ["not_gzip", Buffer.alloc(0)],
    ["not_gzip", Buffer.from(JSON.stringify(logRecord("web-1", ["a"])))],
    ["kpl_aggregate", Buffer.from([0xf3, 0x89, 0x9a, 0xc2, 0x0a])],
    ["truncated_gzip", whole.subarray(0, whole.length - 12)],
    ["truncated_gzip", whole.subarray(0, 2)],
    ["corrupt_gzip", corrupt],
    ["bad_json", gzip('{"messageType":')],
    ["bad_envelope", gzip("[]")],
    ["bad_envelope", gzip("null")],
    ["bad_envelope", gzip({ logEvents: [] })],
    ["bad_envelope", gzip({ ...logRecord("web-1", []), owner: 7 })],
    ["bad_envelope", gzip({ ...logRecord("web-1", []), logGroup: "g".repeat(513) })],
    ["bad_envelope", gzip({ ...logRecord("web-1", []), logEvents: {} })],
    ["bad_envelope", gzip(clockRecord(Number.NaN))],
    ["unknown_type", gzip({ messageType: "OTHER" })],
    ["unknown_type", gzip(clockRecord(T0)), { clockMode: "arrival" }],
    ["future_timestamp", gzip(clockRecord(T0 + 300_001))],
  ];
  test.each(cases)("%s", (code, data, more) => {
    expect(codeOf(decodeRecord(data, { ...options, ...more }))).toBe(code);
  });
});

test("a gzip that would inflate past the limit of 64 MiB is rejected, whatever length it claims", async () => {
  const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024 + 1));
  expect(codeOf(decodeRecord(bomb, options))).toBe("inflate_limit");
  const liar = Buffer.from(bomb);
  liar.writeUInt32LE(5, liar.length - 4);
  expect(await inflateAside(bomb)).toMatchObject({ code: "inflate_limit" });
  expect(await inflateAside(liar)).toHaveProperty("code");
});

test("inflating aside gives what inflating here gives", async () => {
  const long = gzip({ ...logRecord("web-1", []), text: "x".repeat(3_000) + Math.PI.toString().repeat(9_000) });
  const cut = long.subarray(0, long.length - 9);
  for (const data of [long, cut, gzip("{}"), Buffer.from("no"), Buffer.from([0x1f, 0x8b]), Buffer.alloc(9_000, 0x1f)]) {
    expect(await inflateAside(data)).toEqual(inflate(data));
    expect(await inflateAside(data, 100)).toEqual(inflate(data, 100));
  }
});

test("a control record is control whatever its inner message says", () => {
  expect(decode({ messageType: "CONTROL_MESSAGE", logEvents: [{ id: "", timestamp: "x", message: "{" }] })).toEqual({
    kind: "control",
  });
});

test("a clock record moves time in records mode, up to five minutes ahead of its arrival", () => {
  expect(decode(clockRecord(T0 + 300_000))).toEqual({ kind: "clock", clockMs: T0 + 300_000 });
});

test("a data record keeps its events, foreign members are ignored, numbers are taken as ids", () => {
  const record = {
    ...logRecord("web-1", []),
    extra: 1,
    logEvents: [{ id: 5, timestamp: 1, message: "m", extracted: {} }],
  };
  expect(decode(record)).toEqual({
    kind: "data",
    account: "123456789012",
    logGroup: "/application/logs",
    logStream: "web-1",
    items: [{ id: "5", timestampMs: 1, message: "m" }],
  });
});

test("numbers beyond 2^53 stay different ids", () => {
  const digits = ["36028797018963968123456789", "36028797018963968123456790", "9007199254740993"];
  const events = digits.map((id) => `{"id":${id},"timestamp":1,"message":"{\\"id\\":9007199254740993}"}`);
  const whole = JSON.stringify(logRecord("web-1", [])).replace('"logEvents":[]', `"logEvents":[${events}]`);
  const decoded = decode(whole);
  expect(decoded.kind === "data" && decoded.items.map((e) => "id" in e && e.id)).toEqual(digits);
});

test("an event that cannot be used costs that event alone", () => {
  const decoded = decode({
    ...logRecord("web-1", []),
    logEvents: [
      { id: "on-the-edge", timestamp: T0 + 300_000, message: "m" },
      { id: "future", timestamp: T0 + 300_001, message: "m" },
      { id: "text-time", timestamp: "1", message: "m" },
      { id: "", timestamp: 1, message: "m" },
      null,
      { id: "large", timestamp: 1, message: "ü".repeat(MAX_EVENT_BYTES / 2) },
      { id: "fits", timestamp: 1, message: "x".repeat(MAX_EVENT_BYTES - 4) },
    ],
  });
  if (decoded.kind !== "data") throw new Error(decoded.kind);
  expect(decoded.items.map((e) => ("code" in e ? [e.eventId, e.code] : e.id))).toEqual([
    "on-the-edge",
    ["future", "future_timestamp"],
    ["text-time", "bad_event"],
    ["", "bad_event"],
    ["", "bad_event"],
    ["large", "oversize_event"],
    "fits",
  ]);
  const future = decoded.items[1]!;
  expect("bytes" in future && JSON.parse(future.bytes.toString())).toEqual({
    id: "future",
    timestamp: T0 + 300_001,
    message: "m",
  });
});

test("no bytes make it throw", () => {
  const anything = fc.oneof(
    fc.uint8Array(),
    fc.jsonValue().map((v) => new Uint8Array(gzip(v))),
  );
  const envelope = fc
    .record({ messageType: fc.constant("DATA_MESSAGE"), logEvents: fc.array(fc.jsonValue()) })
    .map((v) => new Uint8Array(gzip({ ...logRecord("s", []), ...v })));
  fc.assert(
    fc.property(fc.oneof(anything, envelope), (data) => {
      decodeRecord(data, options);
    }),
  );
});
