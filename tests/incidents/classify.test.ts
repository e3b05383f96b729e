import { expect, test } from "vitest";
import { addContributions, aspectOf, severityOf, typeOf } from "../../processors/incidents/classify.ts";

test.each([
  ["cpu_mean", "cpu"],
  ["load_1", "cpu"],
  ["memory_slope", "memory"],
  ["mem_u_e", "memory"],
  ["si", "memory"],
  ["disk_read_ops", "disk"],
  ["disk_rb__mean_15", "disk"],
  ["network_in_sum", "network"],
  ["eth1_fi", "network"],
  ["tcp_timeouts", "network"],
  ["in_errs", "network"],
  ["error_count", "errors"],
  ["error_ratio", "errors"],
  ["hour_of_day", null],
])("feature %s is about %s", (name, aspect) => {
  expect(aspectOf(name)).toBe(aspect);
});

test("half of the contributions name the type, less is mixed, none is mixed", () => {
  const row = (cpu: number, memory: number, disk: number) =>
    addContributions({}, [
      { name: "cpu_mean", value: 0, contribution: cpu },
      { name: "memory_mean", value: 0, contribution: memory },
      { name: "disk_read_ops", value: 0, contribution: disk },
    ]);
  expect(typeOf(row(1, 2, 1))).toBe("memory");
  expect(typeOf(row(1, 1.9, 1))).toBe("mixed");
  expect(typeOf(row(0, -1, 0))).toBe("mixed");
  expect(typeOf({})).toBe("mixed");
});

test("a contribution that speaks against the anomaly counts nothing", () => {
  const sums = addContributions({}, [
    { name: "cpu_mean", value: 0, contribution: 1 },
    { name: "memory_mean", value: 0, contribution: -9 },
  ]);
  expect(sums).toEqual({ cpu: 1 });
});

test("score, members and duration raise the severity one step each", () => {
  const base = { maxScore: 0.9, members: 1, durationMs: 0, silent: false };
  expect(severityOf(base)).toBe("low");
  expect(severityOf({ ...base, maxScore: 0.95 })).toBe("medium");
  expect(severityOf({ ...base, maxScore: 0.95, members: 3 })).toBe("high");
  expect(severityOf({ ...base, maxScore: 0.95, members: 3, durationMs: 30 * 60_000 })).toBe("critical");
  expect(severityOf({ ...base, silent: true })).toBe("medium");
});
