import type { Explanation, Incident } from "../../schemas/index.ts";
import {
  type EffectProcessor,
  type InputRecord,
  KeyValueStore,
  type Output,
  type TopicName,
} from "../../streams/index.ts";
import type { Gathered } from "./evidence.ts";
import { ground } from "./grounding.ts";
import { written } from "./sections.ts";
import { templateFor } from "./template.ts";

/** Finds the log lines behind an incident. Fails by finding less, never by throwing, except when `signal` aborts. */
export interface EvidenceSource {
  gather(incident: Incident, signal: AbortSignal): Promise<Gathered>;
}

/** An incident whose template was written and that a language model may explain better. */
export interface TextJob {
  readonly incident: Incident;
  readonly gathered: Gathered;
}

/** Where texts of a language model come from, in their own time. Both calls return at once. */
export interface TextQueue {
  offer(job: TextJob): void;
  /** Texts finished since the last call, each once. */
  take(): readonly FinishedText[];
}

export interface FinishedText {
  readonly explanation: Explanation;
  /** Event time of the incident record it explains. */
  readonly timestampMs: number;
}

export interface ExplainOptions {
  readonly output: TopicName;
  readonly evidence: EvidenceSource;
  /** Null: templates only. */
  readonly texts: TextQueue | null;
}

/** What the last explanation of an open incident was about. */
interface Explained {
  readonly revision: number;
  readonly type: string;
  readonly severity: string;
  readonly members: number;
}

/** A new template comes at the earliest so many revisions after the last. */
const REVISIONS_BETWEEN = 3;

/** True if the record changes the picture: a new incident, or type, severity or twice the machines some revisions on. */
export function needsExplanation(last: Explained | undefined, incident: Incident): boolean {
  if (incident.state === "resolved") return false;
  if (!last) return true;
  if (incident.revision < last.revision + REVISIONS_BETWEEN) return false;
  const { type, severity, members } = incident;
  return type !== last.type || severity !== last.severity || members.length >= 2 * last.members;
}

type Jobs = ReadonlyMap<number, Incident>;
type Found = ReadonlyMap<number, Gathered>;

/**
 * Explains incidents: at once by a template out of the evidence, later by a language model's text as an update of the
 * same key. Jobs and findings go by the record's offset.
 */
export class ExplainProcessor implements EffectProcessor<Incident | null, Jobs, Found> {
  readonly #explained = new KeyValueStore<Explained>("explained");
  readonly stores = [this.#explained];
  readonly #options: ExplainOptions;

  constructor(options: ExplainOptions) {
    this.#options = options;
  }

  plan(records: readonly InputRecord<Incident | null>[]): Jobs {
    const jobs = new Map<number, Incident>();
    const last = new Map<string, Explained>();
    for (const { offset, value: incident } of records) {
      if (!incident) continue;
      const { incidentId } = incident;
      if (!needsExplanation(last.get(incidentId) ?? this.#explained.get(incidentId), incident)) continue;
      last.set(incidentId, explainedBy(incident));
      jobs.set(offset, incident);
    }
    return jobs;
  }

  async perform(jobs: Jobs, signal: AbortSignal): Promise<Found> {
    const found = new Map<number, Gathered>();
    for (const [offset, incident] of jobs) found.set(offset, await this.#options.evidence.gather(incident, signal));
    return found;
  }

  apply(records: readonly InputRecord<Incident | null>[], found: Found, out: Output): void {
    for (const { offset, value: incident } of records) {
      out.count(incident ? "accepted" : "control", 1);
      if (!incident) continue;
      const gathered = found.get(offset);
      if (gathered) {
        this.#explained.put(incident.incidentId, explainedBy(incident));
        const explanation = templateExplanation(incident, gathered);
        out.send(this.#options.output, incident.incidentId, explanation, incident.updatedAtMs);
        this.#options.texts?.offer({ incident, gathered });
      }
      if (incident.state === "resolved") this.#explained.delete(incident.incidentId);
    }
  }

  poll(out: Output): void {
    for (const { explanation, timestampMs } of this.#options.texts?.take() ?? [])
      out.send(this.#options.output, explanation.incidentId, explanation, timestampMs);
  }
}

const explainedBy = ({ revision, type, severity, members }: Incident): Explained => ({
  revision,
  type,
  severity,
  members: members.length,
});

export function templateExplanation(incident: Incident, gathered: Gathered): Explanation {
  const { citations, embeddingMs, searchMs, atMs } = gathered;
  const { sections, groundedness } = ground(templateFor(incident, citations), citations, incident);
  return {
    incidentId: incident.incidentId,
    incidentRevision: incident.revision,
    mode: "template",
    model: "",
    ...written(sections),
    citations: [...citations],
    groundedness,
    createdAtMs: atMs,
    timings: { embeddingMs, searchMs, promptMs: 0, generationMs: 0, totalMs: embeddingMs + searchMs },
  };
}
