import { audit, countTopics, evaluateTruth, lakeRowCounts, readEventIds, type Summary } from "../ops/index.ts";
import { stages, topicDefinitions, topics } from "../pipeline.ts";
import { deadTopicFor, lateTopicFor } from "../streams/index.ts";
import type { Run } from "./start.ts";

/**
 * What a run came to. Everything but the duplicates is counted by independent readers of the topics and of the Parquet
 * files; duplicates leave no record, so they are taken from the counters that the features stage committed.
 */
export async function summarise(run: Run, ledger: BigUint64Array, seconds: number): Promise<Summary> {
  const { broker, codecs, feed, scenario, runnables, s3, bucket } = run;
  const dead = [
    topics.kinesisDead,
    ...Object.values(stages).flatMap((s) => (s.input && s.changelog ? [deadTopicFor(s.input)] : [])),
  ];
  const late = lateTopicFor(topics.logsRaw);
  const counted = [
    topics.features,
    topics.predictions,
    topics.anomalies,
    topics.incidents,
    topics.explanations,
    late,
    ...dead,
  ];
  const counts = await countTopics({
    broker,
    codecs,
    topics: topicDefinitions.filter((t) => counted.includes(t.name)),
  });
  const things = (topic: string) => counts[topic]?.things ?? 0;
  const events = await readEventIds({ broker, codecs, logs: topics.logsRaw, dead });
  const { written, lost } = audit(ledger, events);
  const truth = evaluateTruth([...feed.incidents.values()], scenario.truth, scenario.machineDays);
  const parquet = await lakeRowCounts({ s3, bucket });
  const features = runnables.flatMap((r) => r.status()).filter((t) => t.stage === stages.features.name);
  return {
    events: written,
    late: things(late),
    dead: dead.reduce((sum, topic) => sum + things(topic), 0),
    duplicates: features.reduce((sum, t) => sum + t.counters.duplicate, 0),
    rows: things(topics.features),
    predictions: things(topics.predictions),
    anomalies: things(topics.anomalies),
    incidents: things(topics.incidents),
    explanations: things(topics.explanations),
    parquetRows: parquet.features + parquet.raw,
    lost,
    truth: {
      incidents: truth.incidents,
      found: truth.found,
      falseAlertsPerMachineDay: Number(truth.falseAlertsPerMachineDay.toFixed(3)),
    },
    seconds: Math.round(seconds * 10) / 10,
  };
}
