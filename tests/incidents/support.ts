import { type IncidentRules, IncidentsProcessor, rulesForHop } from "../../processors/incidents/index.ts";
import type { Anomaly, AnomalyEdge, Incident } from "../../schemas/index.ts";
import { type Output, type Rejection, topicName } from "../../streams/index.ts";

export const MINUTE = 60_000;

export function anomaly(entity: string, minute: number, more: Partial<Anomaly> = {}): Anomaly {
  const windowEndMs = minute * MINUTE;
  const kind = more.kind ?? "model";
  return {
    anomalyId: `${entity}/${windowEndMs}/${kind}`,
    kind,
    entity,
    entityGroup: "shop",
    windowStartMs: windowEndMs - 15 * MINUTE,
    windowEndMs,
    featureSet: "core-37",
    model: "xgboost_anomaly",
    modelVersion: "1",
    routingVersion: 1,
    score: 0.9,
    probability: 0.9,
    threshold: 0.85,
    topFeatures: kind === "model" ? [{ name: "cpu_mean", value: 97, contribution: 2 }] : [],
    evidence: { entity, windowEndMs, topic: "logs.raw", partition: 0, firstOffset: minute, lastOffset: minute },
    ...more,
  };
}

export interface Collected {
  readonly incidents: Incident[];
  readonly rejections: Rejection[];
  readonly counts: Record<string, number>;
}

export class Runner {
  readonly processor: IncidentsProcessor;
  readonly collected: Collected = { incidents: [], rejections: [], counts: {} };
  #offset = 0;

  constructor(sources: readonly string[] = ["score/0"], rules: IncidentRules = rulesForHop(MINUTE)) {
    this.processor = new IncidentsProcessor({ output: topicName("incidents"), rules, sources });
  }

  edge(value: AnomalyEdge): void {
    const { incidents, rejections, counts } = this.collected;
    const out: Output = {
      send: (_topic, _key, value) => incidents.push(structuredClone(value) as Incident),
      reject: (r) => rejections.push(r),
      late: () => {
        throw new Error("nothing is late on this edge");
      },
      count: (outcome, n) => {
        counts[outcome] = (counts[outcome] ?? 0) + n;
      },
    };
    const record = { topic: topicName("anomalies.by-group"), partition: 0, timestampMs: 0, key: null };
    this.processor.process({ ...record, offset: this.#offset++, value }, out);
  }

  anomaly(a: Anomaly, source = "score/0"): void {
    this.edge({ kind: "anomaly", source, clockMs: a.windowEndMs, anomaly: a });
  }

  tick(minute: number, source = "score/0"): void {
    this.edge({ kind: "tick", source, clockMs: minute * MINUTE, anomaly: null });
  }

  /**
   * Plays a picture: a row an entity, a column a minute beginning with 1; `x` an anomaly, `s` the telemetry falls
   * silent. Returns what was written as `state reason @minute`.
   */
  play(rows: Readonly<Record<string, string>>, untilMinute: number): string[] {
    for (let minute = 1; minute <= untilMinute; minute++) {
      for (const [entity, row] of Object.entries(rows)) {
        const sign = row[minute - 1];
        if (sign === "x") this.anomaly(anomaly(entity, minute));
        if (sign === "s") this.anomaly(anomaly(entity, minute, { kind: "telemetry_silent", score: 1 }));
      }
      this.tick(minute + 1);
    }
    return this.collected.incidents.map((i) => `${i.state} ${i.reason} @${i.updatedAtMs / MINUTE}`);
  }
}
