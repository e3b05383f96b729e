/** What a disturbed run came to, against the generator's own word, SQL over it, and an undisturbed run. */
import { withDuckDb } from "../../commands/backfill/index.ts";
import { readLedger } from "../../local/fleet/index.ts";
import { audit, compareLakeWithTopic, eventHash, readEventIds, withLake } from "../../ops/index.ts";
import { topics } from "../../pipeline.ts";
import { type FeatureSetDefinition, readFeatureSet } from "../../processors/index.ts";
import type { Explanation, FeatureBatch, LogBatch, PredictionBatch, RoutingConfig } from "../../schemas/index.ts";
import { armChooser } from "../../triton/index.ts";
import { type Rows, within } from "../parity/rows.ts";
import { loadSamples } from "../parity/samples.ts";
import { bySql } from "../parity/sql.ts";
import { GRACE_MS, type Telemetry } from "../parity/telemetry.ts";
import { takeRows } from "../parity/ways.ts";
import { explanationLines, type Line, records, resultLines } from "../support/results.ts";
import type { Environment } from "./environment.ts";
import { replayed, routingOf, written } from "./replay.ts";

export interface Verdict {
  /** Distinct events that the generator wrote, and those of them found in the log topic or among the dead letters. */
  in: number;
  out: number;
  lost: number;
  duplicated: number;
  different: number;
  /** Each fault in words, the first of those that are alike. */
  readonly faults: string[];
  /** How much was compared. */
  readonly compared: Record<string, number>;
}

const MAX_ALIKE = 10;
const MAX_TEXT = 200;
export const noVerdict = (): Verdict => ({
  in: 0,
  out: 0,
  lost: 0,
  duplicated: 0,
  different: 0,
  faults: [],
  compared: {},
});

function blame(verdict: Verdict, kind: "lost" | "duplicated" | "different", text: string, count = 1): void {
  if (count === 0) return;
  verdict[kind] += count;
  const alike = `${kind}: ${text.split(" ", 1)}`;
  if (verdict.faults.filter((fault) => fault.startsWith(alike)).length < MAX_ALIKE)
    verdict.faults.push(`${kind}: ${text}`);
}

/** Where two texts begin to differ. */
function apart(found: string, wanted: string | undefined): string {
  if (wanted === undefined) return `${found.slice(0, MAX_TEXT)}, which nobody wanted`;
  let at = 0;
  while (at < found.length && found[at] === wanted[at]) at++;
  const from = Math.max(0, at - MAX_TEXT / 4);
  return `${found.slice(from, from + MAX_TEXT)}, not ${wanted.slice(from, from + MAX_TEXT)}`;
}

/** Each line of the undisturbed run stands once in the disturbed one, with the same value, and no other. */
export function compareLines(verdict: Verdict, name: string, wanted: readonly Line[], found: readonly Line[]): void {
  const values = new Map(wanted.map((line) => [line.key, line.value]));
  verdict.compared[name] = values.size;
  const seen = new Set<string>();
  for (const { key, value } of found) {
    if (seen.has(key)) blame(verdict, "duplicated", `${name} ${key}`);
    else if (values.get(key) !== value) blame(verdict, "different", `${name} ${key}: ${apart(value, values.get(key))}`);
    seen.add(key);
  }
  for (const key of values.keys()) if (!seen.has(key)) blame(verdict, "lost", `${name} ${key}`);
}

/** What a run left that another over the same telemetry must repeat. */
export async function resultsOf(env: Environment) {
  const { revisions, predictions, ...lines } = await resultLines(env);
  return {
    ...lines,
    // Which of the twins judged a row depends on when an experiment began.
    predictions: predictions.map(({ key, value }) => ({ key, value: value.replace(/\/\d+ /, " ") })),
    // All of them: no run is so long that a segment closes, so the cleaner finds nothing.
    "incident revisions": revisions,
    explanations: await explanationLines(env),
    "minutes measured": (await written(env)).reports.map(({ key }) => ({ key, value: "" })),
  };
}
export type Results = Awaited<ReturnType<typeof resultsOf>>;

export function compareResults(verdict: Verdict, wanted: Results, found: Results): void {
  for (const kind of Object.keys(wanted) as (keyof Results)[]) compareLines(verdict, kind, wanted[kind], found[kind]);
}

/** Each report, decision and routing version is what its stage comes to over the same input in one go, and each row was judged by the arm that routing gives it to. */
export async function judgeExperiments(verdict: Verdict, env: Environment): Promise<void> {
  const [wanted, found] = [await replayed(env), await written(env)];
  compareLines(verdict, "reports", wanted.reports, found.reports);
  compareLines(verdict, "decisions", wanted.decisions, found.decisions);
  compareLines(verdict, "routing versions", wanted.routing, found.routing);
  const routing = await routingOf(env);
  for await (const { decoded } of records<PredictionBatch>(env, topics.predictions)) {
    const wrong = strayRows(decoded, routing.get(decoded.routingVersion));
    blame(verdict, "different", `rows of ${decoded.windowEndMs} judged by another arm`, wrong);
  }
}

/** Rows that another model version judged than the arm's, though the arm's answered. */
export function strayRows(batch: PredictionBatch, config: RoutingConfig | undefined): number {
  if (!config) return batch.entities.length;
  const choose = armChooser(config);
  const failed = batch.models.some((model) => model.evaluator === "failed");
  const isOf = (row: number, arm: number) => {
    const judge = batch.models[batch.arm[row]!]!;
    const { model, modelVersion } = config.arms[arm]!;
    return judge.name === model && judge.version === modelVersion;
  };
  return batch.entities.filter((entity, row) => !isOf(row, choose(entity)) && !(failed && isOf(row, 0))).length;
}

/** Every log line that an explanation cites stands in the log, at that place. */
export async function judgeTexts(verdict: Verdict, env: Environment): Promise<void> {
  const cited = new Map<string, { entity: string; timestampMs: number; in: string }[]>();
  for await (const { decoded } of records<Explanation>(env, topics.explanations))
    for (const { topic, partition, offset, entity, timestampMs } of decoded.citations) {
      const place = `${topic} ${partition} ${offset}`;
      cited.set(place, [...(cited.get(place) ?? []), { entity, timestampMs, in: decoded.incidentId }]);
    }
  let found = 0;
  for await (const { decoded: log, partition, offset } of records<LogBatch>(env, topics.logsRaw)) {
    const place = `${topics.logsRaw} ${partition} ${offset}`;
    for (const line of cited.get(place) ?? []) {
      const stands = log.entity === line.entity && log.events.some((e) => e.timestampMs === line.timestampMs);
      if (!stands) blame(verdict, "different", `${line.in} cites ${place}, which says nothing of the kind`);
      found++;
    }
    cited.delete(place);
  }
  verdict.compared.citations = found;
  for (const [place, [line]] of cited) blame(verdict, "different", `${line!.in} cites ${place}, where nothing stands`);
}

/** Every event id that the generator wrote is found, and none more often than it was written. */
export async function judgeEvents(verdict: Verdict, env: Environment): Promise<void> {
  const { broker, codecs, writer } = env;
  const ids = await readEventIds({ broker, codecs, logs: topics.logsRaw, dead: [topics.kinesisDead] });
  const { written, found, lost, lostSample, duplicates, unknown } = audit(readLedger(env.ledgerFile), ids);
  verdict.in = written;
  verdict.out = found;
  blame(verdict, "lost", `events such as ${lostSample.join(", ")}`, lost);
  blame(verdict, "different", "events that nobody wrote", unknown);
  const repeated = duplicates - writer.state.injected.duplicate;
  blame(verdict, repeated > 0 ? "duplicated" : "lost", "events in the log topic, repeated ones", Math.abs(repeated));
}

/** The feature rows, cell by cell, against SQL straight over what the generator wrote. */
export async function judgeBySql(verdict: Verdict, env: Environment, telemetry: Telemetry): Promise<void> {
  const definition: FeatureSetDefinition = readFeatureSet(env.scenario.featureSet.name);
  const span = { fromMs: telemetry.fromMs, toMs: telemetry.toMs, graceMs: GRACE_MS };
  const sql = await withDuckDb(async (db) => {
    await loadSamples(db, telemetry);
    return await bySql(db, definition, span);
  });
  const rows: Rows = new Map();
  for await (const { decoded } of records<FeatureBatch>(env, topics.features)) takeRows(rows, decoded, telemetry);
  const equal = within(sql.sizes);
  const { columns } = telemetry.featureSet;
  verdict.compared["rows by SQL"] = sql.rows.size;
  for (const [key, row] of rows) {
    const other = sql.rows.get(key);
    const odd = other && columns.findIndex((name, c) => !sql.leftOut.has(name) && !equal(row[c]!, other[c]!, c));
    if (!other) blame(verdict, "different", `row ${key}: SQL has none`);
    else if (odd! >= 0) blame(verdict, "different", `row ${key} ${columns[odd!]}: ${row[odd!]}, by SQL ${other[odd!]}`);
  }
  for (const key of sql.rows.keys()) if (!rows.has(key)) blame(verdict, "lost", `row ${key}: SQL has it`);
}

/** The Parquet files hold every row of the features topic, bit for bit, and every raw event as often as the log topic. */
export async function judgeLake(verdict: Verdict, env: Environment): Promise<void> {
  const { broker, codecs, scenario, servers, config } = env;
  const source = { s3: servers.s3, bucket: config.s3Bucket };
  const columns = () => scenario.featureSet.columns;
  const compared = await compareLakeWithTopic({ source, broker, codecs, topic: topics.features, columns });
  verdict.compared["Parquet rows"] = compared.rows;
  const samples = compared.faults.join("; ");
  blame(verdict, "lost", `Parquet rows: ${samples}`, compared.missing);
  blame(verdict, "duplicated", `Parquet rows: ${samples}`, compared.extra);
  blame(verdict, "different", `Parquet rows: ${samples}`, compared.different);

  const { logged } = await readEventIds({ broker, codecs, logs: topics.logsRaw, dead: [] });
  const left = new Map<bigint, number>();
  for (const id of logged) left.set(id, (left.get(id) ?? 0) + 1);
  let raw = 0;
  await withLake(source, async (db, dir) => {
    const read = `read_parquet('${dir}/raw-logs/**/*.parquet', hive_partitioning = false)`;
    const result = await db.stream(`SELECT event_id FROM ${read}`);
    for await (const chunk of result.yieldRowsJs())
      for (const [id] of chunk as [string][]) {
        raw++;
        const hash = eventHash(id);
        const more = (left.get(hash) ?? 0) - 1;
        if (more < 0) blame(verdict, "duplicated", `raw event ${id} in Parquet`);
        else left.set(hash, more);
      }
  });
  verdict.compared["Parquet events"] = raw;
  for (const [hash, count] of left) blame(verdict, "lost", `raw event ${hash} in Parquet`, count);
}
