import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Component, ComponentContext } from "../../local/components/component.ts";
import { accepts, freePorts } from "../../local/net.ts";
import { endGroup, identify, isRunning } from "../../local/processes.ts";
import { Supervised } from "../../local/supervisor.ts";

let runDir: string;
let open: { stop(): Promise<void> }[];
beforeEach(() => {
  runDir = mkdtempSync(path.join(os.tmpdir(), "weir-supervisor-"));
  open = [];
});
afterEach(async () => {
  await Promise.all(open.map((one) => one.stop()));
  rmSync(runDir, { recursive: true, force: true });
});

/** A component whose program is a line of JavaScript; `port` is its port. */
function scripted(script: (context: ComponentContext) => string, more: Partial<Component> = {}): Component {
  return {
    portCount: 1,
    startTimeoutMs: 20_000,
    async launch(context) {
      const [port] = context.ports;
      return {
        command: process.execPath,
        args: ["-e", `const port = ${port}; ${script(context)}`],
        endpoints: { qdrant: `http://127.0.0.1:${port}` },
        isReady: () => accepts(port!),
      };
    },
    ...more,
  };
}
const listening = "require('net').createServer().listen(port, '127.0.0.1');";

function supervise(component: Component): Supervised {
  const one = new Supervised({ name: "thing", component, cacheDir: runDir, runDir, shards: 1 });
  open.push(one);
  return one;
}
async function start(component: Component): Promise<Supervised> {
  const one = supervise(component);
  await (await one.start(new AbortController().signal))();
  return one;
}

describe("a component", () => {
  test("is running once it answers, and neither process nor pid file is left after stop", async () => {
    const one = await start(scripted(() => listening));
    const { pid, port, state } = one.status();
    expect(state).toBe("running");
    expect(identify(pid)).not.toBeNull();
    expect(await accepts(port)).toBe(true);
    await one.stop();
    expect(identify(pid)).toBeNull();
    expect(existsSync(one.pidFile)).toBe(false);
    expect(one.status().state).toBe("stopped");
  });

  test("that dies while starting is told with the last lines of its log", async () => {
    const one = supervise(scripted(() => "console.error('the data folder is broken'); process.exit(9)"));
    const ready = await one.start(new AbortController().signal);
    await expect(ready()).rejects.toMatchObject({
      code: "LOCAL_COMPONENT_FAILED",
      message: expect.stringMatching(/exit 9[\s\S]*the data folder is broken/),
    });
    expect(one.status().state).toBe("failed");
    expect(existsSync(one.pidFile)).toBe(false);
  });

  test("that never answers is stopped at its time-out", async () => {
    const one = supervise(scripted(() => "setInterval(() => {}, 1000)", { startTimeoutMs: 300 }));
    const ready = await one.start(new AbortController().signal);
    await expect(ready()).rejects.toThrow(/not ready after 0.3 s/);
    expect(identify(one.status().pid)).toBeNull();
  });

  test("whose program is missing is told so", async () => {
    const component = scripted(() => "");
    const launch = async (context: ComponentContext) => ({
      ...(await component.launch(context)),
      command: path.join(runDir, "no-such-program"),
    });
    const ready = await supervise({ ...component, launch }).start(new AbortController().signal);
    await expect(ready()).rejects.toThrow(/no-such-program.*ENOENT|ENOENT.*no-such-program/);
  });

  test("whose port was taken meanwhile gets another one", async () => {
    const thief = createServer();
    const launched: number[] = [];
    const component: Component = scripted(() => listening);
    const one = await start({
      ...component,
      async launch(context) {
        const [port] = context.ports;
        if (launched.push(port!) === 1) {
          thief.listen(port, "127.0.0.1");
          await once(thief, "listening");
        }
        // The thief accepts connections as well: only the component's own word counts.
        const isReady = async () => port !== launched[0] && (await accepts(port!));
        return { ...(await component.launch(context)), isReady };
      },
    });
    thief.close();
    expect(launched).toHaveLength(2);
    expect(one.status().port).toBe(launched[1]);
    expect(one.endpoints.qdrant).toContain(String(launched[1]));
  });

  test("that dies later is shown as failed", async () => {
    const one = await start(scripted(() => listening));
    process.kill(one.status().pid, "SIGKILL");
    await expect.poll(() => one.status().state).toBe("failed");
  });

  test("keeps the log of the run before", async () => {
    const component = scripted(() => `console.log('hello'); ${listening}`);
    await (await start(component)).stop();
    const second = await start(component);
    expect(readFileSync(`${second.logFile}.before`, "utf8")).toContain("hello");
  });
});

describe("a stale pid file", () => {
  test("of a process that is gone is no obstacle", async () => {
    writeFileSync(path.join(runDir, "thing.pid"), JSON.stringify({ pid: 2 ** 22 + 1, startTicks: "1" }));
    expect((await start(scripted(() => listening))).status().state).toBe("running");
  });

  test("does not harm another process that was given the same pid", async () => {
    const stranger = spawn("sleep", ["600"], { detached: true, stdio: "ignore" });
    writeFileSync(path.join(runDir, "thing.pid"), JSON.stringify({ pid: stranger.pid, startTicks: "1" }));
    await start(scripted(() => listening));
    expect(identify(stranger.pid!)).not.toBeNull();
    stranger.kill("SIGKILL");
  });

  test("of a component that outlived its stack ends that one first", async () => {
    const orphan = spawn("sleep", ["600"], { detached: true, stdio: "ignore" });
    const identity = identify(orphan.pid!)!;
    writeFileSync(path.join(runDir, "thing.pid"), JSON.stringify(identity));
    await start(scripted(() => listening));
    expect(isRunning(identity)).toBe(false);
  });

  test("that is half-written is no obstacle", async () => {
    writeFileSync(path.join(runDir, "thing.pid"), '{"pid":');
    expect((await start(scripted(() => listening))).status().state).toBe("running");
  });
});

describe("ending a process group", () => {
  /** A leader and its child; `trap` in front makes both deaf to SIGTERM. */
  async function group(trap: string): Promise<{ leader: number; child: number }> {
    mkdirSync(path.join(runDir, "group"), { recursive: true });
    const file = path.join(runDir, "group", "child");
    const leader = spawn("sh", ["-c", `${trap} sleep 600 & echo $! > ${file}; wait`], { detached: true });
    await expect.poll(() => existsSync(file) && readFileSync(file, "utf8").endsWith("\n")).toBe(true);
    return { leader: leader.pid!, child: Number(readFileSync(file, "utf8")) };
  }

  test("ends the children with the leader", async () => {
    const { leader, child } = await group("");
    await endGroup(identify(leader)!, 5_000);
    expect([identify(leader), identify(child)]).toEqual([null, null]);
  });

  test("kills what does not heed SIGTERM within the deadline", async () => {
    const { leader, child } = await group("trap '' TERM;");
    await endGroup(identify(leader)!, 200);
    expect([identify(leader), identify(child)]).toEqual([null, null]);
  });

  test("ends children that outlived their leader", async () => {
    const { leader, child } = await group("");
    const identity = identify(leader)!;
    process.kill(leader, "SIGKILL");
    await expect.poll(() => identify(leader)).toBeNull();
    expect(identify(child)).not.toBeNull();
    await endGroup(identity, 5_000);
    expect(identify(child)).toBeNull();
  });
});

test("free ports are free and all different", async () => {
  const ports = await freePorts(20);
  expect(new Set(ports).size).toBe(20);
  expect(await Promise.all(ports.map(accepts))).not.toContain(true);
  expect(readdirSync(runDir)).toEqual([]);
});
