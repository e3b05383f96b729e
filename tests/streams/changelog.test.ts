import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { noCounters, storeName } from "../../streams/index.ts";
import {
  ChangelogFold,
  decideRecovery,
  type ProgressRecord,
  stateKey,
  stateValue,
} from "../../streams/task/changelog.ts";
import { StateDigest } from "../../streams/task/digest.ts";

const record = (key: string, value: unknown, offset = 0) => ({
  offset,
  timestampMs: 0,
  key: Buffer.from(key),
  value: value === null ? null : Buffer.isBuffer(value) ? value : Buffer.from(JSON.stringify(value)),
});
const state = (key: string, commit: number, text: string | null) =>
  record(stateKey(storeName("store"), key), text === null ? null : stateValue(commit, Buffer.from(text)));
const progress = (over: Partial<ProgressRecord>): ProgressRecord => ({
  commit: 1,
  incarnation: "i",
  fingerprint: "f",
  nextOffset: 5,
  watermarkMs: 0,
  counters: noCounters(),
  digest: "0:0000000000000000",
  ...over,
});
const fold = (...records: ReturnType<typeof record>[]) => {
  const f = new ChangelogFold();
  f.add(records);
  return f.result;
};
const log = { startOffset: 0, endOffset: 100 };

describe("changelog", () => {
  test("the last value of a key is live, a deleted key is not, and order is that of the last writes", () => {
    const { stores } = fold(
      state("a", 1, "1"),
      state("b", 1, "1"),
      state("a", 2, "2"),
      state("c", 2, "1"),
      state("c", 3, null),
    );
    expect([...stores.get("store")!].map(([k, v]) => [k, v.toString()])).toEqual([
      ["b", "1"],
      ["a", "2"],
    ]);
  });

  test("the digest tells any single lost, stale or extra record, whatever the order of writes", () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ key: fc.string(), commit: fc.nat() }), { minLength: 1, maxLength: 30 }),
        fc.nat(),
        (writes, pick) => {
          const whole = new StateDigest();
          for (const w of writes) whole.set(w.key, w.commit);
          const live = new Map(writes.map((w) => [w.key, w.commit]));
          const reversed = new StateDigest();
          for (const [key, commit] of [...live].reverse()) reversed.set(key, commit);
          expect(reversed.text).toBe(whole.text);
          const [key, commit] = [...live][pick % live.size]!;
          reversed.set(key, commit + 1);
          expect(reversed.text).not.toBe(whole.text);
          reversed.delete(key);
          expect(reversed.text).not.toBe(whole.text);
        },
      ),
    );
  });
});

describe("step T5", () => {
  const genesis = record("genesis", { version: 1 });

  test("an initialised changelog without progress starts at the beginning", () => {
    expect(decideRecovery("t", fold(genesis), "f", log)).toEqual({ action: "resume", progress: undefined });
  });

  test("whole state resumes at its progress", () => {
    const digest = fold(genesis, state("a", 1, "x")).digest.text;
    const whole = fold(genesis, state("a", 1, "x"), record("progress", progress({ digest })));
    expect(decideRecovery("t", whole, "f", log)).toMatchObject({ action: "resume", progress: { nextOffset: 5 } });
  });

  const refusals: [string, Parameters<typeof decideRecovery>[1], string, typeof log][] = [
    ["STATE_INCOMPLETE", fold(), "f", log],
    [
      "STATE_INCOMPLETE",
      fold(genesis, record("progress", progress({ digest: fold(state("a", 1, "x")).digest.text }))),
      "f",
      log,
    ],
    ["FINGERPRINT_CHANGED", fold(genesis, record("progress", progress({}))), "other", log],
    ["STATE_INCOMPLETE", fold(genesis, record("progress", progress({ nextOffset: 101 }))), "f", log],
    [
      "STATE_INCOMPLETE",
      fold(genesis, record("progress", progress({ nextOffset: 5 }))),
      "f",
      { startOffset: 6, endOffset: 100 },
    ],
  ];
  test.each(refusals)("refuses with %s what it cannot go on from", (code, restored, fingerprint, range) => {
    const decision = decideRecovery("features/0", restored, fingerprint, range);
    expect(decision).toMatchObject({ action: "refuse", error: { code, disposition: "fatal" } });
  });
});
