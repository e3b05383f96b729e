import { expect, test } from "vitest";
import {
  collectFeatureRows,
  featureSetFromMetrics,
  floatsOf,
  loadFeatureSet,
  rowsOf,
} from "../../processors/features/index.ts";
import type { FeatureBatch } from "../../schemas/index.ts";
import { standaloneSchema, typeOf } from "../../schemas/index.ts";
import {
  bits,
  core37,
  DAY_ONE,
  emf,
  eventsOf,
  inLog,
  MINUTE,
  metricEvent,
  newProcessor,
  run,
  sign,
} from "./helpers.ts";

const T = DAY_ONE * MINUTE;

/** All changelog records of a processor after some records. */
function changelogAfter(processor: ReturnType<typeof newProcessor>): [store: string, key: string, value: Buffer][] {
  const log: [string, string, Buffer][] = [];
  for (const store of processor.stores) store.flush((key, value) => value && log.push([store.name, key, value]));
  return log;
}

function keysAfter(processor: ReturnType<typeof newProcessor>): string[] {
  const keys: string[] = [];
  for (const store of processor.stores)
    store.flush((key, value) => keys.push(`${store.name}/${key}${value ? "" : " deleted"}`));
  return keys;
}

test("duplicates are still known after a restart, however many segments their minute has", () => {
  const events = Array.from({ length: 10_000 }, (_, i) => metricEvent("a", T, { cpu: 1 }, `e${i}`));
  const processor = newProcessor();
  run([sign("s", "open", T), eventsOf("s", "a", T, events.slice(0, 5000))], processor);
  const changelog = new Map<string, [string, string, Buffer]>();
  for (const entry of changelogAfter(processor)) changelog.set(entry[0] + entry[1], entry);
  run([eventsOf("s", "a", T, events.slice(4000))], processor);
  for (const entry of changelogAfter(processor)) changelog.set(entry[0] + entry[1], entry);
  const restored = newProcessor();
  for (const store of restored.stores) {
    for (const [name, key, value] of changelog.values()) if (name === store.name) store.restore(key, value);
  }
  const { output } = run([eventsOf("s", "a", T, events)], restored);
  expect(output.counts).toMatchObject({ accepted: 0, duplicate: 10_000 });
});

test("after a restart the slot of an entity that is gone is given to the next one", () => {
  const first = newProcessor();
  const hello = (entity: string, minute: number) =>
    eventsOf("s", entity, T + minute * MINUTE, [metricEvent(entity, T + minute * MINUTE, { cpu: 1 })]);
  run(
    [sign("s", "open", T), hello("gone", 0), hello("stays", 0), hello("stays", 30), sign("s", "tick", T + 40 * MINUTE)],
    first,
  );
  const restored = newProcessor();
  const log = changelogAfter(first);
  for (const store of restored.stores)
    for (const [n, key, value] of log) if (n === store.name) store.restore(key, value);
  run([hello("next", 40)], restored);
  const slots = changelogAfter(restored).filter(([, key]) => key.startsWith("slot/"));
  expect(slots.map(([, key, value]) => [key, JSON.parse(value.toString()).entity])).toEqual([["slot/0", "next"]]);
});

test("no changelog value is larger than 64 KiB, whatever the feature set", () => {
  const metrics = Array.from({ length: 38 }, (_, i) => `m${i}`);
  const set = featureSetFromMetrics({ name: "wide", metrics, hopMinutes: 15 });
  const message = emf("a", T, Object.fromEntries(metrics.map((m) => [m, 1])));
  const records = Array.from({ length: 200 }, (_, i) =>
    eventsOf("s", `h${i}`, T, [{ id: "1", timestampMs: T, message }]),
  );
  const processor = newProcessor(set);
  run([sign("s", "open", T), ...records], processor);
  const log = changelogAfter(processor);
  expect(Math.max(...log.map(([, , v]) => v.length))).toBeLessThanOrEqual(65_536);
  expect(log.filter(([, key]) => key.startsWith("slot/"))).toHaveLength(200);
});

test("a flush hands over only what changed since the last one", () => {
  const processor = newProcessor();
  const records = Array.from({ length: 200 }, (_, i) =>
    eventsOf("s", `h${i}`, T, [metricEvent(`h${i}`, T, { cpu: 1 })]),
  );
  run([sign("s", "open", T), ...records], processor);
  expect(changelogAfter(processor).filter(([s]) => s === "panes")).toHaveLength(1 + 200);
  run([eventsOf("s", "h70", T, [metricEvent("h70", T, { cpu: 2 })])], processor);
  expect(changelogAfter(processor).map(([s, k]) => `${s}/${k}`)).toEqual([
    "time/now",
    `panes/open/${DAY_ONE % 256}/1`,
    `seen/seen/${DAY_ONE % 256}/1`,
  ]);
  run([sign("s", "tick", T + 2 * MINUTE)], processor);
  expect(keysAfter(processor)).toEqual([
    "time/now",
    ...Array.from({ length: 200 }, (_, i) => `panes/slot/${i}`), // signals they are now known to send
    ...[0, 1, 2, 3].map((chunk) => `panes/pane/${DAY_ONE}/${chunk}`),
    ...[0, 1].map((n) => `panes/open/${DAY_ONE % 256}/${n} deleted`),
    ...[0, 1].map((n) => `seen/seen/${DAY_ONE % 256}/${n} deleted`),
  ]);
  run([sign("s", "tick", T + 2 * MINUTE)], processor);
  expect(keysAfter(processor)).toEqual(["time/now"]);
});

test("state of another feature set is refused, not misread", () => {
  const processor = newProcessor();
  const event = eventsOf("s", "a", T, [metricEvent("a", T, { cpu: 1 })]);
  run([sign("s", "open", T), event], processor);
  const other = newProcessor(featureSetFromMetrics({ name: "other", metrics: ["m"], hopMinutes: 1 }));
  const delta = changelogAfter(processor).find(([, key]) => key.startsWith("open/"))!;
  run([sign("s", "tick", T + 2 * MINUTE)], processor);
  const pane = changelogAfter(processor).find(([, key]) => key.startsWith("pane/"))!;
  const panes = other.stores.find((s) => s.name === "panes")!;
  for (const [, key, value] of [delta, pane])
    expect(() => panes.restore(key, value)).toThrowError(expect.objectContaining({ code: "STATE_UNREADABLE" }));
});

test("memory is bounded by live entities and minutes, not by how much was read", () => {
  const processor = newProcessor();
  const sizes: number[] = [];
  const records = [sign("s", "open", T)];
  for (let m = 0; m < 200; m++) {
    const events = [metricEvent("a", T + m * MINUTE, { cpu: 1 })];
    records.push(eventsOf("s", "a", T + m * MINUTE, events));
  }
  for (const record of records) {
    run([record], processor);
    sizes.push(processor.stores.reduce((n, s) => n + s.size.bytes, 0) - processor.stores[0]!.size.bytes);
  }
  expect(Math.max(...sizes.slice(50))).toBe(Math.max(...sizes.slice(20, 50)));
});

test("a batch survives its Avro schema and comes apart into the same rows", () => {
  const { batches, rows } = run([
    sign("s", "open", T),
    eventsOf("s", "a", T, [metricEvent("a", T, { cpu: 1 })]),
    eventsOf("s", "b", T, [metricEvent("b", T, { memory: 2 })]),
    sign("s", "tick", T + 2 * MINUTE),
  ]);
  const type = typeOf(standaloneSchema("feature-batch"));
  const batch = batches.at(-1)!;
  const back = type.fromBuffer(type.toBuffer(batch)) as FeatureBatch;
  expect(rowsOf(back).map(bits)).toEqual(rows.slice(-2).map(bits));
  expect(back).toMatchObject({ featureSet: "core-37", featureSetHash: core37.hash, columns: 37, entities: ["a", "b"] });
  expect(loadFeatureSet("core-37").hash).toBe(core37.hash);
});

test("floats are read from any address", () => {
  const bytes = Buffer.concat([Buffer.from([1]), Buffer.from(new Float32Array([1.5, -2]).buffer)]).subarray(1);
  expect([...floatsOf(bytes)]).toEqual([1.5, -2]);
});

test("the harness yields the rows that the records close", () => {
  const records = inLog([
    sign("s", "open", T),
    eventsOf("s", "a", T, [metricEvent("a", T, { cpu: 1 })]),
    sign("s", "tick", T + 3 * MINUTE),
  ]);
  const rows = [...collectFeatureRows(newProcessor(), records)];
  expect(rows.map((r) => [r.entity, r.windowEndMs - T])).toEqual([
    ["a", MINUTE],
    ["a", 2 * MINUTE],
  ]);
});
