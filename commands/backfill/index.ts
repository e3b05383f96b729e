import path from "node:path";
import { DuckDBInstance } from "@duckdb/node-api";
import { topics } from "../../pipeline.ts";
import type { FeatureSet } from "../../processors/index.ts";
import { WeirError } from "../../streams/index.ts";
import { s3Of } from "../aws-clients.ts";
import { brokerOf, featureSetOf } from "../clients.ts";
import { connectCodecs } from "../init.ts";
import { configFor } from "../run.ts";
import { BackfillFolder } from "./folder.ts";
import { lakeLane } from "./lake-lane.ts";
import { type BackfillJob, type Lane, type LaneCounts, type LaneProgress, runLane } from "./lane.ts";
import { rawFilesInS3, rawFilesOf } from "./raw-files.ts";
import { topicLanes } from "./topic-lanes.ts";

export interface BackfillOptions {
  readonly from: number;
  readonly to: number;
  /** `lake` (the bucket), `topic` (logs.raw), or a folder that holds `raw-logs`. */
  readonly source: string;
  readonly set?: string;
  readonly out?: string;
  /** Minutes of input before the first row; default: as far back as a row looks. */
  readonly warmUp?: number;
  readonly json: boolean;
}

export interface BackfillReport extends LaneCounts {
  readonly featureSet: string;
  readonly hash: string;
  readonly source: string;
  readonly from: string;
  readonly to: string;
  readonly out: string;
}

const MINUTE_MS = 60_000;
/** Whole hours: the 24 before an end begin up to an hour earlier, and so does the same hour of the day before. */
const DAY_BACK_MINUTES = 25 * 60;

/** `weir backfill`: recomputes feature rows from raw logs with the code of the features stage. */
export async function backfill(options: BackfillOptions): Promise<void> {
  const { from: fromMs, to: toMs, source } = options;
  if (fromMs >= toMs)
    throw new WeirError("BACKFILL_RANGE", "fatal", "--from does not lie before --to.", "Give the earlier time first.");
  const stop = new AbortController();
  const stopped = new WeirError(
    "BACKFILL_STOPPED",
    "fatal",
    "The backfill was interrupted; every hour before it is kept.",
    "Give the same command again: it goes on there.",
  );
  process.once("SIGINT", () => stop.abort(stopped));
  const config = await (source === "topic" ? configFor([]) : configFor(source === "lake" ? ["s3Bucket"] : [], []));
  const featureSet = featureSetOf(options.set === undefined ? config : { featureSet: options.set });
  const job = jobOf(featureSet, config.graceMs, fromMs, toMs, options.warmUp);
  const out = path.resolve(options.out ?? path.join(".weir", "backfill", `${featureSet.name}-${featureSet.hash}`));
  const onHour = progressTo(process.stderr, job);
  const run = (lanes: readonly Lane[], origin: string) => runLanes(lanes, job, origin, out, onHour, stop.signal);
  let counts: LaneCounts;
  if (source === "topic") {
    const broker = brokerOf(config);
    counts = await run(await topicLanes(broker, await connectCodecs(config), topics.logsRaw), `topic/${config.env}`);
  } else {
    const bucket = source === "lake" ? rawFilesInS3(s3Of(config), config.s3Bucket) : undefined;
    try {
      counts = await withDuckDb((db) =>
        run(
          [lakeLane(db, bucket?.files ?? rawFilesOf(source), job)],
          bucket ? `s3/${config.s3Bucket}` : path.resolve(source),
        ),
      );
    } finally {
      bucket?.close();
    }
  }
  const report: BackfillReport = {
    featureSet: featureSet.name,
    hash: featureSet.hash,
    source,
    from: new Date(fromMs).toISOString(),
    to: new Date(toMs).toISOString(),
    out,
    ...counts,
  };
  if (options.json) process.stdout.write(`${JSON.stringify(report)}\n`);
  else process.stdout.write(`${counts.rows} rows of ${featureSet.name} in ${counts.files} files under ${out}\n`);
}

/** Throws nothing; a row's past begins `warmUp` minutes before the first row, but never later than a row looks back. */
export function jobOf(featureSet: FeatureSet, graceMs: number, fromMs: number, toMs: number, warmUp = 0): BackfillJob {
  const lookback = Math.max(featureSet.lookbackMinutes, featureSet.hourly ? DAY_BACK_MINUTES : 0, warmUp);
  return { featureSet, graceMs, fromMs, toMs, warmUpFromMs: fromMs - lookback * MINUTE_MS };
}

/** One lane after the other: each holds the state of a partition. */
export async function runLanes(
  lanes: readonly Lane[],
  job: BackfillJob,
  origin: string,
  out: string,
  onHour: (progress: LaneProgress) => void,
  signal: AbortSignal,
): Promise<LaneCounts> {
  const { featureSet, graceMs, fromMs, toMs, warmUpFromMs } = job;
  const times = [warmUpFromMs, fromMs, toMs].map((ms) => new Date(ms).toISOString()).join("/");
  const fingerprint = `1/${featureSet.name}/${featureSet.hash}/${graceMs}/${times}/${origin}`;
  const folder = new BackfillFolder(out, featureSet.columns, fingerprint);
  const sum: Record<string, number> = {};
  for (const lane of lanes) {
    for (const [name, n] of Object.entries(await runLane(lane, job, folder, onHour, signal)))
      sum[name] = (sum[name] ?? 0) + n;
  }
  return sum as unknown as LaneCounts;
}

export async function withDuckDb<T>(
  use: (db: Awaited<ReturnType<DuckDBInstance["connect"]>>) => Promise<T>,
): Promise<T> {
  const instance = await DuckDBInstance.create(":memory:");
  const db = await instance.connect();
  try {
    return await use(db);
  } finally {
    db.closeSync();
    instance.closeSync();
  }
}

function progressTo(out: NodeJS.WriteStream, { fromMs, toMs }: BackfillJob): (progress: LaneProgress) => void {
  const startedAt = performance.now();
  return ({ lane, endMs, counts }) => {
    const share = Math.max(0, Math.min(1, (endMs - fromMs) / (toMs - fromMs)));
    const seconds = Math.max(0.1, (performance.now() - startedAt) / 1_000);
    out.write(
      `${lane} ${new Date(endMs).toISOString().slice(0, 16)}  ${Math.round(share * 100)} %  ${counts.rows} rows  ` +
        `${counts.accepted} events, ${Math.round(counts.accepted / seconds)}/s\n`,
    );
  };
}
