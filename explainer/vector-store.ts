import { createHash } from "node:crypto";
import { QdrantClient } from "@qdrant/js-client-rest";
import { type Chunk, type Hit, MAX_CITATIONS, MIN_SIMILARITY } from "../processors/index.ts";
import { DIMENSIONS } from "./embedder.ts";
import { serviceError, until } from "./errors.ts";

export const COLLECTION = "log_embeddings";

export interface Stored {
  readonly chunk: Chunk;
  readonly entityGroup: string;
  readonly vector: readonly number[];
}

export interface Wanted {
  readonly vector: readonly number[];
  readonly entityGroup: string;
  /** Event time, both ends included. */
  readonly fromMs: number;
  readonly toMs: number;
}

/** Log chunks by meaning. Calls reject with `VECTOR_STORE_FAILED` (retry), or when `signal` aborts. */
export interface VectorStore {
  /** Idempotent: a chunk's id follows from where it stood in the log. */
  upsert(points: readonly Stored[], signal: AbortSignal): Promise<void>;
  /** The nearest five of the group and time, more alike than 0.5, the nearest first. */
  search(wanted: Wanted, signal: AbortSignal): Promise<Hit[]>;
  /** Drops what is older than `beforeMs` of event time. */
  forget(beforeMs: number, signal: AbortSignal): Promise<void>;
  stats(): Promise<{ readonly points: number }>;
}

/** A UUID (version 5 in form) out of the chunk's place in the log. */
export function pointId({ topic, partition, offset, eventId, chunk }: Chunk): string {
  const bytes = createHash("sha1")
    .update(JSON.stringify([topic, partition, offset, eventId, chunk]))
    .digest();
  bytes[6] = (bytes[6]! & 0x0f) | 0x50;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = bytes.toString("hex", 0, 16);
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

export class QdrantStore implements VectorStore {
  readonly #client: QdrantClient;
  readonly #collection: string;
  #ready: Promise<void> | null = null;

  constructor(options: { readonly url: string; readonly collection?: string; readonly timeoutMs?: number }) {
    this.#client = new QdrantClient({
      url: options.url,
      timeout: options.timeoutMs ?? 10_000,
      checkCompatibility: false,
    });
    this.#collection = options.collection ?? COLLECTION;
  }

  async upsert(points: readonly Stored[], signal: AbortSignal): Promise<void> {
    if (points.length === 0) return;
    await this.#call(signal, () =>
      this.#client.upsert(this.#collection, {
        wait: true,
        points: points.map(({ chunk, entityGroup, vector }) => {
          const { entity, timestampMs, topic, partition, offset, text } = chunk;
          const payload = { entity, entityGroup, timestampMs, topic, partition, offset, text };
          return { id: pointId(chunk), vector: [...vector], payload };
        }),
      }),
    );
  }

  async search({ vector, entityGroup, fromMs, toMs }: Wanted, signal: AbortSignal): Promise<Hit[]> {
    const { points } = await this.#call(signal, () =>
      this.#client.query(this.#collection, {
        query: [...vector],
        limit: MAX_CITATIONS,
        score_threshold: MIN_SIMILARITY,
        with_payload: true,
        filter: {
          must: [
            { key: "entityGroup", match: { value: entityGroup } },
            { key: "timestampMs", range: { gte: fromMs, lte: toMs } },
          ],
        },
      }),
    );
    return points.map(({ payload, score }) => ({
      ...(payload as unknown as Omit<Hit, "similarity">),
      similarity: score,
    }));
  }

  async forget(beforeMs: number, signal: AbortSignal): Promise<void> {
    const filter = { must: [{ key: "timestampMs", range: { lt: beforeMs } }] };
    await this.#call(signal, () => this.#client.delete(this.#collection, { wait: true, filter }));
  }

  async stats(): Promise<{ readonly points: number }> {
    const { points_count } = await this.#call(new AbortController().signal, () =>
      this.#client.getCollection(this.#collection),
    );
    return { points: points_count ?? 0 };
  }

  async #call<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    try {
      this.#ready ??= this.#create();
      await until(signal, this.#ready);
      return await until(signal, work());
    } catch (error) {
      // The collection may have been dropped, or its server exchanged: look again next time.
      this.#ready = null;
      signal.throwIfAborted();
      throw serviceError("VECTOR_STORE_FAILED", "Qdrant", "Check WEIR_QDRANT_URL and the server behind it.", error);
    }
  }

  async #create(): Promise<void> {
    const name = this.#collection;
    if (!(await this.#client.collectionExists(name)).exists)
      await this.#client
        .createCollection(name, { vectors: { size: DIMENSIONS, distance: "Cosine" } })
        .catch(async (error: unknown) => {
          // Another task may have been first.
          if (!(await this.#client.collectionExists(name)).exists) throw error;
        });
    const index = (field_name: string, field_schema: "keyword" | "integer") =>
      this.#client.createPayloadIndex(name, { field_name, field_schema, wait: true });
    await index("entityGroup", "keyword");
    await index("timestampMs", "integer");
  }
}
