/**
 * The window job of `peers/`: 720,000 JSON samples of 1,500 instances, 24 features of the trailing 15 minutes for each
 * of them, exactly once, a commit each 100 ms: Kafka Streams in several versions, a bare copy as the floor, and Weir, with
 * row batches out and with one record per row out. One broker, fresh processes, topics and state for every run, the runs of
 * a round in turn; every output is checked by `peers/check.py`, and a wrong one fails the benchmark. Last line: the figures.
 *
 *   npm run bench -- window [--rounds 3] [--minutes 480] [--versions slot-memory/1,…] [--only peers|own] [--processes N]
 */
import { loadavg } from "node:os";
import { join } from "node:path";
import { flags as nodeFlags } from "../../bin/flags.mjs";
import { flagsOf } from "../support/flags.ts";
import { BATCHES, COPY, compare, faultOf, lineOf, ownRun, peerRun, ROWS, type Run, rateOf } from "./peers/figures.ts";
import { output, Peers } from "./peers/peers.ts";

const flags = flagsOf(import.meta.url, {
  rounds: { type: "string", default: "3" },
  minutes: { type: "string", default: "480" },
  versions: { type: "string", default: "slot-memory/1,slot-memory/2,blob-memory/1,blob-rocksdb/2" },
  only: { type: "string" },
  processes: { type: "string" },
});
const COMMIT_MS = 100;
const rounds = Number(flags.rounds);
const minutes = Number(flags.minutes);
const expected = 1_500 * minutes;
const here = (file: string) => new URL(file, import.meta.url).pathname;
let started = 0;
const freshName = (of: string) => `${of.replaceAll(/[^a-z]+/g, "-")}-${Date.now()}-${started++}`;

/** `slot-memory/2`: the variant and the store of Kafka Streams, and its threads. */
async function peer(peers: Peers, version: string): Promise<Run> {
  const [name, threads] = version.split("/");
  const [variant, store] = name!.split("-");
  const settings = [`variant=${variant}`, `store=${store}`, `threads=${threads ?? 1}`];
  const line = await peers.run("job", "streams", ...settings, `commit=${COMMIT_MS}`, `app=${freshName(name!)}`);
  return peerRun(version, line, await peers.verdict());
}

async function copy(peers: Peers): Promise<Run> {
  const line = await peers.run("job", "plain", "mode=copy", `commit=${COMMIT_MS}`, `app=${freshName(COPY)}`);
  return peerRun(COPY, line, "nothing to check");
}

async function own(peers: Peers, version: string, out: "batches" | "rows"): Promise<Run> {
  const job = [...nodeFlags, here("window/job.ts"), "--bootstrap", peers.bootstrap, "--app", freshName(out)];
  const settings = ["--commit-ms", String(COMMIT_MS), "--out", out];
  const several = flags.processes === undefined ? [] : ["--processes", flags.processes];
  const said = await output(process.execPath, [...job, ...settings, ...several], process.env);
  const line = said.trim().split("\n").at(-1)!;
  // Rows are the peers' records: the peers' own client reads them.
  if (out === "rows") return ownRun(version, line, await peers.verdict());
  const file = join(peers.folder, "outputs.bin");
  const dump = ["--no-warnings", here("window/dump.ts"), "--bootstrap", peers.bootstrap, "--file", file];
  await output(process.execPath, dump, process.env);
  return ownRun(version, line, await peers.verdict(file));
}

const versions = flags.only === "own" ? [] : flags.versions.split(",").filter((v) => v !== "");
const entries: [string, (peers: Peers) => Promise<Run>][] = [
  [COPY, copy],
  ...versions.map((v): [string, (peers: Peers) => Promise<Run>] => [v, (peers) => peer(peers, v)]),
];
if (flags.only !== "peers") {
  entries.push([BATCHES, (peers) => own(peers, BATCHES, "batches")], [ROWS, (peers) => own(peers, ROWS, "rows")]);
}

const runs: Run[] = [];
const faults: string[] = [];
const peers = await Peers.start(minutes);
try {
  for (let round = 0; round < rounds; round++) {
    for (const [version, job] of entries) {
      await peers.fresh();
      const run = await job(peers);
      const fault = faultOf(run, expected);
      if (fault === null) runs.push(run);
      else faults.push(`${version}: ${fault}`);
      const rate = `${Math.round(rateOf(run)).toLocaleString("en")} records/s`;
      console.log(`round ${round + 1}, ${version}: ${fault === null ? rate : `FAIL, ${fault}`}`);
    }
  }
} finally {
  await peers.stop();
}
if (faults.length > 0) {
  console.error(`No figures, ${faults.length} runs failed: ${faults.join("; ")}`);
  process.exit(1);
}
const { figures, fastest } = compare(runs);
const told = entries.map(([version]) => lineOf(runs.filter((run) => run.version === version)));
for (const line of told) console.log(line);
const conditions = [
  `${expected.toLocaleString("en")} JSON samples, 24 features each, exactly once, a commit each ${COMMIT_MS} ms, 4 partitions, Kafka 4.3.1 on the same machine (load average ${loadavg()[0]!.toFixed(1)})`,
  "fresh processes, from the first record to the commit that covers the last; every output checked",
  `best of ${rounds} rounds each; the fastest Kafka Streams version is ${fastest?.version ?? "not among the runs"}`,
  "ratio: our records/s with batches out over its; rowRatio: the same with one record per row out; cpuRatio and memoryRatio: our CPU seconds a record and peak resident set, summed over processes, over its, in those two runs; warmRatio: best second half of ours over the best of any Kafka Streams version; floorRatio: our records/s over the bare copy's",
  ...told,
].join("; ");
console.log(JSON.stringify({ bench: "window", figures, conditions }));
