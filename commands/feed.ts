import { setTimeout as sleep } from "node:timers/promises";
import { topics } from "../pipeline.ts";
import type { Codecs, Explanation, Incident } from "../schemas/index.ts";
import type { Broker, TopicName } from "../streams/index.ts";

const POLL_MS = 500;

/** Follows incidents and explanations as any subscriber would: the newest few for the live view, all for the truth. */
export class IncidentFeed {
  readonly incidents = new Map<string, Incident>();
  readonly explanations = new Map<string, Explanation>();
  readonly #broker: Broker;
  readonly #codecs: Codecs;
  readonly #partitions: number;
  readonly #stop = new AbortController();
  #loops: Promise<void>[] = [];

  constructor(broker: Broker, codecs: Codecs, partitions: number) {
    this.#broker = broker;
    this.#codecs = codecs;
    this.#partitions = partitions;
  }

  start(): void {
    this.#loops = [
      this.#follow<Incident>(topics.incidents, (i) => this.incidents.set(i.incidentId, i)),
      this.#follow<Explanation>(topics.explanations, (e) => this.explanations.set(e.incidentId, e)),
    ];
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#loops);
  }

  latest(count: number): Incident[] {
    return [...this.incidents.values()].sort((a, b) => b.openedAtMs - a.openedAtMs).slice(0, count);
  }

  async #follow<T>(topic: TopicName, take: (value: T) => void): Promise<void> {
    const reader = this.#broker.reader();
    const positions = new Array<number>(this.#partitions).fill(0);
    while (!this.#stop.signal.aborted) {
      for (let p = 0; p < positions.length && !this.#stop.signal.aborted; p++) {
        try {
          const batch = await reader.fetch(topic, p, positions[p]!, { maxWaitMs: 0 });
          for (const { value } of batch.records) {
            if (!value) continue;
            const id = this.#codecs.unknownId(value);
            if (id !== null) await this.#codecs.learn(id);
            take(this.#codecs.decode<T>(topic, value));
          }
          positions[p] = batch.nextOffset;
        } catch {
          // A view shows what it can; the stages report what is wrong.
        }
      }
      await sleep(POLL_MS, undefined, { signal: this.#stop.signal }).catch(() => undefined);
    }
    await reader.close();
  }
}
