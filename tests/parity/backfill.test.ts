import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { jobOf, runLanes, withDuckDb } from "../../commands/backfill/index.ts";
import { lakeLane } from "../../commands/backfill/lake-lane.ts";
import { rawFilesOf } from "../../commands/backfill/raw-files.ts";
import { fleetRounds, planFleet } from "../../local/fleet/index.ts";
import { loadFeatureSet, readFeatureSet } from "../../processors/index.ts";
import { compare, nothingCompared, sameFloat32 } from "./rows.ts";
import { odd } from "./telemetries.ts";
import { GRACE_MS, type Telemetry } from "./telemetry.ts";
import { fromLake, fromTopic, lanesInMemory, online, rowsIn, writeRawFiles } from "./ways.ts";

const HOUR = 3_600_000;
const startMs = Date.UTC(2026, 0, 4, 21);
const endMs = startMs + 6 * HOUR;
const inject = { late: 30, malformed: 5, duplicate: 40, drop: 0 };
const fleetOf = (instances: number): Telemetry => {
  const plan = planFleet({ seed: 3, instances, startMs, endMs, inject });
  const rounds = () => fleetRounds(plan);
  return { name: "fleet", featureSet: loadFeatureSet("core-37"), fromMs: startMs, toMs: endMs - 60_000, rounds };
};
const whole = fleetOf(6);
const few = fleetOf(1);

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(path.join(tmpdir(), "weir-backfill-test-"));
  writeRawFiles(whole, dir);
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const filesOf = (out: string): Map<string, string> =>
  new Map(
    (existsSync(path.join(out, "processed-logs"))
      ? (readdirSync(path.join(out, "processed-logs"), { recursive: true }) as string[])
      : []
    )
      .filter((name) => name.endsWith(".parquet"))
      .sort()
      .map((name) => [name, readFileSync(path.join(out, "processed-logs", name)).toString("base64")]),
  );

/** Runs the lake backfill and stops it after so many hours. */
async function interrupted(of: Telemetry, raw: string, out: string, afterHours: number): Promise<void> {
  const stop = new AbortController();
  const job = jobOf(of.featureSet, GRACE_MS, of.fromMs, of.toMs);
  let hours = 0;
  await withDuckDb(async (db) => {
    const onHour = () => ++hours === afterHours && stop.abort(new Error("stopped"));
    const run = runLanes([lakeLane(db, rawFilesOf(raw), job)], job, "lake", out, () => onHour(), stop.signal);
    await expect(run).rejects.toThrow("stopped");
  });
}

describe("a backfill", () => {
  test("from raw files and from the topic gives the rows of the stage, bit for bit, late and double events included", async () => {
    const seen = nothingCompared();
    compare(
      [
        { name: "online", rows: online(whole, 300), equal: sameFloat32 },
        { name: "lake", rows: await fromLake(whole, rawFilesOf(dir), path.join(dir, "a")), equal: sameFloat32 },
        { name: "topic", rows: await fromTopic(whole, lanesInMemory(whole), path.join(dir, "b")), equal: sameFloat32 },
      ],
      whole.featureSet,
      seen,
    );
    expect(seen.faults).toEqual([]);
    expect(seen.cells).toBeGreaterThan(60_000);
  });

  test("of a part of the time gives that part of the rows: its first row has its past", async () => {
    const part: Telemetry = { ...whole, fromMs: startMs + 2.5 * HOUR, toMs: startMs + 3.5 * HOUR };
    const seen = nothingCompared();
    const rows = await fromLake(part, rawFilesOf(dir), path.join(dir, "part"));
    compare(
      [
        { name: "online", rows: online(part), equal: sameFloat32 },
        { name: "lake", rows, equal: sameFloat32 },
      ],
      whole.featureSet,
      seen,
    );
    expect(seen.faults).toEqual([]);
    expect(rows.size).toBeGreaterThan(300);
  });

  test("of a part of the time reads a day and more before it where rows look back on a day", async () => {
    const core = readFeatureSet("core-37");
    const figure = (day: "mean" | "deviation") => ({ name: `cpu_day_${day}`, signal: "cpu", day });
    const sameHour = { name: "cpu_same_hour", signal: "cpu", sameHour: "change" } as const;
    const columns = [...core.columns, figure("mean"), figure("deviation"), sameHour];
    const { telemetry } = odd("core-37", 0, { ...core, name: "with-day", columns });
    const part = { ...telemetry, fromMs: telemetry.fromMs + 25.5 * HOUR, toMs: telemetry.fromMs + 26.5 * HOUR };
    const raw = mkdtempSync(path.join(dir, "day-"));
    writeRawFiles(telemetry, raw);
    const seen = nothingCompared();
    const rows = await fromLake(part, rawFilesOf(raw), path.join(raw, "out"));
    const ways = { online: online(part), lake: rows };
    compare(
      Object.entries(ways).map(([name, of]) => ({ name, rows: of, equal: sameFloat32 })),
      part.featureSet,
      seen,
    );
    expect(seen.faults).toEqual([]);
    expect(rows.size).toBeGreaterThan(150);
  });

  test.each([
    ["hours that fill a file", whole, 4],
    ["hours that do not, so that files go to midnight", few, 2],
  ])("stopped at any time and started again gives the same files, byte for byte: %s", async (_, of, files) => {
    const raw = mkdtempSync(path.join(dir, "stopped-"));
    writeRawFiles(of, raw);
    await fromLake(of, rawFilesOf(raw), path.join(raw, "wanted"));
    const wanted = filesOf(path.join(raw, "wanted"));
    expect(wanted.size).toBeGreaterThanOrEqual(files);
    for (const afterHours of [1, 5, 8]) {
      const out = path.join(raw, `after-${afterHours}`);
      await interrupted(of, raw, out, afterHours);
      expect(filesOf(out).size).toBeLessThan(wanted.size);
      await fromLake(of, rawFilesOf(raw), out);
      expect(filesOf(out)).toEqual(wanted);
    }
  });

  test("that is done is not done again", async () => {
    const out = path.join(dir, "a");
    const hours: string[] = [];
    const job = jobOf(whole.featureSet, GRACE_MS, whole.fromMs, whole.toMs);
    await withDuckDb(async (db) => {
      const lane = lakeLane(db, async () => [], job);
      const counts = await runLanes([lane], job, "lake", out, (p) => hours.push(p.lane), new AbortController().signal);
      expect(counts.rows).toBe((await rowsIn(out, whole.featureSet)).size);
      // What the fleet put in on purpose comes out in the counts.
      expect(counts.duplicate).toBe(inject.duplicate);
      expect(counts.late).toBe(inject.late);
    });
    expect(hours).toEqual([]);
  });

  test("refuses a folder of another backfill, and a time without files", async () => {
    const other = { ...whole, toMs: whole.toMs - HOUR };
    await expect(fromLake(other, rawFilesOf(dir), path.join(dir, "a"))).rejects.toMatchObject({
      code: "BACKFILL_STATE",
    });
    const never = { ...whole, fromMs: startMs - 1_000 * HOUR, toMs: startMs - 999 * HOUR };
    await expect(fromLake(never, rawFilesOf(dir), path.join(dir, "never"))).rejects.toMatchObject({
      code: "BACKFILL_NO_INPUT",
    });
  });
});
