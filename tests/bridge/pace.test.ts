import { describe, expect, test } from "vitest";
import { ShardReader } from "../../sources/kinesis/shard-reader.ts";
import type { ShardPage, ShardSource } from "../../sources/kinesis/shard-source.ts";
import { defaultTuning } from "../../sources/kinesis/tuning.ts";
import { WeirError } from "../../streams/index.ts";

const throttled = () => new WeirError("KINESIS_THROTTLED", "retry", "Rate exceeded.", "Add shards.");
const page = (index: number): ShardPage => ({
  records: [{ sequence: String(index), arrivalMs: 1, data: Buffer.alloc(1) }],
  next: String(index + 1),
  children: [],
  millisBehindLatest: 1_000,
});

/** A reader in a time of its own; `answer` says what becomes of the n-th GetRecords. */
function readerOf(answer: (call: number) => ShardPage, random: () => number) {
  let nowMs = 1_000_000;
  const calls: number[] = [];
  const sleeps: number[] = [];
  const kinesis: ShardSource = {
    describe: async () => ({ createdMs: 1, retentionMs: 86_400_000 }),
    listShards: async () => [],
    holds: async () => true,
    iterator: async () => "0",
    records: async () => {
      calls.push(nowMs);
      return answer(calls.length);
    },
  };
  const stop = new AbortController();
  const reader = new ShardReader({
    kinesis,
    stream: { name: "logs", createdMs: 1 },
    shard: "s0",
    tuning: defaultTuning,
    time: {
      now: () => nowMs,
      random,
      sleep: async (ms) => {
        sleeps.push(ms);
        nowMs += ms;
      },
    },
    signal: stop.signal,
    onNotFound: () => undefined,
    log: () => undefined,
  });
  return { reader, calls, sleeps, stop };
}

const gaps = (times: readonly number[]) => times.slice(1).map((at, i) => at - times[i]!);

describe("reading a shard within Kinesis's limits", () => {
  test("no second sees more than four calls, while far behind and with a page read ahead", async () => {
    const { reader, calls, stop } = readerOf(page, () => 0.5);
    for (let i = 0; i < 20; i++) await reader.next();
    stop.abort();
    expect(Math.min(...gaps(calls))).toBeGreaterThanOrEqual(250);
  });

  test("a throttled call is repeated after anything up to a limit that doubles, and never faster than four a second", async () => {
    const drawn = [0, 1, 0.5, 0, 1, 0.25];
    let draws = 0;
    const failures = drawn.length;
    const answer = (call: number) => {
      if (call <= failures) throw throttled();
      return page(call);
    };
    const { reader, calls, sleeps, stop } = readerOf(answer, () => drawn[draws++]!);
    await reader.next();
    stop.abort();
    const { retryBaseMs } = defaultTuning;
    const pauses = drawn.map((share, attempt) => share * retryBaseMs * 2 ** attempt);
    for (const pause of pauses) expect(sleeps).toContain(pause);
    // Of a short draw the pace makes the rest.
    expect(gaps(calls).slice(0, failures)).toEqual(pauses.map((pause) => Math.max(250, pause)));
  });

  test("the limit ends at ten seconds, however long the service is away", async () => {
    const answer = (call: number) => {
      if (call <= 40) throw throttled();
      return page(call);
    };
    const { reader, calls, stop } = readerOf(answer, () => 1);
    await reader.next();
    stop.abort();
    expect(Math.max(...gaps(calls))).toBe(defaultTuning.retryCapMs);
  });
});
