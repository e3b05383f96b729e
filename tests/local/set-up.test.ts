import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { tryLock } from "../../local/lock.ts";
import type { Progress } from "../../local/progress.ts";
import { javaMajor } from "../../local/setup/prerequisites.ts";
import { commandFailure } from "../../local/setup/run-command.ts";
import { isDone, runSteps, type Step } from "../../local/setup/run-steps.ts";

let cacheDir: string;
let said: string[];
let ran: string[];
const progress: Progress = {
  begin: (task) => said.push(`begin ${task}`),
  done: (task) => said.push(`done ${task}`),
  failed: (task) => said.push(`failed ${task}`),
  note: (text) => said.push(text),
  close() {},
};

beforeEach(() => {
  cacheDir = mkdtempSync(path.join(os.tmpdir(), "weir-set-up-"));
  said = [];
  ran = [];
});
afterEach(() => rmSync(cacheDir, { recursive: true, force: true }));

/** A step that writes `content` into a file. */
function step(name: string, more: Partial<Step> = {}): Step {
  return {
    name,
    lane: name,
    inputs: () => ["1"],
    isUsable: (dir) => existsSync(path.join(dir, "file")),
    async run({ dir }) {
      ran.push(name);
      writeFileSync(path.join(dir, "file"), name);
    },
    ...more,
  };
}
const go = (steps: Step[], signal?: AbortSignal) =>
  runSteps(steps, { cacheDir, progress, ...(signal ? { signal } : {}) });

describe("a cache", () => {
  test("is filled once and says nothing the second time", async () => {
    await go([step("a"), step("b")]);
    expect(said).toContain("done a");
    said = [];
    await go([step("a"), step("b")]);
    expect(ran.toSorted()).toEqual(["a", "b"]);
    expect(said).toEqual([]);
  });

  test("that is half-written is emptied and written anew", async () => {
    const dir = path.join(cacheDir, "a");
    mkdirSync(dir);
    writeFileSync(path.join(dir, "file"), "half");
    writeFileSync(path.join(dir, "left-over"), "");
    await go([step("a")]);
    expect(readFileSync(path.join(dir, "file"), "utf8")).toBe("a");
    expect(existsSync(path.join(dir, "left-over"))).toBe(false);
  });

  test("is redone when the inputs of its step change", async () => {
    await go([step("a")]);
    await go([step("a", { inputs: () => ["2"] })]);
    expect(ran).toEqual(["a", "a"]);
  });

  test("is redone when what was installed has gone, stamp or not", async () => {
    await go([step("a")]);
    rmSync(path.join(cacheDir, "a", "file"));
    await go([step("a")]);
    expect(ran).toEqual(["a", "a"]);
  });

  test("is not stamped by a step that fails half-way, and keeps the finished ones", async () => {
    const failing = step("b", {
      lane: "a",
      async run({ dir, run }) {
        writeFileSync(path.join(dir, "file"), "half");
        await run("sh", ["-c", "echo the reason; exit 3"]);
      },
    });
    await expect(go([step("a"), failing])).rejects.toMatchObject({
      code: "SETUP_STEP_FAILED",
      message: expect.stringContaining("the reason"),
    });
    expect(isDone(step("a"), cacheDir)).toBe(true);
    expect(isDone(failing, cacheDir)).toBe(false);
    expect(said).toContain("failed b");
    await go([step("a"), step("b")]);
    expect(ran).toEqual(["a", "b"]);
  });

  test("is not stamped by a step that ends well without having installed anything", async () => {
    await expect(go([step("a", { run: async () => {} })])).rejects.toMatchObject({ code: "SETUP_STEP_FAILED" });
    expect(isDone(step("a"), cacheDir)).toBe(false);
  });
});

describe("lanes", () => {
  test("run side by side, the steps of one after the other", async () => {
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const first = step("first", {
      lane: "x",
      async run({ dir }) {
        await held;
        writeFileSync(path.join(dir, "file"), "");
      },
    });
    const second = step("second", { lane: "x" });
    const other = step("other", {
      lane: "y",
      async run({ dir }) {
        writeFileSync(path.join(dir, "file"), "");
        expect(ran).toEqual([]);
        release();
      },
    });
    await go([first, second, other]);
    expect(ran).toEqual(["second"]);
  });

  test("are all stopped by the first failure, whose error is the one thrown", async () => {
    const pids = path.join(cacheDir, "pid");
    const long = step("long", { run: ({ run }) => run("sh", ["-c", `echo $$ > ${pids}; exec sleep 600`]) });
    const failing = step("failing", {
      async run({ run }) {
        await run("sh", ["-c", `until [ -s ${pids} ]; do :; done; echo why; exit 1`]);
      },
    });
    await expect(go([long, failing])).rejects.toMatchObject({ message: expect.stringContaining("why") });
    expect(existsSync(`/proc/${readFileSync(pids, "utf8").trim()}`)).toBe(false);
  });

  test("are stopped by the caller's signal", async () => {
    const interrupt = new AbortController();
    const long = step("long", {
      async run({ run }) {
        setImmediate(() => interrupt.abort());
        await run("sleep", ["600"]);
      },
    });
    await expect(go([long], interrupt.signal)).rejects.toThrow(/abort/i);
    expect(isDone(long, cacheDir)).toBe(false);
  });
});

test("a step that this machine can do without is announced and left out", async () => {
  await go([step("a", { unavailable: async () => "no compiler here" })]);
  expect(ran).toEqual([]);
  expect(said).toEqual(["  ! no compiler here"]);
});

test("a second set-up waits for the first and then finds everything done", async () => {
  let release = () => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  const slow = step("a", {
    async run({ dir }) {
      ran.push("a");
      await held;
      writeFileSync(path.join(dir, "file"), "");
    },
  });
  const both = [go([slow]), go([slow])];
  await expect.poll(() => said.some((line) => line.includes("waiting for another set-up"))).toBe(true);
  release();
  await Promise.all(both);
  expect(ran).toEqual(["a"]);
});

test("a lock is taken over from a dead holder, also when its pid went to another process", () => {
  const file = path.join(cacheDir, "lock");
  writeFileSync(file, JSON.stringify({ pid: process.pid, startTicks: "1" }));
  expect(tryLock(file)).toBe(true);
  expect(tryLock(file)).toBe(false);
  writeFileSync(file, "{");
  expect(tryLock(file)).toBe(true);
});

describe("a failure is told by its cause", () => {
  test.each([
    ["SETUP_DISK_FULL", "OSError: [Errno 28] No space left on device"],
    ["SETUP_DISK_FULL", "npm error code ENOSPC"],
    ["SETUP_NO_NETWORK", "Could not transfer artifact org.apache.kafka:kafka_2.13:jar:4.4.0"],
    ["SETUP_NO_NETWORK", "dial tcp: lookup host: Temporary failure in name resolution"],
    ["SETUP_NO_NETWORK", "npm error code ENOTFOUND"],
    ["SETUP_STEP_FAILED", "error: something else"],
  ])("%s: %s", (code, tail) => {
    const error = commandFailure("tool", "exit 1", tail, "/x.log");
    expect(error.code).toBe(code);
    expect(error.message).toContain(tail);
    expect(error.nextStep).not.toBe("");
  });

  test("a program that is missing is named", async () => {
    const missing = step("a", { run: ({ run }) => run("no-such-program-here", []) });
    await expect(go([missing])).rejects.toThrow(/no-such-program-here/);
  });
});

test("Java's version is read in its old and its new form", () => {
  expect(javaMajor('openjdk version "17.0.15" 2025-04-15')).toBe(17);
  expect(javaMajor('java version "1.8.0_392"')).toBe(8);
  expect(javaMajor('openjdk version "25" 2025-09-16')).toBe(25);
  expect(javaMajor("no java")).toBeNull();
});
