import {
  type Chunk,
  cite,
  type EvidenceLine,
  type EvidenceSource,
  type Gathered,
  type Hit,
  prepare,
  queryOf,
} from "../processors/index.ts";
import type { Incident } from "../schemas/index.ts";
import type { Embedder } from "./embedder.ts";
import type { EvidenceReader } from "./evidence-reader.ts";
import type { VectorStore } from "./vector-store.ts";

export interface GathererOptions {
  readonly reader: Pick<EvidenceReader, "read">;
  readonly embedder: Embedder;
  readonly store: VectorStore;
  /** For reading the records; without them the explanation has only the incident's figures. Default 5 s. */
  readonly readDeadlineMs?: number;
  /** For embedding and search together; past it, evidence is ranked by its words. Default 4 s. */
  readonly searchDeadlineMs?: number;
}

const HOUR_MS = 3_600_000;
/** Lines of the same service this long before the incident may tell why it began. */
const LOOK_BACK_MS = HOUR_MS;
const KEEP_MS = 30 * 24 * HOUR_MS;
/** After so many failures in a row the index is left alone for a while: incidents must not wait for it one by one. */
const FAILURES_TO_REST = 3;
const REST_MS = 30_000;

/** Evidence of an incident: records → chunks → vectors → the five nearest. What fails makes it poorer, not later. */
export class EvidenceGatherer implements EvidenceSource {
  readonly #options: GathererOptions;
  readonly counts = { search: 0, lexical: 0, none: 0 };
  /** Why the last search or read did not come through; empty if it did. */
  lastFault = "";
  #failures = 0;
  #restUntil = 0;
  #forgottenAtMs = 0;

  constructor(options: GathererOptions) {
    this.#options = options;
  }

  async gather(incident: Incident, signal: AbortSignal): Promise<Gathered> {
    const chunks = prepare(await this.#read(incident, signal), incident);
    const found = chunks.length > 0 ? await this.#search(incident, chunks, signal) : null;
    const citations = cite(found?.hits ?? [], chunks, incident);
    const way = found ? "search" : citations.length > 0 ? "lexical" : "none";
    this.counts[way]++;
    return {
      citations,
      way,
      embeddingMs: found?.embeddingMs ?? 0,
      searchMs: found?.searchMs ?? 0,
      atMs: Date.now(),
    };
  }

  async #read(incident: Incident, signal: AbortSignal): Promise<EvidenceLine[]> {
    const deadline = AbortSignal.any([signal, AbortSignal.timeout(this.#options.readDeadlineMs ?? 5_000)]);
    try {
      return await this.#options.reader.read(incident.evidence, deadline);
    } catch (error) {
      signal.throwIfAborted();
      this.lastFault = String(error);
      return [];
    }
  }

  async #search(incident: Incident, chunks: readonly Chunk[], signal: AbortSignal) {
    if (performance.now() < this.#restUntil) return null;
    const { embedder, store, searchDeadlineMs = 4_000 } = this.#options;
    const deadline = AbortSignal.any([signal, AbortSignal.timeout(searchDeadlineMs)]);
    const { entityGroup, openedAtMs, updatedAtMs } = incident;
    try {
      const begun = performance.now();
      const [query, ...vectors] = await embedder.embed([queryOf(incident), ...chunks.map((c) => c.text)], deadline);
      const embedded = performance.now();
      await store.upsert(
        chunks.map((chunk, i) => ({ chunk, entityGroup, vector: vectors[i]! })),
        deadline,
      );
      const wanted = { vector: query!, entityGroup, fromMs: openedAtMs - LOOK_BACK_MS, toMs: updatedAtMs };
      const hits: Hit[] = await store.search(wanted, deadline);
      const searchMs = performance.now() - embedded;
      await this.#forget(updatedAtMs, deadline);
      this.#failures = 0;
      this.lastFault = "";
      return { hits, embeddingMs: embedded - begun, searchMs };
    } catch (error) {
      signal.throwIfAborted();
      this.lastFault = String(error);
      if (++this.#failures >= FAILURES_TO_REST) this.#restUntil = performance.now() + REST_MS;
      return null;
    }
  }

  /** Once a day of event time. */
  async #forget(nowMs: number, signal: AbortSignal): Promise<void> {
    if (nowMs < this.#forgottenAtMs + 24 * HOUR_MS) return;
    this.#forgottenAtMs = nowMs;
    await this.#options.store.forget(nowMs - KEEP_MS, signal);
  }
}
