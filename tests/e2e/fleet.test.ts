import { rmSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadFeatureSet } from "../../processors/index.ts";
import { parityOfRun } from "../parity/run-parity.ts";
import { fleet as sameFleet } from "../parity/telemetries.ts";
import {
  expectCountersToAddUp,
  expectEvidenceToResolve,
  expectLakeToEqualTopics,
  type Finished,
  type Opened,
  reopen,
  results,
  runOnce,
} from "./support.ts";

const fleet = ["--minutes", "120", "--instances", "24", "--seed", "5", "--end", "2026-02-03T12:00:00Z"];
const injected = { late: 12, malformed: 6, duplicate: 15 };
const inject = ["--inject", `late=${injected.late},malformed=${injected.malformed},duplicate=${injected.duplicate}`];

describe("the simulated fleet through the whole pipeline", () => {
  let first: Finished;
  let run: Opened;
  beforeAll(async () => {
    first = await runOnce(...fleet, ...inject);
    run = await reopen(first.runDir);
  }, 400_000);
  afterAll(async () => {
    await run?.stop();
    if (first) rmSync(first.runDir, { recursive: true, force: true });
  });

  test("nothing is lost, and what was injected is found again, each in its own count", () => {
    const { summary } = first;
    expect(summary).toMatchObject({
      lost: 0,
      late: injected.late,
      dead: injected.malformed,
      duplicates: injected.duplicate,
    });
    for (const count of [
      "events",
      "rows",
      "predictions",
      "anomalies",
      "incidents",
      "explanations",
      "parquetRows",
    ] as const)
      expect(summary[count]).toBeGreaterThan(0);
    expect(summary.predictions).toBe(summary.rows);
    expect(summary.explanations).toBe(summary.incidents);
  });

  test("the trouble in it is found, and people are not woken for nothing", () => {
    const { truth } = first.summary;
    expect(truth.incidents).toBeGreaterThan(0);
    expect(truth.found / truth.incidents).toBeGreaterThanOrEqual(0.8);
    expect(truth.falseAlertsPerMachineDay).toBeLessThanOrEqual(2);
  });

  test("every stage's counters add up, and agree with what lies in the topics", () => expectCountersToAddUp(run));

  test("the Parquet files hold the features topic bit for bit, and every raw event", () =>
    expectLakeToEqualTopics(run, () => loadFeatureSet("core-37").columns));

  test("backfills from S3 and from Kafka, the trainer's data set and SQL give the rows of the features topic", async () => {
    const same = { instances: 24, minutes: 120, seed: 5, set: "core-37", endMs: Date.UTC(2026, 1, 3, 12) };
    const result = await parityOfRun(sameFleet({ ...same, inject: injected }), run);
    expect(result.faults).toEqual([]);
    expect(result.cells).toBe(37 * first.summary.rows);
  });

  test("each anomaly's evidence names records of its entity and its window", () => expectEvidenceToResolve(run));

  test("the same input again gives the same summary, rows, scores, anomalies and incidents", async () => {
    const before = await results(run);
    await run.stop();
    const second = await runOnce(...fleet, ...inject, "--texts", "0");
    expect({ ...second.summary, seconds: 0 }).toEqual({ ...first.summary, seconds: 0 });
    const again = await reopen(second.runDir);
    try {
      expect(await results(again)).toEqual(before);
    } finally {
      await again.stop();
      rmSync(second.runDir, { recursive: true, force: true });
    }
  }, 400_000);

  test("an event that was never sent is missed by the audit", async () => {
    const { summary, runDir } = await runOnce(
      "--texts",
      "0",
      "--minutes",
      "30",
      "--instances",
      "4",
      "--inject",
      "late=0,malformed=0,duplicate=0,drop=1",
    );
    rmSync(runDir, { recursive: true, force: true });
    expect(summary).toMatchObject({ lost: 1, late: 0, dead: 0, duplicates: 0 });
  }, 300_000);
});
