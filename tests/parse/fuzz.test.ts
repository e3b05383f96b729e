import { expect, test } from "vitest";
import { parseEvent } from "../../processors/parse/index.ts";
import { corpus, lines } from "./corpus.ts";
import { fuzz, mutatedRecords } from "./fuzz.ts";

test("20,000 mutated records neither throw nor give anything the types do not allow", () => {
  const { outcomes, records } = fuzz(20_240_102, 20_000);
  expect([...outcomes.values()].reduce((sum, n) => sum + n)).toBe(records);
  // The mutations reach the readers: both kinds, and most codes.
  expect(outcomes.get("metrics in order")).toBeGreaterThan(100);
  for (const flaw of ["emf_shape", "json_broken", "syslog_shape", "nul_bytes", "not_utf8", "time_range"]) {
    expect(outcomes.get(`log ${flaw}`), flaw).toBeGreaterThan(10);
  }
});

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
