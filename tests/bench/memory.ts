/**
 * A simulated day of a fleet through bridge and features, each a process of its own, into a real broker, as fast as it
 * goes: does their memory stay where it is? The shards lie in the bridge's process (their texts, one minute of them,
 * are part of its memory). At the end every event must have been counted by both. Last line: the figures as JSON.
 *
 *   npm run bench -- memory [--hours N] [--gigabytes N a day] [--instances N]
 */
import { type ChildProcess, fork } from "node:child_process";
import { readFileSync } from "node:fs";
import { loadavg } from "node:os";
import { fileURLToPath } from "node:url";
import { flags } from "../../bin/flags.mjs";
import { connectCodecs, initialise } from "../../commands/init.ts";
import { readConfig } from "../../config.ts";
import { flagsOf } from "../support/flags.ts";
import { brokerOf, testStack, until } from "../support/kafka.ts";
import { growthPercent, type MemorySample, median, rounded } from "./measure/figures.ts";
import type { BridgeReport } from "./memory/bridge.ts";
import { type DayOptions, simulatedDay } from "./memory/day.ts";
import { cpuSeconds, StageProcess } from "./pipeline/parts.ts";

const values = flagsOf(import.meta.url, {
  hours: { type: "string", default: "24" },
  gigabytes: { type: "string", default: "12" },
  instances: { type: "string", default: "1500" },
});
const hours = Number(values.hours);
const PARTITIONS = 4;
const SAMPLE_EVERY_MS = 200;
const STALLED_MS = 120_000;
const HOUR_MS = 3_600_000;
const day: DayOptions = {
  instances: Number(values.instances),
  minutes: hours * 60,
  shards: 4,
  startMs: Date.UTC(2026, 0, 5),
  bytesPerMinute: (Number(values.gigabytes) * 1e9) / 1_440,
};
const { events, rawBytes } = simulatedDay(day);

/** Resident memory of a process in megabytes (2^20 bytes): now, and the most there ever was. */
function memoryOf(pid: number): { now: number; peak: number } {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const of = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)![1]) / 1_024;
  return { now: of("VmRSS"), peak: of("VmHWM") };
}

const { stack, stop } = await testStack(["kafka", "registry"]);
let bridge: ChildProcess | undefined;
let features: StageProcess | undefined;
try {
  const env = {
    ...process.env,
    WEIR_ENV: "bench",
    WEIR_KAFKA_BROKERS: stack.endpoints.kafka.join(","),
    WEIR_REGISTRY_URL: stack.endpoints.registry,
    WEIR_PARTITIONS: String(PARTITIONS),
    WEIR_ORDINAL: "0/1",
  };
  const config = readConfig(env, []);
  await connectCodecs(config);
  await initialise(config, brokerOf(stack));
  features = new StageProcess("features", env);
  await features.running();
  const startedAt = performance.now();
  bridge = fork(fileURLToPath(new URL("memory/bridge.ts", import.meta.url)), [JSON.stringify(day)], {
    env,
    execArgv: [...flags],
  });
  let report: BridgeReport = { accepted: 0, dead: 0, clockMs: 0 };
  bridge.on("message", (message: BridgeReport) => {
    report = message;
  });
  const samples = { bridge: [] as MemorySample[], features: [] as MemorySample[] };
  const hourOf = (clockMs: number) => Math.max(0, (clockMs - day.startMs) / HOUR_MS);
  let accepted = 0;
  let told = 0;
  let movedAt = performance.now();
  await until(
    "the day is through",
    async () => {
      if (bridge!.exitCode !== null) throw new Error(`The bridge ended with ${bridge!.exitCode}.`);
      await new Promise((resolve) => setTimeout(resolve, SAMPLE_EVERY_MS));
      const now = await features!.count("accepted");
      if (now > accepted) movedAt = performance.now();
      if (performance.now() - movedAt > STALLED_MS) throw new Error(`No progress after ${now} of ${events} events.`);
      accepted = now;
      const clocks = { bridge: report.clockMs, features: await features!.watermarkMs() };
      const memory = { bridge: memoryOf(bridge!.pid!), features: memoryOf(features!.pid) };
      for (const name of ["bridge", "features"] as const) {
        // What is through already stands still: it says nothing about the last hour at work.
        if (hourOf(clocks[name]) < hours)
          samples[name].push({ hour: hourOf(clocks[name]), megabytes: memory[name].now });
      }
      if (hourOf(clocks.features) >= told + 1) {
        told = Math.floor(hourOf(clocks.features));
        const mb = (name: "bridge" | "features") => `${name} ${memory[name].now.toFixed(0)} MB`;
        const seconds = (performance.now() - startedAt) / 1_000;
        console.log(`hour ${told}, ${seconds.toFixed(0)} s: ${mb("bridge")}, ${mb("features")}`);
      }
      return accepted >= events;
    },
    7_200_000,
  );
  const seconds = (performance.now() - startedAt) / 1_000;
  if (report.accepted !== events || report.dead > 0 || accepted !== events)
    throw new Error(`${events} events: ${report.accepted} of the bridge, ${accepted} of features.`);
  const of = (name: "bridge" | "features", pid: number) => ({
    growthPercent: rounded(growthPercent(samples[name], hours)),
    peakMb: Math.ceil(memoryOf(pid).peak),
    thirdHourMb: Math.round(median(samples[name].filter((s) => Math.floor(s.hour) === 2).map((s) => s.megabytes))),
    cpuSeconds: Math.round(cpuSeconds(pid)),
  });
  const parts = { bridge: of("bridge", bridge.pid!), features: of("features", features.pid) };
  console.log(JSON.stringify(parts));
  console.log(
    JSON.stringify({
      bench: "memory",
      figures: {
        growthPercent: Math.max(parts.bridge.growthPercent, parts.features.growthPercent),
        peakMb: Math.max(parts.bridge.peakMb, parts.features.peakMb),
      },
      conditions: {
        hours,
        gigabytes: rounded(rawBytes / 1e9, 2),
        events,
        instances: day.instances,
        shards: day.shards,
        partitions: PARTITIONS,
        parts,
        growth: "median resident memory of the last simulated hour over that of the third, of the worse process",
        peak: "most resident memory (VmHWM, 2^20 bytes) of the larger process, start included",
        bridge: "its shards lie in its own process, with one minute's texts; pages of a shard's minute; no pauses",
        pace: `${rounded(seconds, 0)} s for ${hours} hours, ${rounded(rawBytes / 1e6 / seconds)} MB/s`,
        broker: "one, on the same machine",
        node: process.version,
        loadAverage: loadavg().map((v) => rounded(v, 2)),
      },
    }),
  );
} finally {
  if (bridge && bridge.exitCode === null) {
    const ended = new Promise((resolve) => bridge!.once("exit", resolve));
    bridge.kill("SIGTERM");
    await ended;
  }
  await features?.stop();
  await stop();
}
