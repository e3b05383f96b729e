import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const hooks = fileURLToPath(new URL("./hooks.ts", import.meta.url));
/** Passes the same step five times, as a stage would tell it, and says so each time. */
const program = `
  import { channel } from "node:diagnostics_channel";
  for (let i = 1; i <= 5; i++) {
    channel("weir:step").publish({ stage: "features", step: "C5" });
    process.stdout.write(String(i));
  }`;

async function run(armed: object) {
  const dir = mkdtempSync(path.join(tmpdir(), "weir-hooks-"));
  const file = path.join(dir, "arm");
  writeFileSync(file, JSON.stringify(armed));
  const child = spawn(process.execPath, ["--import", hooks, "--input-type=module", "-e", program], {
    env: { ...process.env, WEIR_CHAOS_ARM: file },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let said = "";
  child.stdout.on("data", (bytes) => {
    said += bytes;
  });
  const signal = await new Promise((resolve) => child.once("close", (_, by) => resolve(by)));
  const hit = existsSync(`${file}.hit`);
  rmSync(dir, { recursive: true, force: true });
  return { said, signal, hit };
}

test("a process dies the moment it passes the armed point for the k-th time", async () => {
  expect(await run({ number: 1, stage: "features", step: "C5", passes: 3 })).toEqual({
    said: "12",
    signal: "SIGKILL",
    hit: true,
  });
});

test("points of other stages and steps are passed unharmed", async () => {
  expect(await run({ number: 1, stage: "score", step: "C5", passes: 1 })).toEqual({
    said: "12345",
    signal: null,
    hit: false,
  });
});
