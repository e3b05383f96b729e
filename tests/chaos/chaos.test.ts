import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";
import type { Report } from "./harness.ts";

const FAULTS = 20;
const program = fileURLToPath(new URL("./run.ts", import.meta.url));
const dir = mkdtempSync(path.join(tmpdir(), "weir-chaos-test-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

test("twenty faults, half of them at named points, lose, double and change nothing", async () => {
  const record = path.join(dir, "record.md");
  const args = ["--disable-warning=TimeoutNegativeWarning", program, "--json"];
  args.push("--faults", String(FAULTS), "--seed", "20", "--record", record);
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
  let out = "";
  let err = "";
  child.stdout.on("data", (bytes) => {
    out += bytes;
  });
  child.stderr.on("data", (bytes) => {
    err += bytes;
  });
  await new Promise((resolve) => child.once("close", resolve));
  const lines = out.trim().split("\n");
  expect(lines, err).toHaveLength(1);
  const report: Report = JSON.parse(lines[0]!);
  expect(report, err).toMatchObject({ faults: FAULTS, lost: 0, duplicated: 0, different: 0 });
  expect(report.in).toBeGreaterThan(1_000);
  expect(report.out).toBe(report.in);
  const sum = (counts: Readonly<Record<string, number>>) => Object.values(counts).reduce((a, b) => a + b, 0);
  expect(sum(report.kinds)).toBe(FAULTS);
  expect(sum(report.points)).toBe(report.kinds.point);
  expect(report.kinds.point).toBeGreaterThanOrEqual(FAULTS / 2);
  expect(child.exitCode).toBe(0);
  expect(readFileSync(record, "utf8").trimEnd().split("\n").at(-1)).toMatch(/^\| 20\S+ \| 20 \| 1 \| \w+\+? \| 20 \| /);
}, 480_000);
