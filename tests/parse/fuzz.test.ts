import { expect, test } from "vitest";
import { parseEvent, parseFlaws } from "../../processors/parse/index.ts";
import { corpus, lines } from "./corpus.ts";
import { fuzz, mutatedRecords } from "./fuzz.ts";

test("a million mutated records neither throw, hang, grow what is kept, nor give anything the types do not allow", () => {
  const { outcomes, records, continued } = fuzz(20_240_102, 1_000_000);
  expect(records).toBe(1_000_000);
  expect([...outcomes.values()].reduce((sum, n) => sum + n)).toBe(records);
  // The mutations reach the readers: both kinds, and every code but those that need a megabyte.
  expect(outcomes.get("metrics in order")).toBeGreaterThan(10_000);
  expect(continued).toBeGreaterThan(10_000);
  for (const flaw of parseFlaws) {
    if (flaw === "too_long" || flaw === "json_too_deep") continue;
    expect(outcomes.get(`log ${flaw}`), flaw).toBeGreaterThan(100);
  }
}, 300_000);

test("records are the same for the same seed, and others for another", () => {
  expect([...mutatedRecords(5, 50)]).toEqual([...mutatedRecords(5, 50)]);
  expect([...mutatedRecords(5, 50)]).not.toEqual([...mutatedRecords(6, 50)]);
});

test("what the records are made of is in order itself", () => {
  for (const { group, message } of corpus) {
    const parsed = parseEvent(group, "stream", message, 1_704_164_645_000);
    expect(parsed, message).not.toHaveProperty("flaw");
    expect(parsed.kind, message).toBe(lines.some((l) => l.message === message) ? "log" : "metrics");
  }
});
