import { describe, expect, test } from "vitest";
import { decodeBatches } from "../../streams/kafka/record-batch.ts";
import { type BatchShape, recordBatch } from "../support/record-batch.ts";

const some = (...texts: string[]) => texts.map((t) => ({ key: Buffer.from("key"), value: Buffer.from(t) }));
const decode = (shapes: BatchShape[], from = 0, aborted: [number, number][] = []) => {
  const list = aborted.map(([producerId, firstOffset]) => ({ producerId: BigInt(producerId), firstOffset }));
  const result = decodeBatches(Buffer.concat(shapes.map(recordBatch)), from, list);
  return {
    values: result.records.map((r) => r.value?.toString()),
    offsets: result.records.map((r) => r.offset),
    next: result.nextOffset,
    records: result.records,
  };
};

describe("record batches", () => {
  test("keys, values, offsets and times come out as they were written, nulls too", () => {
    const { records } = decode([
      {
        base: 5,
        records: [
          { key: null, value: Buffer.from("a") },
          { key: Buffer.from("k"), value: null },
        ],
      },
    ]);
    expect(
      records.map((r) => [r.offset, r.timestampMs, r.key?.toString() ?? null, r.value?.toString() ?? null]),
    ).toEqual([
      [5, 1_000, null, "a"],
      [6, 1_010, "k", null],
    ]);
  });

  test.each([0, 1, 3, 4] as const)("codec %i gives the same records", (codec) => {
    expect(decode([{ base: 0, codec, records: some("one", "two") }]).values).toEqual(["one", "two"]);
  });

  test("records before the asked-for offset are left out, though their batch is sent whole", () => {
    expect(decode([{ base: 10, records: some("a", "b", "c") }], 12)).toMatchObject({ offsets: [12], next: 13 });
  });

  test("a batch the cleaner emptied still moves the position", () => {
    expect(decode([{ base: 3, records: [], lastDelta: 6 }], 3)).toMatchObject({ offsets: [], next: 10 });
  });

  test("a batch cut by the end of the answer is left for the next fetch", () => {
    const whole = Buffer.concat([
      recordBatch({ base: 0, records: some("a") }),
      recordBatch({ base: 1, records: some("b") }),
    ]);
    const cut = decodeBatches(whole.subarray(0, whole.length - 3), 0, []);
    expect(cut.records.map((r) => r.value?.toString())).toEqual(["a"]);
    expect(cut.nextOffset).toBe(1);
  });
});

describe("read_committed", () => {
  const txn = (base: number, producerId: number, ...texts: string[]): BatchShape => ({
    base,
    producerId,
    transactional: true,
    records: some(...texts),
  });
  const end = (base: number, producerId: number, commit: boolean): BatchShape => ({ base, producerId, marker: commit });

  test("nested aborts: the inner one ends first and is listed first, and nothing of either is seen", () => {
    // offset  0 1   2   3      4       5   6
    //         A A   B  abort B  A     abort A  good
    const log = [
      txn(0, 1, "a", "a"),
      txn(2, 2, "b"),
      end(3, 2, false),
      txn(4, 1, "a"),
      end(5, 1, false),
      txn(6, 3, "good"),
      end(7, 3, true),
    ];
    expect(
      decode(log, 0, [
        [2, 2],
        [1, 0],
      ]),
    ).toMatchObject({ values: ["good"], next: 8 });
  });

  test("interleaved aborts of two producers hide both, and the third's commit stays", () => {
    const log = [
      txn(0, 1, "a"),
      txn(1, 2, "b"),
      txn(2, 3, "c"),
      end(3, 1, false),
      txn(4, 2, "b"),
      end(5, 2, false),
      end(6, 3, true),
    ];
    expect(
      decode(log, 0, [
        [1, 0],
        [2, 1],
      ]).values,
    ).toEqual(["c"]);
  });

  test("a commit after an abort of the same producer is seen", () => {
    const log = [txn(0, 1, "no"), end(1, 1, false), txn(2, 1, "yes"), end(3, 1, true)];
    expect(decode(log, 0, [[1, 0]]).values).toEqual(["yes"]);
  });

  test("a fetch that begins inside an aborted transaction hides the rest of it", () => {
    expect(decode([txn(2, 1, "a"), end(3, 1, false), txn(4, 1, "b"), end(5, 1, true)], 2, [[1, 0]]).values).toEqual([
      "b",
    ]);
  });

  test("a marker that is not in this fetch leaves the transaction hidden to its end", () => {
    expect(decode([txn(0, 1, "a", "a"), txn(2, 2, "b")], 0, [[1, 0]]).values).toEqual(["b"]);
  });

  test("a data record whose key is four zero bytes is no marker", () => {
    const zero = {
      base: 0,
      producerId: 1,
      transactional: true,
      records: [{ key: Buffer.alloc(4), value: Buffer.from("x") }, ...some("y")],
    };
    expect(decode([zero, end(2, 1, false)], 0, [[1, 0]]).values).toEqual([]);
    expect(decode([zero, end(2, 1, true)], 0, []).values).toEqual(["x", "y"]);
  });
});
