/**
 * How long a killed child's partitions are without a commit: the features stage (`weir run features --processes 1`, four
 * partitions, core-37) with the state of 1,500 and of 15,000 instances. The child gets SIGKILL, a spare one takes its
 * place and restores from the changelog; the clock stops when every partition has committed again. Records arrive all
 * the time. The state folder is no part of it: there is none. Last line: the figures as JSON.
 *
 *   npm run bench -- restore [--minutes N] [--rounds N]
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { loadavg } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { connectCodecs, initialise } from "../../commands/init.ts";
import { readConfig } from "../../config.ts";
import { stages, topics } from "../../pipeline.ts";
import type { LogBatch } from "../../schemas/index.ts";
import { changelogTopicFor, partitionFor } from "../../streams/index.ts";
import { emf, eventsOf, MINUTE, sign } from "../features/helpers.ts";
import { brokerOf, testStack, until } from "../support/kafka.ts";

const { values } = parseArgs({
  options: { minutes: { type: "string", default: "20" }, rounds: { type: "string", default: "3" } },
});
const minutes = Number(values.minutes);
const PARTITIONS = 4;
const SOURCE = "bench@0/shard-0";
const T0 = Date.UTC(2026, 0, 5);
const root = fileURLToPath(new URL("../..", import.meta.url));
const changelog = changelogTopicFor(stages.features.name);

const metrics = (n: number) => ({
  CPUUtilization: n % 100,
  MemoryUtilization: (n * 7) % 100,
  NetworkIn: n * 1_000,
  NetworkOut: n * 700,
  DiskReadOps: n % 300,
  DiskWriteOps: n % 500,
});

/** Seconds from each kill to the last partition's next commit. */
async function measure(instances: number): Promise<{ seconds: number[]; restoredMegabytes: number }> {
  const { stack, stop } = await testStack(["kafka", "registry"]);
  let parent: ChildProcess | undefined;
  try {
    const env = {
      WEIR_ENV: "bench",
      WEIR_KAFKA_BROKERS: stack.endpoints.kafka.join(","),
      WEIR_REGISTRY_URL: stack.endpoints.registry,
      WEIR_PARTITIONS: String(PARTITIONS),
    };
    const config = readConfig(env, []);
    const codecs = await connectCodecs(config);
    const broker = brokerOf(stack);
    await initialise(config, broker);
    const feeder = broker.producer("bench.feeder");
    await feeder.init();
    let sequence = 0;
    const record = (batch: Omit<LogBatch, "sequence" | "arrivalMs">, partition: number) => ({
      topic: topics.logsRaw,
      partition,
      key: batch.entity || SOURCE,
      value: codecs.encode(topics.logsRaw, { ...batch, sequence: String(sequence++), arrivalMs: batch.clockMs }),
      timestampMs: batch.clockMs,
    });
    const everywhere = (kind: "open" | "tick", clockMs: number) =>
      Array.from({ length: PARTITIONS }, (_, p) => record(sign(SOURCE, kind, clockMs), p));
    const feed = async (records: Parameters<typeof feeder.send>[0]) => {
      await feeder.send(records);
      await feeder.commit();
    };
    await feed(everywhere("open", T0));
    for (let minute = 0; minute < minutes; minute++) {
      const atMs = T0 + minute * MINUTE;
      await feed(
        Array.from({ length: instances }, (_, i) => {
          const entity = `i-${String(i).padStart(17, "0")}`;
          const message = emf(entity, atMs + 30_000, metrics(i + minute));
          const event = { id: `${minute}/${i}`, timestampMs: atMs + 30_000, message };
          return record(eventsOf(SOURCE, entity, atMs + 30_000, [event]), partitionFor(entity, PARTITIONS));
        }),
      );
      await feed(everywhere("tick", atMs + MINUTE));
    }
    parent = spawn(process.execPath, ["--no-warnings", `${root}main.ts`, "run", "features", "--processes", "1"], {
      env: { ...process.env, ...env },
      stdio: ["ignore", "ignore", "inherit"],
    });
    const reader = broker.reader();
    const admin = broker.admin();
    const endOf = async (p: number) => (await admin.offsets(changelog, p, "read_uncommitted")).endOffset;
    const partitions = Array.from({ length: PARTITIONS }, (_, p) => p);
    /** Whether a commit of progress lies at or behind the offset. */
    const committedSince = async (partition: number, from: number): Promise<boolean> => {
      for (let at = from; ; ) {
        const batch = await reader.fetch(changelog, partition, at, { maxWaitMs: 5 });
        if (batch.records.some((r) => r.key?.toString() === "progress")) return true;
        if (batch.nextOffset === at || batch.nextOffset >= batch.endOffset) return false;
        at = batch.nextOffset;
      }
    };
    const caughtUp = async (): Promise<boolean> => {
      const ends = await Promise.all(partitions.map(endOf));
      await new Promise((resolve) => setTimeout(resolve, 1_500));
      return (await Promise.all(partitions.map(endOf))).every((end, p) => end === ends[p] && end > 10);
    };
    await until("the input is through", caughtUp, 600_000);
    const bytes = await changelogBytes(partitions, endOf, reader);
    const seconds: number[] = [];
    for (let round = 0; round < Number(values.rounds); round++) {
      // The spare child is loaded by the time that the next one is killed, as it is in a process that runs for long.
      await until("a child and its spare run", () => childrenOf(parent!.pid!).length === 2, 60_000);
      await until("all is quiet", caughtUp, 60_000);
      const from = await Promise.all(partitions.map(endOf));
      const victim = childrenOf(parent.pid!)[0]!;
      const killedAt = performance.now();
      process.kill(victim, "SIGKILL");
      let clockMs = T0 + (minutes + round * 2_000) * MINUTE;
      const open = new Set(partitions);
      while (open.size > 0) {
        clockMs += 10;
        await feed(everywhere("tick", clockMs));
        for (const p of [...open]) if (await committedSince(p, from[p]!)) open.delete(p);
      }
      seconds.push((performance.now() - killedAt) / 1_000);
    }
    await Promise.all([reader.close(), admin.close(), feeder.close()]);
    return { seconds, restoredMegabytes: bytes / 1e6 };
  } finally {
    if (parent?.exitCode === null) {
      const ended = new Promise((resolve) => parent!.once("exit", resolve));
      parent.kill("SIGTERM");
      await ended;
    }
    await stop();
  }
}

/** In the order of their start. */
function childrenOf(pid: number): number[] {
  const text = execFileSync("ps", ["-o", "pid=", "--ppid", String(pid)], { encoding: "utf8" });
  return text.trim().split(/\s+/).map(Number);
}

async function changelogBytes(
  partitions: readonly number[],
  endOf: (p: number) => Promise<number>,
  reader: ReturnType<ReturnType<typeof brokerOf>["reader"]>,
): Promise<number> {
  let bytes = 0;
  for (const p of partitions) {
    const end = await endOf(p);
    for (let at = 0; at < end; ) {
      const batch = await reader.fetch(changelog, p, at, { maxBytes: 4_000_000, maxWaitMs: 50 });
      for (const r of batch.records) bytes += (r.value?.length ?? 0) + (r.key?.length ?? 0);
      at = batch.nextOffset;
    }
  }
  return bytes;
}

const median = (of: readonly number[]): number => [...of].sort((a, b) => a - b)[Math.floor(of.length / 2)]!;
const figures: Record<string, number> = {};
const told: string[] = [];
for (const instances of [1_500, 15_000]) {
  const { seconds, restoredMegabytes } = await measure(instances);
  figures[`seconds${instances}`] = Number(median(seconds).toFixed(2));
  const each = seconds.map((s) => s.toFixed(2)).join(", ");
  told.push(`${instances} instances: ${each} s, ${restoredMegabytes.toFixed(0)} MB of changelog`);
  console.log(told.at(-1));
}
const conditions = `features stage, core-37, ${PARTITIONS} partitions, ${minutes} minutes of state, child of --processes 1 killed with SIGKILL, a spare one loaded; median of ${values.rounds} kills; ${told.join("; ")}; broker on the same two cores; load average ${loadavg()[0]!.toFixed(1)}`;
console.log(JSON.stringify({ bench: "restore", figures, conditions }));
