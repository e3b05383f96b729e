import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { JsonSampleReader, MAX_SAMPLE_BYTES } from "../../sources/samples/index.ts";
import type { RawRecord } from "../../streams/index.ts";
import { record, smallSet, T } from "./support.ts";

/** What a reader makes of a record: the sample without what is not there, or the code of its fault. */
function read(value: unknown, { key = null, reader = new JsonSampleReader(smallSet) }: Options = {}) {
  const found = reader.read({ ...record(value), key: key === null ? null : Buffer.from(key) });
  if (found) return found.code;
  const { entity, timestampMs, values } = reader.sample;
  const named = smallSet.signals.flatMap((s, i) => (Number.isNaN(values[i]!) ? [] : [[s.name, values[i]!] as const]));
  return { entity, timestampMs, ...Object.fromEntries(named) };
}
interface Options {
  readonly key?: string | null;
  readonly reader?: JsonSampleReader;
}

describe("what is read", () => {
  test("entity or instance, milliseconds, and the numbers of the feature set's signals; other fields are ignored", () => {
    const sample = { instance: "i-1", ts: T, cpu: 12.5, errors: 2, region: "eu", disks: [1, 2], ok: true };
    expect(read(sample)).toEqual({ entity: "i-1", timestampMs: T, cpu: 12.5, errors: 2 });
    expect(read({ cpu: -0.25, ts: T + 0.75, entity: "db" })).toEqual({ entity: "db", timestampMs: T, cpu: -0.25 });
  });

  test("entity goes before instance, and both before the key", () => {
    const both = { entity: "a", instance: "b", ts: T, cpu: 1 };
    expect(read(both, { key: "c" })).toMatchObject({ entity: "a" });
    expect(read({ instance: "b", ts: T, cpu: 1 }, { key: "c" })).toMatchObject({ entity: "b" });
    expect(read({ ts: T, cpu: 1 }, { key: "c" })).toMatchObject({ entity: "c" });
  });

  test.each([
    ["2024-01-01T09:00:00Z", 0],
    ["2024-01-01T09:00:00.250Z", 250],
    ["2024-01-01T10:00+01:00", 0],
  ])("ISO 8601 with a time zone: %s", (ts, ms) => {
    expect(read({ entity: "a", ts, cpu: 1 })).toMatchObject({ timestampMs: T + ms });
  });

  test("a signal that is null is one that is not there", () => {
    expect(read({ entity: "a", ts: T, cpu: null, memory: 3 })).toEqual({ entity: "a", timestampMs: T, memory: 3 });
  });

  test("names with escapes or beyond ASCII are themselves", () => {
    for (const entity of ['say "a"', "größe-1", "機械", "a\\b", "\u0001"])
      expect(read({ entity, ts: T, cpu: 1 })).toMatchObject({ entity });
  });

  test("a sample says nothing about the next one", () => {
    const reader = new JsonSampleReader(smallSet);
    read({ entity: "a", ts: T, cpu: 1, memory: 2 }, { reader });
    expect(read({ ts: T, memory: 5 }, { reader, key: "b" })).toEqual({ entity: "b", timestampMs: T, memory: 5 });
    expect(read("{", { reader })).toBe("not_json");
    expect(reader.sample.entity).toBe("");
  });
});

test.each([
  ["not_json", "{"],
  ["not_json", ""],
  ["not_json", "[1]"],
  ["not_json", "null"],
  ["not_json", `{"entity":"a","ts":${T},"cpu":01}`],
  ["not_json", `{"entity":"a","ts":${T},"cpu":1.}`],
  ["not_json", `{"entity":"a","ts":${T},"cpu":1}x`],
  ["not_json", `{"entity":"a","ts":${T},"cpu":1,}`],
  ["too_large", { entity: "a", ts: T, cpu: 1, note: "x".repeat(MAX_SAMPLE_BYTES) }],
  ["no_entity", { ts: T, cpu: 1 }],
  ["no_entity", { entity: "", ts: T, cpu: 1 }],
  ["no_entity", { entity: 7, ts: T, cpu: 1 }],
  ["no_entity", { entity: "x".repeat(257), ts: T, cpu: 1 }],
  ["no_time", { entity: "a", cpu: 1 }],
  ["no_time", { entity: "a", ts: "2024-01-01T09:00:00", cpu: 1 }],
  ["no_time", { entity: "a", ts: T / 1_000, cpu: 1 }],
  ["no_time", { entity: "a", ts: 1e16, cpu: 1 }],
  ["no_signal", { entity: "a", ts: T, CPU: 1 }],
  ["bad_value", { entity: "a", ts: T, cpu: "12" }],
  ["bad_value", { entity: "a", ts: T, errors: 1.5 }],
  ["bad_value", { entity: "a", ts: T, errors: -1 }],
])("%s: %j", (code, value) => {
  expect(read(value)).toBe(code);
});

test("a record without a value is no sample", () => {
  const reader = new JsonSampleReader(smallSet);
  expect(reader.read({ ...record(""), value: null })?.code).toBe("not_json");
});

describe("reading in place", () => {
  const names = fc.constantFrom("entity", "instance", "ts", "cpu", "memory", "errors", "other", "__proto__", "");
  const values = fc.oneof(
    fc.double(),
    fc.integer(),
    fc.constant(T),
    fc.constantFrom(0, -0, 0.1, 1e21, 1e-7, 123456789012345, 1234567890123456, 0.30000000000000004),
    fc.string(),
    fc.jsonValue({ maxDepth: 1 }),
  );
  const members = fc.array(fc.tuple(names, values), { maxLength: 8 });
  const text = (pairs: readonly (readonly [string, unknown])[], colon: string, comma: string) =>
    `{${pairs.map(([n, v]) => `${JSON.stringify(n)}${colon}${JSON.stringify(v) ?? "null"}`).join(comma)}}`;
  /** As a consumer finds it: somewhere in the fetched bytes. */
  const inPlace = (value: Buffer): RawRecord => {
    const bytes = Buffer.concat([Buffer.from('"}'), value, Buffer.from("5,}")]);
    return { ...record(""), value, bytes, valueAt: 2, valueEnd: 2 + value.length };
  };
  /** The same object with a space that the scanner does not know, so that `JSON.parse` reads it. */
  const byParse = (value: string) => record(`\t${value}`);

  test("gives what JSON.parse gives, for any object and in any order of records", () => {
    const reader = new JsonSampleReader(smallSet);
    const plain = new JsonSampleReader(smallSet);
    fc.assert(
      fc.property(members, fc.constantFrom(":", ": "), fc.constantFrom(",", ", "), (pairs, colon, comma) => {
        const json = text(pairs, colon, comma);
        const [a, b] = [reader.read(inPlace(Buffer.from(json))), plain.read(byParse(json))];
        expect(a?.code).toBe(b?.code);
        if (!a) expect(reader.sample).toEqual(plain.sample);
      }),
      { numRuns: 3_000 },
    );
  });

  test("gives what JSON.parse gives, for bytes that were damaged", () => {
    const reader = new JsonSampleReader(smallSet);
    const plain = new JsonSampleReader(smallSet);
    const good = Buffer.from(`{"instance":"i-0001","ts":${T},"cpu":12.34,"memory":-5,"errors":0}`);
    fc.assert(
      fc.property(fc.nat(good.length - 1), fc.nat(255), fc.boolean(), (at, byte, cuts) => {
        const bytes = cuts ? Buffer.concat([good.subarray(0, at), good.subarray(at + 1)]) : Buffer.from(good);
        if (!cuts) bytes[at] = byte;
        const [a, b] = [reader.read(inPlace(bytes)), plain.read(byParse(bytes.toString()))];
        expect(a?.code).toBe(b?.code);
        if (!a) expect(reader.sample).toEqual(plain.sample);
      }),
      { numRuns: 3_000 },
    );
  });
});
