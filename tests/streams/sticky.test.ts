import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type StickyMember, shareSticky } from "../../streams/kafka/sticky.ts";

const fresh = (id: string): StickyMember => ({ id, owned: [], generation: -1 });
const owning = (id: string, generation: number, ...owned: number[]): StickyMember => ({ id, owned, generation });
const upTo = (count: number) => Array.from({ length: count }, (_, p) => p);
const shares = (partitions: number, ...members: StickyMember[]) =>
  Object.fromEntries(shareSticky(upTo(partitions), members));

describe("sharing partitions", () => {
  test("whoever joins takes only what is too much for the others", () => {
    expect(shares(6, owning("a", 1, 0, 1, 2, 3, 4, 5), fresh("b"), fresh("c"))).toEqual({
      a: [0, 1],
      b: [2, 3],
      c: [4, 5],
    });
  });

  test("when a member has gone the others keep what they have and share what it had", () => {
    expect(shares(6, owning("a", 2, 0, 1), owning("c", 2, 4, 5))).toEqual({ a: [0, 1, 2], c: [3, 4, 5] });
  });

  test("whoever has more keeps the larger share", () => {
    expect(shares(3, owning("a", 3, 1), owning("b", 3, 0, 2))).toEqual({ a: [1], b: [0, 2] });
  });

  test("of two that claim the same partition, the one of the later generation has it", () => {
    // "a" slept through the rebalance that gave 0 to "b".
    expect(shares(2, owning("a", 4, 0, 1), owning("b", 5, 0))).toEqual({ a: [1], b: [0] });
  });

  test("more members than partitions leave some with nothing", () => {
    expect(shares(1, fresh("a"), fresh("b"))).toEqual({ a: [0], b: [] });
  });

  const group = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 6 }).chain((ids) =>
    fc.tuple(
      fc.nat(12).map(upTo),
      fc.tuple(
        ...ids.map((id) =>
          fc.record({
            id: fc.constant(id),
            owned: fc.uniqueArray(fc.nat(15)),
            generation: fc.integer({ min: -1, max: 3 }),
          }),
        ),
      ),
    ),
  );

  test("any group: every partition once, nobody two more than another, any order the same answer, a second time the same", () => {
    fc.assert(
      fc.property(group, ([partitions, members]) => {
        const shared = shareSticky(partitions, members);
        const all = [...shared.values()].flat().sort((a, b) => a - b);
        expect(all).toEqual(partitions);
        const sizes = [...shared.values()].map((s) => s.length);
        expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
        expect(Object.fromEntries(shareSticky(partitions, [...members].reverse()))).toEqual(Object.fromEntries(shared));
        const again = members.map((m) => ({ ...m, owned: shared.get(m.id)!, generation: 9 }));
        expect(Object.fromEntries(shareSticky(partitions, again))).toEqual(Object.fromEntries(shared));
      }),
    );
  });

  test("any member that joins or leaves: nobody loses more than the new share asks for", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 16 }).map(upTo), fc.integer({ min: 1, max: 6 }), (partitions, count) => {
        const ids = Array.from({ length: count + 1 }, (_, i) => `m${i}`);
        const before = shareSticky(partitions, ids.slice(0, count).map(fresh));
        const owned = [...before].map(([id, p]) => owning(id, 1, ...p));
        const grown = shareSticky(partitions, [...owned, fresh(ids[count]!)]);
        expect(moved(before, grown)).toBe(grown.get(ids[count]!)!.length);
        const shrunk = shareSticky(
          partitions,
          [...grown].slice(1).map(([id, p]) => owning(id, 2, ...p)),
        );
        expect(moved(grown, shrunk)).toBe([...grown][0]![1].length);
      }),
    );
  });
});

function moved(before: Map<string, number[]>, after: Map<string, number[]>): number {
  return [...after].reduce((sum, [id, has]) => sum + has.filter((p) => !before.get(id)?.includes(p)).length, 0);
}
