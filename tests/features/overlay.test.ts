import fc from "fast-check";
import { expect, test } from "vitest";
import { compileFeatureSet, type FeatureSet, loadFeatureSet, MemoryOutput } from "../../processors/features/index.ts";
import type { LogBatch } from "../../schemas/index.ts";
import type { InputRecord, StateStore } from "../../streams/index.ts";
import {
  batchesOf,
  core37,
  DAY_ONE,
  eventsOf,
  inLog,
  lineEvent,
  MINUTE,
  metricEvent,
  newProcessor,
  type SourceRecord,
  sign,
} from "./helpers.ts";

const T = (DAY_ONE + 30) * MINUTE;

/** What a task does between records: nothing, take one back and try again, commit, fail to commit, start anew. */
type Act = "go on" | "roll back" | "commit" | "abort" | "drop" | "restart";
const acts = fc.array(
  fc.constantFrom<Act>("go on", "go on", "roll back", "commit", "commit", "abort", "drop", "restart"),
  {
    minLength: 1,
    maxLength: 12,
  },
);

const step = fc.record({
  entity: fc.constantFrom("a", "b", "c"),
  forwardMs: fc.oneof(fc.integer({ min: 0, max: 50_000 }), fc.constantFrom(60_000, 900_000, 5_400_000, 100_000_000)),
  events: fc.array(
    fc.record({
      backMs: fc.integer({ min: -90_000, max: 90_000 }),
      cpu: fc.option(fc.constantFrom(0, 1, 50.1, 99.9, 101, -5, 5e8)),
      text: fc.constantFrom("user 1 in", "user bob in", "disk full", "request 7 took 3 ms", "x y z", ""),
    }),
    { maxLength: 4 },
  ),
});

function recordsOf(steps: readonly (typeof step extends fc.Arbitrary<infer T> ? T : never)[]): InputRecord<LogBatch>[] {
  let clockMs = T;
  const records: SourceRecord[] = [sign("s", "open", T)];
  for (const [i, { entity, forwardMs, events }] of steps.entries()) {
    clockMs += forwardMs;
    const made = events.map(({ backMs, cpu, text }, j) => {
      const id = `${i % 5}-${j}`;
      if (cpu !== null) return metricEvent(entity, clockMs - backMs, { cpu, memory: [cpu, 2] }, id);
      return { ...lineEvent(clockMs - backMs, "info", id), message: JSON.stringify({ level: "error", message: text }) };
    });
    records.push(eventsOf("s", entity, clockMs, made));
  }
  return inLog([...records, sign("s", "tick", clockMs + 90 * MINUTE)]);
}

/** The changelog, folded as compaction would leave it, in log order. */
class Changelog {
  readonly live = new Map<string, Map<string, Buffer>>();

  write(stores: readonly StateStore[], keep: boolean): void {
    for (const store of stores) {
      const log = this.live.get(store.name) ?? new Map<string, Buffer>();
      this.live.set(store.name, log);
      store.flush((key, value) => {
        if (!keep) return;
        log.delete(key);
        if (value) log.set(key, Buffer.from(value));
      });
    }
  }

  restoreInto(stores: readonly StateStore[]): void {
    for (const store of stores) for (const [key, value] of this.live.get(store.name) ?? []) store.restore(key, value);
  }
}

/** Runs the records as a task would that meets all this, and gives what its commits have let out. */
function runAs(set: FeatureSet, records: readonly InputRecord<LogBatch>[], doing: readonly Act[]) {
  let processor = newProcessor(set);
  const changelog = new Changelog();
  const out: unknown[] = [];
  let output = new MemoryOutput();
  let committed = 0;
  const commit = (next: number) => {
    changelog.write(processor.stores, true);
    for (const store of processor.stores) store.merge?.();
    out.push(...batchesOf(output), ...output.rejected, ...output.tooLate, output.counts);
    output = new MemoryOutput();
    committed = next;
  };
  for (let i = 0, n = 0; i < records.length; n++) {
    const act = n < 4 * records.length ? doing[n % doing.length]! : "go on";
    for (const store of processor.stores) store.savepoint?.();
    if (act === "roll back") {
      processor.process(records[i]!, new MemoryOutput());
      for (const store of processor.stores) store.rollback?.();
      processor.reset?.();
      for (const store of processor.stores) store.savepoint?.();
    }
    processor.process(records[i]!, output);
    i++;
    if (act === "commit") commit(i);
    else if (act === "abort" || act === "drop") {
      if (act === "abort") changelog.write(processor.stores, false);
      for (const store of processor.stores) store.drop?.();
      processor.reset?.();
      output = new MemoryOutput();
      i = committed;
    } else if (act === "restart") {
      processor = newProcessor(set);
      changelog.restoreInto(processor.stores);
      // A first commit may fail before anything was processed.
      if (n % 2 === 0) for (const store of processor.stores) store.drop?.();
      processor.reset?.();
      output = new MemoryOutput();
      i = committed;
    }
  }
  commit(records.length);
  const counted = out.filter(
    (o): o is MemoryOutput["counts"] => typeof o === "object" && o !== null && "accepted" in o,
  );
  const counts = counted.reduce((a, b) => ({
    accepted: a.accepted + b.accepted,
    late: a.late + b.late,
    dead: a.dead + b.dead,
    duplicate: a.duplicate + b.duplicate,
    control: a.control + b.control,
  }));
  return { out: out.filter((o) => !counted.includes(o as never)), counts, changelog: changelog.live };
}

const wide = loadFeatureSet("wide");
const small = compileFeatureSet({
  ...wide.definition,
  name: "small",
  columns: wide.definition.columns.filter(
    (_, i) =>
      i % 4 === 0 && !("ratioOf" in wide.definition.columns[i]!) && !("differenceOf" in wide.definition.columns[i]!),
  ),
});

test.each([
  ["core-37", core37, 150],
  ["a part of wide", small, 250],
])("%s: records taken back, commits that fail and restarts change no bit of what comes out", (_, set, numRuns) => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 24 }), acts, (steps, doing) => {
      const records = recordsOf(steps);
      const plain = runAs(set, records, ["go on"]);
      const hard = runAs(set, records, doing);
      expect(hard.counts).toEqual(plain.counts);
      // Dead letters and rows interleave by commits: each kind in its own order.
      const sorted = (out: readonly unknown[]) =>
        out.toSorted((a, b) => Number("eventId" in (a as object)) - Number("eventId" in (b as object)));
      expect(sorted(hard.out)).toEqual(sorted(plain.out));
    }),
    { numRuns },
  );
});

test("what a commit that failed would have written is written by the next one, and nothing else", () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 2, maxLength: 20 }), fc.nat(), (steps, at) => {
      const records = recordsOf(steps);
      const cut = at % records.length;
      const written = (abort: boolean) => {
        const processor = newProcessor(small);
        const log: string[] = [];
        const flush = () => {
          for (const store of processor.stores)
            store.flush((key, value) => log.push(`${store.name}/${key} ${value?.toString("hex")}`));
        };
        const output = new MemoryOutput();
        for (const record of records.slice(0, cut)) processor.process(record, output);
        flush();
        for (const store of processor.stores) store.merge?.();
        if (abort) {
          for (const record of records.slice(cut)) processor.process(record, output);
          flush();
          for (const store of processor.stores) store.drop?.();
          processor.reset?.();
        }
        log.length = 0;
        for (const record of records.slice(cut)) processor.process(record, output);
        flush();
        return log.sort();
      };
      expect(written(true)).toEqual(written(false));
    }),
    { numRuns: 100 },
  );
});
