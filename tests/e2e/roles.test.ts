import { type ChildProcess, spawn } from "node:child_process";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { connectCodecs } from "../../commands/init.ts";
import { localOptions } from "../../commands/local-options.ts";
import { ensureModels } from "../../commands/models.ts";
import { publishRouting } from "../../commands/routing.ts";
import { prepareScenario, type Scenario } from "../../commands/scenario.ts";
import { readConfig } from "../../config.ts";
import { FleetWriter, fleetRounds, readLedger, writeTopology } from "../../local/fleet/index.ts";
import { defaultCacheDir, type Stack, setUp, silentProgress, startStack } from "../../local/index.ts";
import { audit, decodeValue, readEventIds, readTopic } from "../../ops/index.ts";
import { topics } from "../../pipeline.ts";
import type { Codecs, FeatureBatch } from "../../schemas/index.ts";
import { kinesisClient } from "../../sources/index.ts";
import { type Broker, connectBroker } from "../../streams/index.ts";
import { until } from "../support/kafka.ts";
import { expectCountersToAddUp } from "./support.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const fleet = {
  seed: 9,
  instances: 12,
  minutes: 90,
  endMs: Date.UTC(2026, 2, 2, 9),
  inject: { late: 5, malformed: 3, duplicate: 6, drop: 0 },
};

describe("roles in processes of their own", () => {
  const runDir = mkdtempSync(path.join(tmpdir(), "weir-roles-"));
  const children: ChildProcess[] = [];
  let stack: Stack;
  let scenario: Scenario;
  let env: Record<string, string>;
  let broker: Broker;
  let codecs: Codecs;

  /** `weir run …`; resolves with the address of its /healthz once it runs. */
  async function role(...names: string[]): Promise<{ child: ChildProcess; url: string }> {
    const child = spawn(
      process.execPath,
      ["--disable-warning=TimeoutNegativeWarning", `${root}main.ts`, "run", ...names],
      { cwd: root, env: { ...process.env, ...env }, stdio: ["ignore", "ignore", "pipe"] },
    );
    children.push(child);
    let err = "";
    child.stderr!.on("data", (bytes) => {
      err += bytes;
    });
    await until(
      `${names} running: ${err}`,
      () => {
        if (child.exitCode !== null) throw new Error(`weir run ${names} ended: ${err}`);
        return /running; http/.test(err);
      },
      60_000,
    );
    return { child, url: /running; (http\S+)\/healthz/.exec(err)![1]! };
  }

  beforeAll(async () => {
    await setUp();
    stack = await startStack({ runDir: path.join(runDir, "stack"), shards: 2 });
    scenario = prepareScenario(fleet, runDir);
    writeTopology(scenario.topologyFile, scenario.topology);
    const trained = path.join(defaultCacheDir(), "trained", scenario.modelsKey);
    await ensureModels(scenario, trained, defaultCacheDir(), silentProgress, new AbortController().signal);
    cpSync(trained, stack.endpoints.triton.modelRepository, { recursive: true });
    env = { ...localOptions(stack.endpoints, scenario) };
    broker = connectBroker({ brokers: [...stack.endpoints.kafka], clientId: "test" });
    const init = spawn(process.execPath, [`${root}main.ts`, "init"], { cwd: root, env: { ...process.env, ...env } });
    expect(await new Promise((resolve) => init.on("close", resolve))).toBe(0);
    const config = readConfig({}, [], env);
    codecs = await connectCodecs(config);
    await publishRouting(broker, codecs, config, 0);
  }, 300_000);

  afterAll(async () => {
    for (const child of children) if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
    await stack?.stop();
    rmSync(runDir, { recursive: true, force: true });
  });

  test("a process killed in the middle and started again loses, doubles and changes nothing", async () => {
    const { endpoints } = stack;
    const { kinesis } = endpoints;
    const client = kinesisClient({ region: kinesis.region, endpoint: kinesis.endpoint, credentials: kinesis });
    const ledgerFile = path.join(runDir, "ledger.bin");
    const writer = new FleetWriter({
      client,
      stream: kinesis.stream,
      ledgerFile,
      stateFile: path.join(runDir, "fleet.json"),
      origin: scenario.origin,
      sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    });
    if (scenario.kind !== "fleet") throw new Error("the scenario is a fleet");
    const rounds = [...fleetRounds(scenario.plan)];

    const ingest = await role("bridge", "features");
    const rest = await role("score", "incidents", "explain", "lake");
    for (const round of rounds.slice(0, 4)) await writer.putRound(round);
    await until("rows come out", async () => (await featureEnds()).size > 0, 60_000);
    ingest.child.kill("SIGKILL");
    for (const round of rounds.slice(4)) await writer.putRound(round);
    const again = await role("bridge", "features");
    rest.child.kill("SIGKILL");
    const restAgain = await role("score", "incidents", "explain", "lake");

    // The last window that closes ends a grace before the end of time.
    const lastMs = scenario.endMs - 60_000;
    await until(
      "every partition has come to the end",
      async () => [...(await featureEnds()).values()].filter((end) => end === lastMs).length === 4,
      90_000,
    );
    const health = await fetch(`${again.url}/healthz`);
    expect(await health.json()).toEqual({ ok: true, notRunning: [] });
    const metrics = await (await fetch(`${again.url}/metrics`)).text();
    expect(metrics).toMatch(/weir_events_total\{stage="features",partition="0",outcome="accepted"\} [1-9]/);

    const accepted = /weir_events_total\{stage="score",partition="\d",outcome="accepted"\} (\d+)/g;
    const rows = async () => (await rowsIn(topics.features)).length;
    await until(
      "every row is scored",
      async () => {
        const text = await (await fetch(`${restAgain.url}/metrics`)).text();
        return [...text.matchAll(accepted)].reduce((sum, [, count]) => sum + Number(count), 0) === (await rows());
      },
      60_000,
    );
    for (const { child } of [again, restAgain]) {
      child.kill("SIGTERM");
      await new Promise((resolve) => child.once("close", resolve));
      expect(child.exitCode).toBe(0);
    }
    const found = await readEventIds({ broker, codecs, logs: topics.logsRaw, dead: [topics.kinesisDead] });
    const { lost, duplicates, unknown } = audit(readLedger(ledgerFile), found);
    expect({ lost, duplicates, unknown }).toEqual({ lost: 0, duplicates: writer.state.injected.duplicate, unknown: 0 });
    const all = await rowsIn(topics.features);
    expect(new Set(all).size).toBe(all.length);
    expect((await rowsIn(topics.predictions)).sort()).toEqual(all.sort());
    await expectCountersToAddUp({ broker, codecs } as never);
    client.destroy();
  }, 300_000);

  async function featureEnds(): Promise<Map<number, number>> {
    const ends = new Map<number, number>();
    for await (const { partition, value } of readTopic(broker, topics.features)) {
      const batch = await decodeValue<FeatureBatch>(codecs, topics.features, value!);
      if (batch.windowEndMs > scenario.startMs) ends.set(partition, batch.windowEndMs);
    }
    return ends;
  }

  async function rowsIn(topic: typeof topics.features): Promise<string[]> {
    const rows: string[] = [];
    for await (const { value } of readTopic(broker, topic)) {
      const batch = await decodeValue<FeatureBatch>(codecs, topic, value!);
      for (const entity of batch.entities) rows.push(`${batch.windowEndMs} ${entity}`);
    }
    return rows;
  }
});
