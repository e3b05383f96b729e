/**
 * The window job of `peers/` on the samples stage: reads `bench.samples` from its beginning, writes `bench.features`, and
 * ends when the rows of everything that lay there at the start are committed. Last line: what it took, as JSON.
 *
 *   node tests/bench/window/job.ts --bootstrap HOST:PORT --app ID [--commit-ms 100] [--out batches|rows] [--processes N]
 *                                  [--compression none|zstd]
 *
 * What it writes is not compressed unless asked for: on one machine bytes are cheaper than the zstd of the product's default.
 */
import { fork } from "node:child_process";
import { readFileSync } from "node:fs";
import { connectBroker, initialiseStage, stageName } from "../../../streams/index.ts";
import { flagsOf } from "../../support/flags.ts";
import { type Event, type StageSettings, stageOf } from "./stage.ts";
import { createTopics, INPUT, PARTITION_NUMBERS, PARTITIONS } from "./topics.ts";

const flags = flagsOf(import.meta.url, {
  bootstrap: { type: "string", default: "127.0.0.1:9092" },
  app: { type: "string", default: "window" },
  "commit-ms": { type: "string", default: "100" },
  out: { type: "string", default: "batches" },
  processes: { type: "string", default: "1" },
  compression: { type: "string", default: "none" },
  /** Of a child: its partitions. */
  partitions: { type: "string" },
});
/** What a process has used since its first record, and its largest resident set so far. */
interface Used {
  readonly kind: "used";
  readonly cpuSeconds: number;
  readonly peakRssMib: number;
}

const broker = connectBroker({
  brokers: [flags.bootstrap],
  clientId: flags.app,
  compression: flags.compression === "zstd" ? "zstd" : "none",
});
const settings = (partitions: readonly number[]): StageSettings => ({
  app: flags.app,
  partitions,
  commitMs: Number(flags["commit-ms"]),
  out: flags.out === "rows" ? "rows" : "batches",
});

let firstUsage = process.cpuUsage();
function used(): Used {
  const { user, system } = process.cpuUsage(firstUsage);
  const peak = /VmHWM:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))![1]!;
  return { kind: "used", cpuSeconds: (user + system) / 1e6, peakRssMib: Number(peak) / 1024 };
}

function runHere(partitions: readonly number[], tell: (event: Event) => void): () => Promise<Used> {
  const runner = stageOf(broker, settings(partitions), (event) => {
    if (event.kind === "first") firstUsage = process.cpuUsage();
    tell(event);
  });
  runner.failed.catch((error) => {
    console.error(String(error));
    process.exit(1);
  });
  void runner.start();
  return async () => {
    const last = used();
    await runner.stop();
    return last;
  };
}

function runThere(partitions: readonly number[], tell: (event: Event) => void): () => Promise<Used> {
  const args = [...process.argv.slice(2), "--partitions", partitions.join(",")];
  const child = fork(new URL(import.meta.url), args, { execArgv: process.execArgv });
  const last = new Promise<Used>((resolve, reject) => {
    child.on("message", (message: Event | Used) => (message.kind === "used" ? resolve(message) : tell(message)));
    child.once("exit", (code) => reject(new Error(`A process of the job ended with ${code}.`)));
  });
  last.catch((error) => {
    console.error(error);
    process.exit(1);
  });
  return () => {
    child.send("stop");
    return last;
  };
}

async function runChild(partitions: readonly number[]): Promise<void> {
  const stop = runHere(partitions, (event) => process.send!(event));
  await new Promise((resolve) => process.once("message", resolve));
  process.send!(await stop());
  process.disconnect();
}

async function run(): Promise<void> {
  await createTopics(broker, flags.app);
  await initialiseStage({ stage: stageName(flags.app), input: INPUT }, PARTITIONS, { broker, env: "bench" });
  const admin = broker.admin();
  const ends = await Promise.all(PARTITION_NUMBERS.map((p) => admin.offsets(INPUT, p, "read_uncommitted")));
  await admin.close();
  const records = ends.reduce((sum, { startOffset, endOffset }) => sum + endOffset - startOffset, 0);

  let firstRecordAtMs = Number.POSITIVE_INFINITY;
  let halfCommittedAtMs = 0;
  let endCommittedAtMs = 0;
  const committed = new Map(PARTITION_NUMBERS.map((p) => [p, 0]));
  const left = new Set(PARTITION_NUMBERS);
  let finish = () => {};
  const finished = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const tell = (event: Event) => {
    if (event.kind === "first") {
      firstRecordAtMs = Math.min(firstRecordAtMs, event.atMs);
      return;
    }
    const { atMs, partition, nextOffset, complete } = event;
    committed.set(partition, nextOffset - ends[partition]!.startOffset);
    const sum = [...committed.values()].reduce((a, b) => a + b, 0);
    if (halfCommittedAtMs === 0 && sum * 2 >= records) halfCommittedAtMs = atMs;
    if (nextOffset < ends[partition]!.endOffset || !complete || !left.delete(partition)) return;
    endCommittedAtMs = Math.max(endCommittedAtMs, atMs);
    if (left.size === 0) finish();
  };
  const processes = Number(flags.processes);
  const shares = Array.from({ length: processes }, (_, i) => PARTITION_NUMBERS.filter((p) => p % processes === i));
  const stops = shares.map((share, i) => (i === 0 ? runHere : runThere)(share, tell));
  await finished;
  const all = await Promise.all(stops.map((stop) => stop()));
  const cpuSeconds = all.reduce((sum, u) => sum + u.cpuSeconds, 0);
  const peakRssMib = all.reduce((sum, u) => sum + u.peakRssMib, 0);
  const times = { firstRecordAtMs, halfCommittedAtMs, endCommittedAtMs };
  console.log(JSON.stringify({ ...times, records, cpuSeconds, peakRssMib }));
}

if (flags.partitions === undefined) await run();
else await runChild(flags.partitions.split(",").map(Number));
