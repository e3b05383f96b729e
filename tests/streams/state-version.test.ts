import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import {
  KeyValueStore,
  type Processor,
  type ProducerRecord,
  type StageBinding,
  stageName,
  type TaskOptions,
  topicName,
} from "../../streams/index.ts";
import { CLAIM, claimValue, GENESIS, genesisValue, type StateVersion } from "../../streams/task/changelog.ts";
import { CommitCycle } from "../../streams/task/commit.ts";
import { StateDigests } from "../../streams/task/digest.ts";
import { ChangelogFold } from "../../streams/task/fold.ts";
import { Overlay } from "../../streams/task/overlay.ts";
import { decideClaim, decideRecovery } from "../../streams/task/recovery.ts";
import type { Ownership } from "../../streams/task/take-over.ts";
import { systemTime } from "../../streams/task/time.ts";
import { changelog, upTo, World } from "./simulated-world.ts";

/**
 * golden/changelog-v<N>.json holds, record by record, what the Weir that introduced version N wrote for one small
 * stage: version 1 was written by the commit before version 2 came. They are never written anew.
 */
type GoldenValue = string | { readonly hex: string; readonly text: string } | null;
const golden = (version: StateVersion): { key: string; value: GoldenValue }[] =>
  JSON.parse(readFileSync(new URL(`golden/changelog-v${version}.json`, import.meta.url), "utf8"));

const bytesOf = (value: GoldenValue): Buffer | null => {
  if (value === null || typeof value === "string") return value === null ? null : Buffer.from(value);
  return Buffer.concat([Buffer.from(value.hex, "hex"), Buffer.from(value.text)]);
};
const goldenOf = (value: Buffer | null): GoldenValue => {
  if (value?.[0] !== 0) return value?.toString() ?? null;
  return { hex: value.subarray(0, 8).toString("hex"), text: value.subarray(8).toString() };
};

class Words implements Processor<never> {
  readonly counts = new KeyValueStore<number>("counts");
  readonly lengths = new KeyValueStore<{ length: number; mean: number }>("lengths");
  readonly stores = [this.counts, this.lengths];
  process(): void {}
  standing() {
    return { words: this.counts.size.keys };
  }
  take(word: string): void {
    this.counts.put(word, (this.counts.get(word) ?? 0) + 1);
    this.lengths.put(word, { length: word.length, mean: word === "or" ? Number.NaN : word.length / 2 });
  }
}

const claim = { assignmentEpoch: 3, incarnation: "owner.1", fingerprint: "words/1" };
const input = { partitions: 4, topicId: "topic-1" };

/** Three commits of the stage as the runtime makes them, against a producer that only listens. */
async function write(version: StateVersion): Promise<{ key: string; value: GoldenValue }[]> {
  const sent: ProducerRecord[] = [];
  const producer = {
    transactionalId: "t",
    init: async () => undefined,
    send: async (records: readonly ProducerRecord[]) => void sent.push(...records),
    sendOffsets: async () => undefined,
    settle: async () => undefined,
    commit: async () => undefined,
    abort: async () => undefined,
    close: async () => undefined,
  };
  const processor = new Words();
  const binding: StageBinding = {
    stage: stageName("words"),
    input: topicName("text"),
    outputs: [],
    fingerprint: "words/1",
    create: () => processor,
  };
  const id = { stage: binding.stage, partition: 1 };
  const options = { env: "test", commitIntervalMs: 1 } as TaskOptions;
  const digests = new StateDigests();
  const ownership: Ownership = {
    producer,
    claim,
    version,
    input,
    processor,
    digests,
    progress: undefined,
    nextOffset: 0,
  };
  const overlay = new Overlay(binding, id, undefined as never, processor, undefined);
  const cycle = new CommitCycle(binding, id, ownership, options, overlay, systemTime);
  for (const [i, words] of [["to", "be", "or", "not"], ["to", "be"], ["that"]].entries()) {
    for (const word of words) processor.take(word);
    if (i === 2) for (const store of processor.stores) store.delete("or");
    overlay.output.count("accepted", words.length);
    await cycle.commit((i + 1) * 10);
  }
  const first = [
    { key: GENESIS, value: genesisValue(version) },
    { key: CLAIM, value: claimValue(claim, version) },
  ];
  return [...first, ...sent].map(({ key, value }) => ({ key: key!, value: goldenOf(value) }));
}

function read(records: readonly { key: string; value: GoldenValue }[]) {
  const fold = new ChangelogFold();
  fold.add(
    records.map(({ key, value }, offset) => ({ offset, timestampMs: 0, key: Buffer.from(key), value: bytesOf(value) })),
  );
  const processor = new Words();
  for (const store of processor.stores) {
    for (const [key, value] of fold.result.stores.get(store.name) ?? []) store.restore(key, value);
  }
  return { restored: fold.result, processor };
}

describe.each([1, 2] as const)("state of version %i", (version) => {
  test("is read back whole from the golden records of the Weir that introduced it", () => {
    const { restored, processor } = read(golden(version));
    const decision = decideRecovery("words/1", restored, claim, { startOffset: 0, endOffset: 100, ...input });
    expect(decision).toMatchObject({
      action: "resume",
      progress: { version, commit: 3, nextOffset: 30, counters: { in: 7, accepted: 7 } },
    });
    expect(Object.fromEntries(processor.counts.entries())).toEqual({ to: 2, be: 2, not: 1, that: 1 });
    expect(processor.lengths.get("that")).toEqual({ length: 4, mean: 2 });
  });

  test("is written on by a newer Weir that is not told otherwise", () => {
    const me = { owner: "newer", assignmentEpoch: 9, fingerprint: "words/1", ownedBefore: false };
    expect(decideClaim("words/1", read(golden(version)).restored, me)).toEqual({ action: "claim", version });
    const fresh = read(golden(version).slice(0, 1)).restored;
    expect(decideClaim("words/1", fresh, me)).toEqual({ action: "claim", version });
  });

  test("is written byte for byte as the golden records are, so that the Weir that introduced it can take over", async () => {
    expect(await write(version)).toEqual(golden(version));
  });
});

test("a task goes on in the version it finds, and changes it from its next commit on when it is told to, up and down", async () => {
  const world = await World.initialised();
  const versions = [];
  for (const stateVersion of [undefined, 1, undefined, 2, undefined] as const) {
    const task = world.task({ more: stateVersion === undefined ? {} : { stateVersion } });
    const running = task.run();
    world.feed(5);
    const fed = 5 * (versions.length + 1);
    await world.until(() => task.status().counters.in === fed);
    task.stop();
    await world.done(running);
    const fold = new ChangelogFold();
    fold.add(world.broker.log(changelog, 0).committed());
    versions.push(fold.result.progress!.version);
  }
  expect(versions).toEqual([2, 1, 1, 2, 2]);
  expect(world.outcome()).toEqual({ numbers: upTo(25), wrong: undefined });
});

test("a state that lost one record is refused in both versions", () => {
  for (const version of [1, 2] as const) {
    const lost = golden(version).filter(({ key }) => key !== "s/counts/not");
    const decision = decideRecovery("words/1", read(lost).restored, claim, {
      startOffset: 0,
      endOffset: 100,
      ...input,
    });
    expect(decision).toMatchObject({ action: "refuse", error: { code: "STATE_INCOMPLETE" } });
  }
});

test("a version of the future is refused with its number, in every kind of record", () => {
  const refused = expect.objectContaining({ code: "STATE_VERSION_UNKNOWN", message: expect.stringContaining("3") });
  for (const key of ["genesis", "claim", "progress"]) {
    expect(() => read([{ key, value: JSON.stringify({ version: 3 }) }])).toThrowError(refused);
  }
  expect(() => read([{ key: "s/counts/a", value: { hex: "0300000000000001", text: "1" } }])).toThrowError(refused);
});
