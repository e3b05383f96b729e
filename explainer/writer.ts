import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import {
  type FinishedText,
  faultOf,
  ground,
  parseAnswer,
  promptFor,
  type Sections,
  severities,
  type TextJob,
  type TextQueue,
  written,
} from "../processors/index.ts";
import type { LanguageModel } from "./language-model.ts";

export interface WriterOptions {
  readonly model: LanguageModel;
  /** Jobs that wait; the least severe, then the oldest, gives way. Default 20. */
  readonly maxQueued?: number;
  /** Incidents taken up an hour of wall clock; the rest keep their template. Default 60. */
  readonly perHour?: number;
}

/** Every job is queued, running or ready until it ends in exactly one of written, refused, failed, displaced, superseded or overBudget. */
export interface WriterStatus {
  readonly queued: number;
  readonly running: number;
  /** Finished, not yet taken by the stage: a stop now would lose them. */
  readonly ready: number;
  /** Taken by the stage. */
  readonly written: number;
  /** Twice without a grounding, or not in the form asked for: the template stays. */
  readonly refused: number;
  /** The model did not answer, three times. */
  readonly failed: number;
  readonly displaced: number;
  /** A newer revision of the same incident was offered meanwhile. */
  readonly superseded: number;
  readonly overBudget: number;
  readonly tokens: number;
  /** Why the last text did not come; empty if it did. */
  readonly lastFault: string;
}

interface Job extends TextJob {
  readonly tries: number;
}

interface Attempt {
  readonly sections: Sections | null;
  readonly groundedness: number;
  readonly objections: readonly string[];
}

const ATTEMPTS = 2;
const MAX_TRIES = 3;
const HOUR_MS = 3_600_000;
const MAX_FINISHED = 100;

/**
 * Has a language model write texts, one at a time, beside the pipeline: nobody waits for it.
 *
 * It holds only what is in memory; after a crash the templates stand. `start` once; `stop` ends the answer being
 * written.
 */
export class ExplanationWriter implements TextQueue {
  readonly #options: WriterOptions;
  readonly #stop = new AbortController();
  #queue: Job[] = [];
  #running: Job | null = null;
  #finished: FinishedText[] = [];
  #taken: number[] = [];
  #wake = Promise.withResolvers<void>();
  #loop: Promise<void> | null = null;
  #counts = { written: 0, refused: 0, failed: 0, displaced: 0, superseded: 0, overBudget: 0, tokens: 0 };
  #lastFault = "";

  constructor(options: WriterOptions) {
    this.#options = options;
  }

  start(): void {
    this.#loop ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    this.#wake.resolve();
    await this.#loop;
  }

  offer(job: TextJob): void {
    const { incidentId, revision } = job.incident;
    const known = this.#queue.find((j) => j.incident.incidentId === incidentId);
    if (known && known.incident.revision >= revision) return;
    if (known) {
      this.#queue.splice(this.#queue.indexOf(known), 1);
      this.#counts.superseded++;
    }
    // A text that nobody has taken yet must not follow the newer template.
    const current = this.#finished.filter((f) => f.explanation.incidentId !== incidentId);
    this.#counts.superseded += this.#finished.length - current.length;
    this.#finished = current;
    this.#queue.push({ ...job, tries: 0 });
    this.#queue.sort(byUrgency);
    if (this.#queue.length > (this.#options.maxQueued ?? 20)) {
      this.#queue.pop();
      this.#counts.displaced++;
    }
    this.#wake.resolve();
  }

  take(): readonly FinishedText[] {
    if (this.#finished.length === 0) return [];
    const finished = this.#finished;
    this.#finished = [];
    this.#counts.written += finished.length;
    return finished;
  }

  status(): WriterStatus {
    const running = this.#running ? 1 : 0;
    return {
      queued: this.#queue.length,
      running,
      ready: this.#finished.length,
      ...this.#counts,
      lastFault: this.#lastFault,
    };
  }

  async #run(): Promise<void> {
    let failures = 0;
    while (!this.#stop.signal.aborted) {
      const job = this.#queue.shift();
      if (!job) {
        this.#wake = Promise.withResolvers<void>();
        await this.#wake.promise;
        continue;
      }
      if (job.tries === 0 && !this.#withinBudget()) {
        this.#counts.overBudget++;
        continue;
      }
      this.#running = job;
      try {
        await this.#write(job);
        failures = 0;
      } catch (error) {
        this.#lastFault = String(error);
        if (!this.#stop.signal.aborted) this.#retryLater(job);
        failures++;
      }
      this.#running = null;
      const restMs = failures ? Math.min(1_000 * 2 ** failures, 60_000) : 0;
      await sleep(restMs, undefined, { signal: this.#stop.signal }).catch(() => undefined);
    }
  }

  #withinBudget(): boolean {
    const now = performance.now();
    this.#taken = this.#taken.filter((at) => at > now - HOUR_MS);
    if (this.#taken.length >= (this.#options.perHour ?? 60)) return false;
    this.#taken.push(now);
    return true;
  }

  #retryLater(job: Job): void {
    const newer = this.#isSuperseded(job);
    if (newer) this.#counts.superseded++;
    else if (job.tries + 1 >= MAX_TRIES) this.#counts.failed++;
    else {
      this.#queue.push({ ...job, tries: job.tries + 1 });
      this.#queue.sort(byUrgency);
    }
  }

  #isSuperseded({ incident }: TextJob): boolean {
    return this.#queue.some(
      (j) => j.incident.incidentId === incident.incidentId && j.incident.revision > incident.revision,
    );
  }

  async #write(job: Job): Promise<void> {
    const { incident, gathered } = job;
    let objections: readonly string[] = [];
    let promptMs = 0;
    let generationMs = 0;
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const begun = performance.now();
      const marker = `<<${randomBytes(9).toString("base64url")}>>`;
      const prompt = promptFor(incident, gathered.citations, marker, objections);
      const asked = performance.now();
      promptMs += asked - begun;
      // The same question at temperature 0 would get the same answer.
      const temperature = attempt * 0.4;
      const answer = await this.#options.model.complete(prompt, { temperature, signal: this.#stop.signal });
      generationMs += performance.now() - asked;
      this.#counts.tokens += answer.completionTokens;
      const judged = judge(answer.text, job);
      objections = judged.objections;
      if (!judged.sections) continue;
      if (this.#isSuperseded(job)) {
        this.#counts.superseded++;
        return;
      }
      const { embeddingMs, searchMs } = gathered;
      this.#finished.push({
        timestampMs: incident.updatedAtMs,
        explanation: {
          incidentId: incident.incidentId,
          incidentRevision: incident.revision,
          mode: "model",
          model: this.#options.model.name,
          ...written(judged.sections),
          citations: [...gathered.citations],
          groundedness: judged.groundedness,
          createdAtMs: Date.now(),
          timings: {
            embeddingMs,
            searchMs,
            promptMs,
            generationMs,
            totalMs: embeddingMs + searchMs + promptMs + generationMs,
          },
        },
      });
      if (this.#finished.length > MAX_FINISHED) {
        this.#finished.shift();
        this.#counts.displaced++;
      }
      this.#lastFault = "";
      return;
    }
    this.#counts.refused++;
    this.#lastFault = objections.join("; ");
  }
}

/** Sections that may go out, or what is wrong with them. */
function judge(text: string, { incident, gathered }: TextJob): Attempt {
  const parsed = parseAnswer(text);
  if (!parsed) return { sections: null, groundedness: 0, objections: ["the answer is not in the form asked for"] };
  const { sections, groundedness, dropped } = ground(parsed, gathered.citations, incident);
  const named = withType(sections, incident.type);
  const fault = faultOf(written(named), incident);
  return { sections: fault ? null : named, groundedness, objections: fault ? [fault, ...dropped] : dropped };
}

/** The type is the incident's, not the model's finding: it is put before a text that left it out. */
function withType(sections: Sections, type: string): Sections {
  const [first, ...rest] = sections.rootCause;
  const all = Object.values(sections).flatMap((claims) => claims.map((c) => c.text.toLowerCase()));
  if (!first || all.some((t) => t.includes(type))) return sections;
  return { ...sections, rootCause: [{ ...first, text: `Incident of type ${type}: ${first.text}` }, ...rest] };
}

const byUrgency = (a: TextJob, b: TextJob): number =>
  severities.indexOf(b.incident.severity) - severities.indexOf(a.incident.severity) ||
  b.incident.updatedAtMs - a.incident.updatedAtMs;
