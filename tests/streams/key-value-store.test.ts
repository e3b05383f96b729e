import fc from "fast-check";
import { expect, test } from "vitest";
import { KeyValueStore } from "../../streams/index.ts";

test("whatever is put comes back after a restart, numbers that JSON has no word for too", () => {
  const value = fc.record({
    n: fc.double(),
    text: fc.string(),
    list: fc.array(
      fc.oneof(fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY), fc.integer()),
    ),
  });
  const step = fc.record({ key: fc.constantFrom("a", "b", "c"), value: fc.option(value) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 20 }), fc.nat(20), (steps, flushAt) => {
      const store = new KeyValueStore<unknown>("s");
      const log: [string, Buffer | null][] = [];
      const flush = () => store.flush((key, bytes) => log.push([key, bytes]));
      steps.forEach((s, i) => {
        if (s.value === null) store.delete(s.key);
        else store.put(s.key, s.value);
        if (i === flushAt) flush();
      });
      flush();
      const restored = new KeyValueStore<unknown>("s");
      for (const [key, bytes] of log) restored.restore(key, bytes);
      // Minus zero alone turns into zero.
      const plain = (s: KeyValueStore<unknown>) =>
        JSON.stringify(
          [...s.entries()].sort(([a], [b]) => (a < b ? -1 : 1)),
          (_k, v) => (typeof v === "number" ? String(v) : v),
        );
      expect(plain(restored)).toBe(plain(store));
    }),
  );
});

test("a flush hands over what changed since the last one, once", () => {
  const store = new KeyValueStore<number>("s");
  const keys = () => {
    const seen: string[] = [];
    store.flush((key) => seen.push(key));
    return seen;
  };
  store.put("a", 1);
  store.put("a", 2);
  expect(keys()).toEqual(["a"]);
  expect(keys()).toEqual([]);
  store.delete("a");
  store.delete("never there");
  expect(keys()).toEqual(["a"]);
});
