import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { RoutingConfig, RoutingMode } from "../../schemas/index.ts";
import {
  armChooser,
  BUCKETS,
  bucketOf,
  murmur3,
  RoutingTable,
  routingFor,
  validateRouting,
} from "../../triton/index.ts";

const config = (weight: number, more: Partial<RoutingConfig> = {}): RoutingConfig => ({
  family: "anomaly",
  version: 1,
  mode: "split",
  salt: "s1",
  effectiveFromMs: 0,
  arms: [
    { model: "a", modelVersion: "1", weight },
    { model: "b", modelVersion: "1", weight: 100 - weight },
  ],
  author: "test",
  createdAtMs: 0,
  experiment: "",
  labelledUntilMs: 0,
  ...more,
});

const entities = Array.from({ length: 20_000 }, (_, i) => `i-${(i * 2654435761).toString(16).padStart(17, "0")}`);

test("the hash is MurmurHash3 of the UTF-8 bytes, as published", () => {
  expect(murmur3("", 0)).toBe(0);
  expect(murmur3("", 1)).toBe(0x514e28b7);
  expect(murmur3("hello", 0)).toBe(0x248bfa47);
  expect(murmur3("hello, world", 0)).toBe(0x149bbb7f);
  expect(murmur3("The quick brown fox jumps over the lazy dog", 0x9747b28c)).toBe(0x2fa826cd);
  expect(murmur3("ππππππππ", 0x9747b28c)).toBe(0xd58063c1);
});

describe("the arm of an entity", () => {
  test("is a function of salt, weights and entity alone, the first arm having the lowest buckets", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), fc.string(), fc.integer({ min: 0, max: 100 }), (entity, salt, w) => {
        const bucket = bucketOf(salt, entity);
        expect(bucket).toBeGreaterThanOrEqual(0);
        expect(bucket).toBeLessThan(BUCKETS);
        expect(armChooser(config(w, { salt }))(entity)).toBe(bucket < w * 100 ? 0 : 1);
      }),
    );
  });

  test("never changes from an arm whose weight was raised", () => {
    const weight = fc.integer({ min: 0, max: 100 });
    fc.assert(
      fc.property(weight, weight, fc.array(fc.string(), { minLength: 1 }), (before, after, names) => {
        const raised = after > before ? 0 : 1;
        const [was, is] = [armChooser(config(before)), armChooser(config(after))];
        for (const name of names) if (was(name) === raised) expect(is(name)).toBe(raised);
      }),
    );
  });

  test("spreads 20,000 instance ids as the weights say, within one percent point", () => {
    for (const w of [1, 10, 30, 50, 70, 99]) {
      const choose = armChooser(config(w));
      const share = entities.filter((e) => choose(e) === 0).length / entities.length;
      expect(Math.abs(share - w / 100)).toBeLessThan(0.01);
    }
  });

  test("under another salt tells nothing about the arm under this one", () => {
    const [one, other] = [armChooser(config(50)), armChooser(config(50, { salt: "s2" }))];
    const both = entities.filter((e) => one(e) === 0 && other(e) === 0).length / entities.length;
    expect(Math.abs(both - 0.25)).toBeLessThan(0.015);
  });

  test("is the first one for everybody in shadow and when the experiment is switched off", () => {
    for (const mode of ["shadow", "off"] satisfies RoutingMode[])
      expect(entities.slice(0, 100).map(armChooser(config(0, { mode })))).toEqual(new Array(100).fill(0));
  });
});

test("the version in force has the greatest time not after the window's end; of equal times the newer one", () => {
  const v = (version: number, effectiveFromMs: number) => config(70, { version, effectiveFromMs });
  const versions = [v(3, 200), v(1, 100), v(2, 200), v(4, 300)];
  //  0      100      200      300
  //  none   |--v1----|--v3----|--v4
  expect(routingFor(99, versions)).toBeNull();
  expect(routingFor(100, versions)?.version).toBe(1);
  expect(routingFor(199, versions)?.version).toBe(1);
  expect(routingFor(200, versions)?.version).toBe(3);
  expect(routingFor(1_000, versions)?.version).toBe(4);
  expect(routingFor(0, [v(0, 0)])?.version).toBe(0);
});

describe("a routing record", () => {
  const known = (model: string) => model !== "ghost";

  test("with faults is refused, all of them named", () => {
    const bad = config(70, {
      salt: "",
      version: -1,
      arms: [
        { model: "a", modelVersion: "1", weight: 60.5 },
        { model: "ghost", modelVersion: "1", weight: -10 },
        { model: "a", modelVersion: "1", weight: 40 },
      ],
    });
    const faults = validateRouting(bad, known).join("; ");
    for (const part of ["salt", "version -1", "3 arms", "90.5, not 100", "60.5", "-10", "ghost version 1 is not known"])
      expect(faults).toContain(part);
    expect(faults).toContain("same model version");
    expect(validateRouting(config(70), known)).toEqual([]);
    const alone = config(100, { mode: "shadow", arms: [{ model: "a", modelVersion: "1", weight: 100 }] });
    expect(validateRouting(alone, known)).toEqual(["mode shadow needs a second arm"]);
    expect(validateRouting({ ...alone, mode: "off" }, known)).toEqual([]);
  });

  test("that is bad changes nothing: the last good versions stay", () => {
    const table = new RoutingTable("anomaly", known);
    expect(table.offer(config(70))).toEqual([]);
    const sum = config(70, { version: 2, arms: [{ model: "a", modelVersion: "1", weight: 99 }] });
    expect(table.offer(sum)).toEqual(["weights add up to 99, not 100"]);
    expect(table.offer(config(10))).toEqual(["version 1 exists already and is never changed"]);
    expect(table.offer(config(70))).toEqual([]);
    expect(table.offer(config(50, { version: 3, family: "other" }))).toEqual([]);
    expect(table.versions()).toEqual([config(70)]);
  });
});
