/** What the runs of the window job come to. Pure: the ratios are computed here and nowhere else. */

/** One run of one version, from its first record to the commit that covers the last one. */
export interface Run {
  readonly version: string;
  readonly records: number;
  readonly seconds: number;
  /** Records a second over the second half; null if half was never seen committed before the end. */
  readonly warmRate: number | null;
  /** Of all its processes, in that span. */
  readonly cpuSeconds: number;
  /** Peak resident sets, summed over its processes. */
  readonly rssMib: number;
  /** What the checker said; "PASS" at its head if all is right. */
  readonly verdict: string;
}

export const rateOf = (run: Run): number => run.records / run.seconds;
const cpuOf = (run: Run): number => run.cpuSeconds / run.records;

const numberIn = (line: Record<string, unknown>, name: string): number => {
  const value = line[name];
  if (typeof value !== "number" || !Number.isFinite(value))
    throw new Error(`No number ${name} in ${JSON.stringify(line)}`);
  return value;
};

/** The line of a job of `run.sh`. Java writes NaN, which JSON does not know. Throws if it reports no whole run. */
export function peerRun(version: string, line: string, verdict: string): Run {
  const parsed = JSON.parse(line.replaceAll(/:\s*-?NaN/g, ":null")) as Record<string, unknown>;
  return {
    version,
    records: numberIn(parsed, "records"),
    seconds: numberIn(parsed, "seconds"),
    warmRate: parsed.warmRate === null ? null : numberIn(parsed, "warmRate"),
    cpuSeconds: numberIn(parsed, "cpu"),
    rssMib: numberIn(parsed, "rssMiB"),
    verdict,
  };
}

/** The line of our own job. */
export function ownRun(version: string, line: string, verdict: string): Run {
  const parsed = JSON.parse(line) as Record<string, unknown>;
  const [first, half, end] = ["firstRecordAtMs", "halfCommittedAtMs", "endCommittedAtMs"].map((n) =>
    numberIn(parsed, n),
  );
  const records = numberIn(parsed, "records");
  return {
    version,
    records,
    seconds: (end! - first!) / 1_000,
    warmRate: end! > half! ? records / 2 / ((end! - half!) / 1_000) : null,
    cpuSeconds: numberIn(parsed, "cpuSeconds"),
    rssMib: numberIn(parsed, "peakRssMib"),
    verdict,
  };
}

/** Why a run may not stand in a figure, or null. The copy's outputs are its inputs: it has nothing to check. */
export function faultOf(run: Run, expected: number): string | null {
  if (run.records !== expected) return `${run.records} of ${expected} records`;
  if (!(run.seconds > 0)) return `${run.seconds} s`;
  if (run.verdict.startsWith("PASS") || run.version === COPY) return null;
  return run.verdict === "" ? "no word of the checker" : run.verdict;
}

export const COPY = "copy";
export const BATCHES = "weir, batches out";
export const ROWS = "weir, rows out";

/** The run with the most records a second. */
export const best = (runs: readonly Run[]): Run | undefined =>
  runs.reduce<Run | undefined>((a, b) => (a === undefined || rateOf(b) > rateOf(a) ? b : a), undefined);

const bestWarm = (runs: readonly Run[]): number | undefined => {
  const rates = runs.flatMap((run) => run.warmRate ?? []);
  return rates.length === 0 ? undefined : Math.max(...rates);
};

export interface Comparison {
  readonly figures: Readonly<Record<string, number>>;
  /** The fastest run of any Kafka Streams version, the one that all ratios but `warmRatio` divide by. */
  readonly fastest: Run | undefined;
}

/** Best of each; a figure whose runs are missing is left out. */
export function compare(runs: readonly Run[]): Comparison {
  const of = (version: string) => runs.filter((run) => run.version === version);
  const peers = runs.filter((run) => ![COPY, BATCHES, ROWS].includes(run.version));
  const [fastest, own, rows, copy] = [best(peers), best(of(BATCHES)), best(of(ROWS)), best(of(COPY))];
  const [ownWarm, peersWarm] = [bestWarm(of(BATCHES)), bestWarm(peers)];
  const over = (a: number | undefined, b: number | undefined): number | undefined =>
    a === undefined || b === undefined ? undefined : Number((a / b).toPrecision(3));
  const by = (run: Run | undefined, what: (run: Run) => number) => (run === undefined ? undefined : what(run));
  const all: Record<string, number | undefined> = {
    recordsPerSecond: own === undefined ? undefined : Math.round(rateOf(own)),
    ratio: over(by(own, rateOf), by(fastest, rateOf)),
    warmRatio: over(ownWarm, peersWarm),
    cpuRatio: over(by(own, cpuOf), by(fastest, cpuOf)),
    memoryRatio: over(
      by(own, (r) => r.rssMib),
      by(fastest, (r) => r.rssMib),
    ),
    rowRatio: over(by(rows, rateOf), by(fastest, rateOf)),
    floorRatio: over(by(own, rateOf), by(copy, rateOf)),
  };
  const figures = Object.fromEntries(Object.entries(all).filter((e): e is [string, number] => e[1] !== undefined));
  return { figures, fastest };
}

/** One line a version: every run's records a second, and CPU and memory of the best one. */
export function lineOf(runs: readonly Run[]): string {
  const top = best(runs)!;
  const k = (rate: number | null | undefined) => (rate == null ? "?" : `${(rate / 1_000).toFixed(0)}`);
  const rates = runs.map((run) => k(rateOf(run))).join(", ");
  return `${top.version}: ${rates} thousand records/s, second half ${k(bestWarm(runs))}, ${(cpuOf(top) * 1e6).toFixed(1)} CPU-µs a record, ${top.rssMib.toFixed(0)} MiB`;
}
