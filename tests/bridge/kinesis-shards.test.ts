import type { KinesisClient } from "@aws-sdk/client-kinesis";
import { describe, expect, test } from "vitest";
import { kinesisShards } from "../../sources/index.ts";
import { T0 } from "./harness.ts";

/** A client that answers each command by its name, in turn; an Error is thrown. */
function fakeClient(replies: Record<string, unknown[]>) {
  const calls: [string, unknown][] = [];
  const send = async (command: { constructor: { name: string }; input: unknown }) => {
    const name = command.constructor.name.replace("Command", "");
    calls.push([name, command.input]);
    const reply = replies[name]?.shift();
    if (reply instanceof Error) throw reply;
    return reply ?? {};
  };
  return { calls, shards: kinesisShards({ send } as unknown as KinesisClient) };
}
const named = (name: string, message = "") => Object.assign(new Error(message), { name });

test("a record without arrival stamp has arrived by the time it is read, and says that this is a guess", async () => {
  const data = new Uint8Array([1]);
  const stamped = { SequenceNumber: "1", ApproximateArrivalTimestamp: new Date(T0), Data: data };
  const { shards } = fakeClient({ GetRecords: [{ Records: [stamped, { SequenceNumber: "2", Data: data }] }] });
  const before = Date.now();
  const [first, second] = (await shards.records("it")).records;
  expect(first).toEqual({ sequence: "1", arrivalMs: T0, data });
  expect(second).toMatchObject({ sequence: "2", isArrivalGuessed: true });
  expect(second!.arrivalMs).toBeGreaterThanOrEqual(before);
});

test("a stream's shards are listed page by page, with both parents of a merge", async () => {
  const page1 = { Shards: [{ ShardId: "a" }], NextToken: "more" };
  const page2 = { Shards: [{ ShardId: "b", ParentShardId: "a", AdjacentParentShardId: "z" }] };
  const { shards, calls } = fakeClient({ ListShards: [page1, page2] });
  expect(await shards.listShards("logs")).toEqual([
    { shard: "a", parents: [] },
    { shard: "b", parents: ["a", "z"] },
  ]);
  expect(calls.map(([, input]) => input)).toEqual([{ StreamName: "logs" }, { NextToken: "more" }]);
});

describe("whether a record can still be read", () => {
  const at = { GetShardIterator: [{ ShardIterator: "it" }] };
  test.each([
    [
      "it is the first behind its number, also after empty replies",
      [{ MillisBehindLatest: 5, NextShardIterator: "n" }, { Records: [{ SequenceNumber: "7" }] }],
      true,
    ],
    ["the oldest there is has another number", [{ Records: [{ SequenceNumber: "9" }] }], false],
    ["nothing is left", [{ MillisBehindLatest: 0, NextShardIterator: "n" }], false],
  ])("%s", async (_, GetRecords, holds) => {
    const { shards } = fakeClient({ ...structuredClone(at), GetRecords: structuredClone(GetRecords) });
    expect(await shards.holds("logs", "a", "7")).toBe(holds);
  });
});

describe("an error of the service says what to do about it", () => {
  test.each([
    ["ProvisionedThroughputExceededException", "", "KINESIS_THROTTLED", "retry"],
    ["LimitExceededException", "", "KINESIS_THROTTLED", "retry"],
    ["ExpiredIteratorException", "", "KINESIS_ITERATOR_EXPIRED", "retry"],
    ["ResourceNotFoundException", "", "KINESIS_NOT_FOUND", "retry"],
    ["InvalidArgumentException", "it reached max possible value", "KINESIS_AT_END", "retry"],
    ["InvalidArgumentException", "", "KINESIS_REFUSED", "fatal"],
    ["AccessDeniedException", "", "KINESIS_REFUSED", "fatal"],
    ["TimeoutError", "", "KINESIS_UNAVAILABLE", "retry"],
    ["InternalFailureException", "", "KINESIS_UNAVAILABLE", "retry"],
  ])("%s %s → %s", async (name, message, code, disposition) => {
    const { shards } = fakeClient({ GetRecords: [named(name, message)] });
    await expect(shards.records("it")).rejects.toMatchObject({ code, disposition });
  });
});
