import fc from "fast-check";
import { expect, test } from "vitest";
import { encodeFile } from "../../sinks/lake/encoder.ts";
import { encodeParquet } from "../../sinks/lake/parquet.ts";
import { Patience } from "../../sinks/lake/patience.ts";
import { columnsOf, FeatureRows, RawRows, transferOf } from "../../sinks/lake/rows.ts";
import { TextPile, textsOf } from "../../sinks/lake/text-pile.ts";
import { WeirError } from "../../streams/index.ts";
import { columnNames, featureBatch, logBatch, minuteMs, startMs } from "./logs.ts";

test("texts come back from a pile as they went in, whatever chunks they fell into", () => {
  const text = fc.oneof(
    fc.string({ unit: "grapheme" }),
    fc.nat(200_000).map((n) => "é".repeat(n)),
  );
  fc.assert(
    fc.property(fc.array(text, { maxLength: 12 }), (texts) => {
      const pile = new TextPile();
      for (const t of texts) pile.append(t);
      expect(textsOf(pile.take())).toEqual(texts);
    }),
  );
});

const files = {
  features: () => {
    const rows = new FeatureRows(columnNames);
    for (let m = 0; m < 50; m++) rows.append(m, featureBatch(startMs + m * minuteMs, ["a", "b", "ü"]));
    return rows.take(3);
  },
  raw: () => {
    const rows = new RawRows();
    for (let m = 0; m < 50; m++)
      rows.append(m, { batch: logBatch(startMs, [startMs, startMs + 1, startMs + 2], `r${m}`), indexes: [0, 2] });
    return rows.take(3);
  },
};

test.each(["features", "raw"] as const)("a file of %s is the same from the thread as from here", async (kind) => {
  const here = encodeParquet(columnsOf(files[kind]()), { a: "b" });
  const file = files[kind]();
  const memory = transferOf(file);
  expect(memory.length).toBeGreaterThan(0);
  expect(Buffer.from(await encodeFile(file, { a: "b" })).equals(here)).toBe(true);
  // Handed over, not copied.
  expect(memory.map((m) => m.byteLength)).toEqual(memory.map(() => 0));
});

test("a file that cannot be made is an error of that file, and the thread goes on", async () => {
  const broken = { ...files.features(), names: undefined } as never;
  const failed = expect(encodeFile(broken, {})).rejects.toThrow();
  expect((await encodeFile(files.raw(), {})).length).toBeGreaterThan(0);
  await failed;
});

test("a fault that may pass is borne with for ever, in pauses of ten seconds at most, with a line a minute", async () => {
  let nowMs = 0;
  const pauses: number[] = [];
  const lines: string[] = [];
  const patience = new Patience({
    signal: new AbortController().signal,
    log: (line) => lines.push(line),
    monotonicMs: () => nowMs,
    pause: async (ms) => {
      pauses.push(ms);
      nowMs += ms;
    },
  });
  await patience.with(async () => {
    if (nowMs < 3_600_000) throw new WeirError("LAKE_UNREACHABLE", "retry", "away", "wait");
    expect(patience.problem).toContain("LAKE_UNREACHABLE");
  });
  expect(patience.problem).toBeUndefined();
  expect(pauses.slice(0, 4)).toEqual([200, 400, 800, 1_600]);
  expect(Math.max(...pauses)).toBe(10_000);
  expect(lines.length).toBeGreaterThan(50);
  expect(lines.length).toBeLessThanOrEqual(61);
  const fatal = new WeirError("LAKE_REFUSED", "fatal", "no", "none");
  await expect(patience.with(() => Promise.reject(fatal))).rejects.toBe(fatal);
});
