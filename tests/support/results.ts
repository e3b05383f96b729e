/** What a run left in its topics, as lines that a second run over the same input must repeat bit for bit. */
import { decodeValue, readTopic } from "../../ops/index.ts";
import { topics } from "../../pipeline.ts";
import { rowsOf } from "../../processors/index.ts";
import type { Anomaly, Codecs, Explanation, FeatureBatch, Incident, PredictionBatch } from "../../schemas/index.ts";
import type { Broker, TopicName } from "../../streams/index.ts";

export interface Line {
  /** What it is about; a key stands once. */
  readonly key: string;
  readonly value: string;
}

interface Source {
  readonly broker: Broker;
  readonly codecs: Codecs;
}

export async function* records<T>({ broker, codecs }: Source, topic: TopicName) {
  for await (const record of readTopic(broker, topic)) {
    yield { ...record, decoded: await decodeValue<T>(codecs, topic, record.value!) };
  }
}

/** Texts, offsets and latencies apart: these a second run need not repeat. */
export async function resultLines(run: Source) {
  const rows: Line[] = [];
  for await (const { decoded: b } of records<FeatureBatch>(run, topics.features)) {
    for (const row of rowsOf(b))
      rows.push({
        key: `${row.windowEndMs} ${row.entity}`,
        value: Buffer.from(row.values.slice().buffer).toString("hex"),
      });
  }
  const predictions: Line[] = [];
  for await (const { decoded: b } of records<PredictionBatch>(run, topics.predictions)) {
    b.entities.forEach((entity, i) => {
      const model = b.models[b.arm[i]!]!;
      const value = `${model.name}/${model.version} ${b.raw.readFloatLE(i * 4)} ${b.score.readFloatLE(i * 4)}`;
      predictions.push({ key: `${b.windowEndMs} ${entity}`, value });
    });
  }
  const anomalies: Line[] = [];
  for await (const { decoded: a } of records<Anomaly>(run, topics.anomalies))
    anomalies.push({ key: a.anomalyId, value: `${a.score} ${a.model} ${JSON.stringify(a.topFeatures)}` });
  // A compacted topic promises the last revision of each incident; how many earlier ones are left is the cleaner's affair.
  const incidents = new Map<string, string>();
  const revisions: Line[] = [];
  for await (const { decoded: i } of records<Incident>(run, topics.incidents)) {
    const value = `${i.revision} ${i.state} ${i.severity} ${i.members.join()} ${i.anomalyCount}`;
    incidents.set(i.incidentId, value);
    revisions.push({ key: `${i.incidentId} ${i.revision}`, value });
  }
  return { rows, predictions, anomalies, incidents: [...incidents].map(([key, value]) => ({ key, value })), revisions };
}

/**
 * Each explanation, as far as it rests on the incident alone. Which log lines it cites is left out: offsets lead to them,
 * so it depends on what lies between two records, and on whether the brokers answered in time.
 */
export async function explanationLines(run: Source): Promise<Line[]> {
  const lines: Line[] = [];
  for await (const { decoded: e } of records<Explanation>(run, topics.explanations)) {
    const [cause] = e.rootCause.split(/ The log of | No log line near it /);
    const value = [cause, e.impact, e.actions, e.prevention].join("\n");
    lines.push({ key: `${e.incidentId} ${e.incidentRevision} ${e.mode}`, value });
  }
  return lines;
}
