import { existsSync, rmSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { featureSetOf } from "../../commands/clients.ts";
import {
  dataDir,
  expectCountersToAddUp,
  expectEvidenceToResolve,
  expectLakeToEqualTopics,
  type Finished,
  type Opened,
  reopen,
  results,
  runOnce,
} from "./support.ts";

const smd = path.join(dataDir, "smd");
const machines = ["machine-1-6", "machine-2-4", "machine-3-4"];
if (!existsSync(smd)) console.log(`NOT RUN: replay of recorded machines, because ${smd} is absent (set WEIR_DATA).`);

describe.runIf(existsSync(smd))("three recorded machines through the whole pipeline", () => {
  const args = ["--replay", smd, "--machines", machines.join(","), "--texts", "0"];
  let first: Finished;
  let run: Opened;
  beforeAll(async () => {
    first = await runOnce(...args);
    run = await reopen(first.runDir);
  }, 900_000);
  afterAll(async () => {
    await run?.stop();
    if (first) rmSync(first.runDir, { recursive: true, force: true });
  });

  test("every recorded minute goes through, nothing is lost, late, dead or doubled", () => {
    const { summary } = first;
    expect(summary).toMatchObject({ lost: 0, late: 0, dead: 0, duplicates: 0 });
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
    expect(summary.truth.incidents).toBeGreaterThan(0);
    expect(summary.truth.found).toBeGreaterThan(0);
  });

  test("one row a quarter of an hour, and only the exam's rows are scored", () => {
    const { events, rows, predictions } = first.summary;
    expect(Math.abs(rows - events / 15)).toBeLessThanOrEqual(machines.length * 2);
    expect(predictions / rows).toBeCloseTo(0.2, 1);
  });

  test("every stage's counters add up, and agree with what lies in the topics", () => expectCountersToAddUp(run));
  test("the Parquet files hold the features topic bit for bit, and every raw event", () =>
    expectLakeToEqualTopics(run, replayColumns));
  test("each anomaly's evidence names records of its entity and its window", () => expectEvidenceToResolve(run));

  test("the same recording again gives the same rows, scores, anomalies and incidents", async () => {
    const before = await results(run);
    await run.stop();
    const second = await runOnce(...args);
    const again = await reopen(second.runDir);
    try {
      expect(await results(again)).toEqual(before);
    } finally {
      await again.stop();
      rmSync(second.runDir, { recursive: true, force: true });
    }
  }, 900_000);

  function replayColumns(): readonly string[] {
    return featureSetOf({ featureSet: path.join(first.runDir, "feature-set.json") }).columns;
  }
});
