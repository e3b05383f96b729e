import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { noCounters, storeName } from "../../streams/index.ts";
import {
  type Claim,
  claimValue,
  genesisValue,
  type ProgressRecord,
  progressValue,
  stateKey,
  stateValue,
} from "../../streams/task/changelog.ts";
import { StateDigest } from "../../streams/task/digest.ts";
import { ChangelogFold } from "../../streams/task/fold.ts";
import { type Claimant, decideClaim, decideRecovery, type InputNow, standingGap } from "../../streams/task/recovery.ts";

const record = (key: string, value: Buffer | null, offset = 0) => ({
  offset,
  timestampMs: 0,
  key: Buffer.from(key),
  value,
});
const state = (key: string, commit: number, text: string | null, store = "store") =>
  record(stateKey(storeName(store), key), text === null ? null : stateValue(commit, Buffer.from(text)));
const fold = (...records: ReturnType<typeof record>[]) => {
  const f = new ChangelogFold();
  f.add(records);
  return f.result;
};

const mine: Claim = { assignmentEpoch: 0, incarnation: "me.1", fingerprint: "f" };
const input: InputNow = { startOffset: 0, endOffset: 100, partitions: 4, topicId: "id-1" };
const genesis = record("genesis", genesisValue(2));
const claim = (over: Partial<Claim> = {}) => record("claim", claimValue({ ...mine, ...over }, 2));
/** The progress of a commit that left exactly the records of `live` behind. */
const progress = (over: Partial<ProgressRecord> = {}, ...live: ReturnType<typeof record>[]) => {
  const { digests } = fold(...live);
  const whole: ProgressRecord = {
    version: 2,
    commit: 1,
    claim: mine,
    nextOffset: 5,
    input: { partitions: 4, topicId: "id-1" },
    watermarkMs: 0,
    counters: noCounters(),
    digest: digests.text,
    stores: digests.byStore,
    standing: undefined,
    ...over,
  };
  return record("progress", progressValue(whole));
};

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

  test("the owner is who stands last, by a claim or by a progress record", () => {
    expect(fold(genesis, claim({ incarnation: "a.1" }), progress(), claim({ incarnation: "b.1" })).owner).toMatchObject(
      {
        incarnation: "b.1",
      },
    );
    expect(fold(genesis, claim({ incarnation: "a.1" }), progress()).owner).toEqual(mine);
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

describe("before step T2", () => {
  const me: Claimant = { owner: "me", assignmentEpoch: 0, fingerprint: "f", ownedBefore: false };
  const other = (epoch: number) => fold(genesis, claim({ incarnation: "other.3", assignmentEpoch: epoch }));

  test("a first claim goes ahead whatever the epochs: the other may be long gone", () => {
    expect(decideClaim("t", other(0), me)).toEqual({ action: "claim", version: 2 });
    expect(decideClaim("t", other(4), { ...me, assignmentEpoch: 4 }).action).toBe("claim");
    expect(decideClaim("t", other(4), { ...me, assignmentEpoch: 3 }).action).toBe("claim");
  });

  test("a former owner that was overtaken yields, unless the other has the lower epoch", () => {
    const former = { ...me, ownedBefore: true, assignmentEpoch: 4 };
    expect(decideClaim("t", other(5), former)).toMatchObject({ action: "yield", to: { incarnation: "other.3" } });
    expect(decideClaim("t", other(4), former).action).toBe("yield");
    expect(decideClaim("t", other(3), former).action).toBe("claim");
  });

  test("an owner whose own claim stands last goes on, whichever attempt it was", () => {
    const tail = fold(genesis, progress(), claim({ incarnation: "me.7" }));
    expect(decideClaim("t", tail, { ...me, ownedBefore: true }).action).toBe("claim");
  });

  test("an empty changelog and the state of another pipeline are refused before anybody is fenced", () => {
    expect(decideClaim("t", fold(), me)).toMatchObject({ error: { code: "STATE_INCOMPLETE" } });
    const tail = fold(genesis, progress({ claim: { ...mine, fingerprint: "g" } }));
    expect(decideClaim("t", tail, me)).toMatchObject({ error: { code: "FINGERPRINT_CHANGED" } });
  });
});

describe("step T5", () => {
  const decide = (restored: ReturnType<typeof fold>, now: Partial<InputNow> = {}) =>
    decideRecovery("features/0", restored, mine, { ...input, ...now });

  test("an initialised changelog without progress starts at the beginning", () => {
    expect(decide(fold(genesis, claim()))).toEqual({ action: "resume", progress: undefined });
  });

  test("whole state resumes at its progress", () => {
    const live = state("a", 1, "x");
    const whole = fold(genesis, live, progress({}, live), claim());
    expect(decide(whole)).toMatchObject({ action: "resume", progress: { nextOffset: 5 } });
  });

  const a = state("a", 1, "x");
  const b = state("b", 1, "x", "panes");
  const refusals: [string, string, RegExp, ReturnType<typeof fold>, Partial<InputNow>][] = [
    ["a truncated changelog", "STATE_INCOMPLETE", /genesis/, fold(a, progress({}, a), claim()), {}],
    [
      "a lost key",
      "STATE_INCOMPLETE",
      /panes has 0 keys, there were 1/,
      fold(genesis, a, progress({}, a, b), claim()),
      {},
    ],
    [
      "a key too many",
      "STATE_INCOMPLETE",
      /panes has 1 keys, there were 0/,
      fold(genesis, a, b, progress({}, a), claim()),
      {},
    ],
    [
      "a stale key",
      "STATE_INCOMPLETE",
      /store has its 1 keys/,
      fold(genesis, a, progress({}, state("a", 2, "x")), claim()),
      {},
    ],
    [
      "another pipeline",
      "FINGERPRINT_CHANGED",
      /by pipeline g/,
      fold(genesis, progress({ claim: { ...mine, fingerprint: "g" } }), claim()),
      {},
    ],
    [
      "a deleted beginning",
      "STATE_INCOMPLETE",
      /3 offsets were deleted unread/,
      fold(genesis, progress(), claim()),
      { startOffset: 8 },
    ],
    ["a shortened input", "STATE_INCOMPLETE", /ends at 4/, fold(genesis, progress(), claim()), { endOffset: 4 }],
    [
      "an input made anew",
      "STATE_INCOMPLETE",
      /topic id-1, now it is id-2/,
      fold(genesis, progress(), claim()),
      { topicId: "id-2" },
    ],
    [
      "more partitions",
      "PARTITIONS_CHANGED",
      /4 input partitions, now there are 6/,
      fold(genesis, progress(), claim()),
      { partitions: 6 },
    ],
  ];
  test.each(refusals)("%s is refused with %s, the gap and a way out", (_, code, gap, restored, now) => {
    const decision = decide(restored, now);
    expect(decision).toMatchObject({ action: "refuse", error: { code, disposition: "fatal" } });
    if (decision.action !== "refuse") throw new Error("unreachable");
    expect(decision.error.message).toMatch(gap);
    expect(decision.error.nextStep).not.toBe("");
  });

  test("a claim behind one's own means that another process came in between", () => {
    expect(decide(fold(genesis, claim(), claim({ incarnation: "other.1" })))).toMatchObject({
      error: { disposition: "fenced" },
    });
  });

  test("a processor that stands elsewhere than its progress says is told by the member that differs", () => {
    const was = { emittedMinute: 7, clocks: { b: 1, a: 2 } };
    expect(standingGap(was, { clocks: { a: 2, b: 1 }, emittedMinute: 7 })).toBeUndefined();
    expect(standingGap(was, { ...was, clocks: { a: 2 } })).toBe('clocks was {"a":2,"b":1}, now it is {"a":2}');
  });
});
