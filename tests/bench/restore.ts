/**
 * How long partitions are without a commit when what ran them is killed with SIGKILL, records arriving all the time: the
 * features stage, four partitions, core-37, its changelog as large as a segment and nothing of it compacted. First a child
 * of `weir run features --processes 1`, whose place a loaded spare one takes, with the state of 1,500 and of 15,000
 * instances; then one of two `weir run features` of a Kafka group, as when a host is lost; then Kafka Streams with the
 * window job of `peers/`, set up in several ways. Weir keeps no state folder: there is none to lose. Last line: the figures.
 *
 *   npm run bench -- restore [--rounds 3] [--tail-mib 16] [--only child,group,streams] [--minutes 480]
 */
import { loadavg } from "node:os";
import { flagsOf } from "../support/flags.ts";
import { Group, WithSpare } from "./restore/features.ts";
import { figuresOf, type Measured } from "./restore/figures.ts";
import { FleetState, PARTITIONS } from "./restore/fleet-state.ts";
import { kafkaStreamsSeconds } from "./restore/kafka-streams.ts";

const flags = flagsOf(import.meta.url, {
  rounds: { type: "string", default: "3" },
  "tail-mib": { type: "string", default: "16" },
  only: { type: "string", default: "child,group,streams" },
  minutes: { type: "string", default: "480" },
});
const rounds = Number(flags.rounds);
const parts = flags.only.split(",");
const told: string[] = [];
const tell = (line: string) => {
  told.push(line);
  console.log(line);
};

async function killed(
  instances: number,
  what: string,
  open: (env: NodeJS.ProcessEnv) => { kill(state: FleetState): Promise<number>; stop(): Promise<void> },
): Promise<number[]> {
  const state = await FleetState.start(instances);
  try {
    const stage = open(state.env);
    try {
      const { minutes, bytes, least } = await state.fill(Number(flags["tail-mib"]) * 1_048_576);
      const seconds: number[] = [];
      for (let round = 0; round < rounds; round++) seconds.push(await stage.kill(state));
      const each = seconds.map((s) => s.toFixed(2)).join(", ");
      const tail = `${(bytes / 1e6).toFixed(0)} MB of records in the changelog, none compacted (at least ${(least / 1e6).toFixed(1)} a partition, ${minutes} minutes)`;
      tell(`${what}, ${instances} instances: ${each} s, ${tail}`);
      return seconds;
    } finally {
      await stage.stop();
    }
  } finally {
    await state.stop();
  }
}

const child = new Map<number, readonly number[]>();
let group: readonly number[] = [];
let peers: Measured["peers"] = new Map();
if (parts.includes("child")) {
  for (const instances of [1_500, 15_000]) {
    child.set(instances, await killed(instances, "child", (env) => new WithSpare(env)));
  }
}
if (parts.includes("group")) group = await killed(1_500, "host of a group", (env) => new Group(env));
if (parts.includes("streams")) peers = await kafkaStreamsSeconds(Number(flags.minutes), tell);
const conditions = [
  `features stage, core-37, ${PARTITIONS} partitions; from SIGKILL to the next commit on all of them, median of ${rounds} kills`,
  "seconds1500 and seconds15000: the child of --processes 1, a spare one loaded; groupSeconds: one of two hosts of a group with a session of 10 s",
  "restoreRatio: the fastest way of Kafka Streams, started again at once, over seconds1500",
  ...told,
  `one broker on the same machine, which looks for transactions past their time each second (Kafka's default: ten), load average ${loadavg()[0]!.toFixed(1)}`,
].join("; ");
console.log(JSON.stringify({ bench: "restore", figures: figuresOf({ child, group, peers }), conditions }));
