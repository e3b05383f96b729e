import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import {
  noInjection,
  pace,
  readTruth,
  type TelemetryRound,
  writeTopology,
  writeTruth,
} from "../../local/fleet/index.ts";

const rounds = [600_000, 1_200_000, 1_800_000].map(
  (clockMs): TelemetryRound => ({ clockMs, records: [], injected: noInjection }),
);

async function arrivals(speed: number, busyMs: number): Promise<number[]> {
  let nowMs = 5_000;
  const clock = {
    nowMs: () => nowMs,
    sleep: async (ms: number) => {
      nowMs += ms;
    },
  };
  const at: number[] = [];
  for await (const _ of pace(rounds, speed, 0, clock)) {
    at.push(nowMs - 5_000);
    nowMs += busyMs;
  }
  return at;
}

test("at speed 60 ten simulated minutes pass in ten seconds", async () => {
  expect(await arrivals(60, 100)).toEqual([10_000, 20_000, 30_000]);
});

test("at speed 1 they take ten minutes", async () => {
  expect(await arrivals(1, 0)).toEqual([600_000, 1_200_000, 1_800_000]);
});

test("at speed 0 nothing waits", async () => {
  expect(await arrivals(0, 7)).toEqual([0, 7, 14]);
});

test("a reader that fell behind catches up without waiting", async () => {
  expect(await arrivals(60, 12_000)).toEqual([10_000, 22_000, 34_000]);
});

test("truth and topology are written as JSON that reads back the same", () => {
  const dir = mkdtempSync(join(tmpdir(), "weir-truth-"));
  try {
    const incidents = [{ entity: "i-1", entityGroup: "cart", kind: "lock-storm", startMs: 1, endMs: 2 }];
    writeTruth(join(dir, "run/truth.json"), incidents);
    expect(readTruth(join(dir, "run/truth.json"))).toEqual(incidents);
    writeTopology(join(dir, "topology.json"), { "i-1": "cart" });
    expect(JSON.parse(readFileSync(join(dir, "topology.json"), "utf8"))).toEqual({ "i-1": "cart" });
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});
