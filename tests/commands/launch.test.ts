import { spawn, spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { flags } from "../../bin/flags.mjs";
import { until } from "../support/kafka.ts";

const weir = fileURLToPath(new URL("../../bin/weir.mjs", import.meta.url));
const childrenOf = (pid: number) =>
  readdirSync("/proc").filter((entry) => {
    if (!/^\d+$/.test(entry)) return false;
    try {
      return readFileSync(`/proc/${entry}/status`, "utf8").includes(`\nPPid:\t${pid}\n`);
    } catch {
      return false; // ended meanwhile
    }
  });

test("Node takes the flags that Weir is started with", () => {
  const { status, stderr } = spawnSync(process.execPath, [...flags, "-e", ""], { encoding: "utf8" });
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
});

test("`weir` starts its process with a bounded young generation, and so do the children that it forks", async () => {
  // A registry that does not answer: the process is there, and waits or ends, but does nothing.
  const env = { ...process.env, WEIR_KAFKA_BROKERS: "127.0.0.1:1", WEIR_REGISTRY_URL: "http://127.0.0.1:1" };
  const launcher = spawn(process.execPath, [weir, "run", "features", "--processes", "1"], { env, stdio: "ignore" });
  const ended = new Promise((resolve) => launcher.once("exit", resolve));
  const commands = new Set<string>();
  const look = (pid: string | number) => {
    for (const child of childrenOf(Number(pid))) {
      try {
        commands.add(readFileSync(`/proc/${child}/cmdline`, "utf8").replaceAll("\0", " "));
      } catch {
        continue;
      }
      look(child);
    }
  };
  try {
    await until("its process and a child of that one run", () => {
      look(launcher.pid!);
      return [...commands].some((c) => c.includes("--child"));
    });
  } finally {
    launcher.kill("SIGTERM");
    await ended;
  }
  const ours = [...commands].filter((c) => c.includes("main.ts"));
  expect(ours.length).toBeGreaterThanOrEqual(2);
  for (const command of ours) expect(command).toContain(" --max-semi-space-size=16 ");
});
