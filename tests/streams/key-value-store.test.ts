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

test("after a rollback the store is as it was at the savepoint, after a drop as at the last merge, and so is the next flush", () => {
  const step = fc.oneof(
    fc.record({
      kind: fc.constant("put" as const),
      key: fc.constantFrom("a", "b", "c"),
      value: fc.option(fc.nat(9)),
    }),
    fc.constant({ kind: "savepoint" as const }),
    fc.constant({ kind: "rollback" as const }),
    fc.constant({ kind: "commit" as const }),
    fc.constant({ kind: "failed commit" as const }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const store = new KeyValueStore<number>("s");
      let model = new Map<string, number>();
      let saved = new Map(model);
      let committed = new Map(model);
      const logged = new Map<string, string>();
      const flush = (into: Map<string, string>) =>
        store.flush((key, bytes) => (bytes ? into.set(key, bytes.toString()) : into.delete(key)));
      for (const s of steps) {
        if (s.kind === "put" && s.value !== null) {
          store.put(s.key, s.value);
          model.set(s.key, s.value);
        } else if (s.kind === "put") {
          store.delete(s.key);
          model.delete(s.key);
        } else if (s.kind === "savepoint") {
          store.savepoint();
          saved = new Map(model);
        } else if (s.kind === "rollback") {
          store.rollback();
          model = new Map(saved);
        } else {
          flush(s.kind === "commit" ? logged : new Map());
          if (s.kind === "commit") {
            store.merge();
            committed = new Map(model);
          } else {
            store.drop();
            model = new Map(committed);
          }
          store.savepoint();
          saved = new Map(model);
        }
        expect(new Map(store.entries())).toEqual(model);
        expect(store.size.keys).toBe(model.size);
      }
      flush(logged);
      expect(logged).toEqual(new Map([...model].map(([k, v]) => [k, String(v)])));
      expect(store.size.bytes).toBe([...logged.values()].reduce((sum, json) => sum + json.length, 0));
    }),
  );
});
