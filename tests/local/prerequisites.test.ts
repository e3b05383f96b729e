import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type ComponentName, doctor, doctorReport, type Progress, setUp, silentProgress } from "../../local/index.ts";

/** A machine where only those programs are found that a test puts into `bin`. */
let folder: string;
let saved: NodeJS.ProcessEnv;
beforeEach(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), "weir-bare-"));
  saved = { ...process.env };
  process.env.PATH = folder;
  delete process.env.JAVA_HOME;
});
afterEach(() => {
  process.env = saved;
  rmSync(folder, { recursive: true, force: true });
});

function install(program: string, script: string): void {
  const file = path.join(folder, program);
  writeFileSync(file, `#!/bin/sh\n${script}\n`);
  chmodSync(file, 0o755);
}
const java17 = `echo 'openjdk version "17.0.1" 2021' >&2`;
const cacheDir = () => path.join(folder, "cache");
const set = (component: ComponentName, progress: Progress = silentProgress) =>
  setUp({ cacheDir: cacheDir(), components: [component], progress });

describe("the set-up names what is missing and the command that mends it", () => {
  test("no Java", async () => {
    await expect(set("kafka")).rejects.toMatchObject({
      code: "SETUP_NO_JAVA",
      nextStep: expect.stringMatching(/apt-get/),
    });
  });
  test("a Java that is too old", async () => {
    install("java", `echo 'java version "1.8.0_1"' >&2`);
    await expect(set("registry")).rejects.toMatchObject({ code: "SETUP_NO_JAVA", message: "Java 8 is too old." });
  });
  test("no Maven", async () => {
    install("java", java17);
    await expect(set("kafka")).rejects.toMatchObject({
      code: "SETUP_NO_MAVEN",
      nextStep: expect.stringMatching(/maven/),
    });
  });
  test("no Python", async () => {
    await expect(set("triton")).rejects.toMatchObject({ code: "SETUP_NO_PYTHON" });
  });
  test("a Python of the wrong version", async () => {
    install("python3", "echo /usr/bin/python3 3.13.1; exit 1");
    await expect(set("qdrant")).rejects.toMatchObject({ code: "SETUP_NO_PYTHON" });
  });
  test("a registry that can't be reached", async () => {
    install("java", java17);
    install("mvn", `[ "$1" = -v ] && exit 0; echo 'Could not transfer artifact a:b:jar:1: Unknown host'; exit 1`);
    await expect(set("kafka")).rejects.toMatchObject({ code: "SETUP_NO_NETWORK", disposition: "retry" });
    expect(existsSync(path.join(cacheDir(), "kafka", ".weir-stamp"))).toBe(false);
  });
  test("without Go it announces moto's S3 and installs that instead", async () => {
    const notes: string[] = [];
    const progress = { ...silentProgress, note: (text: string) => void notes.push(text) };
    // Python is missing too, which shows that the other environment is tried.
    await expect(set("s3", progress)).rejects.toMatchObject({ code: "SETUP_NO_PYTHON" });
    expect(notes.join()).toMatch(/Go is missing: S3 will be moto's/);
  });
});

describe("the doctor", () => {
  test("finds nothing on a bare machine and tells how to mend each required thing", async () => {
    const checks = await doctor(cacheDir());
    const missing = checks.filter((check) => !check.ok).map((check) => check.name);
    expect(missing).toEqual(
      expect.arrayContaining(["npm", "Java 17+", "Maven", "Python 3.11/3.12", "libpython", "Go"]),
    );
    for (const check of checks) expect(check.fix === "").toBe(check.ok);
    const report = doctorReport(checks);
    expect(report).toMatch(/✗ Java 17\+ +not found\n.*→ .*apt-get install openjdk/);
    expect(report).toMatch(/– Go/);
  });
  test("shows the version of what it finds", async () => {
    install("java", java17);
    const java = (await doctor(cacheDir())).find((check) => check.name === "Java 17+");
    expect(java).toMatchObject({ ok: true, found: expect.stringContaining("17.0.1"), fix: "" });
  });
});
