import OpenAI from "openai";
import { WeirError } from "../streams/index.ts";
import { serviceError } from "./errors.ts";

export const DIMENSIONS = 384;
const BATCH = 64;

/** Texts to vectors of 384 dimensions, in order. Rejects with `EMBEDDING_FAILED` (retry), or when `signal` aborts. */
export interface Embedder {
  embed(texts: readonly string[], signal: AbortSignal): Promise<number[][]>;
}

export class OpenAiEmbedder implements Embedder {
  readonly #client: OpenAI;
  readonly #model: string;

  /** `baseUrl` ends in /v1. */
  constructor(options: { readonly baseUrl: string; readonly model: string; readonly apiKey?: string }) {
    this.#client = new OpenAI({ baseURL: options.baseUrl, apiKey: options.apiKey ?? "none", maxRetries: 0 });
    this.#model = options.model;
  }

  async embed(texts: readonly string[], signal: AbortSignal): Promise<number[][]> {
    const vectors: number[][] = [];
    try {
      for (let i = 0; i < texts.length; i += BATCH) {
        const input = texts.slice(i, i + BATCH);
        const { data } = await this.#client.embeddings.create({ model: this.#model, input }, { signal });
        const sorted = data.toSorted((a, b) => a.index - b.index).map((d) => d.embedding);
        if (sorted.length !== input.length) throw new Error(`${sorted.length} vectors for ${input.length} texts`);
        vectors.push(...sorted);
      }
    } catch (error) {
      signal.throwIfAborted();
      throw serviceError("EMBEDDING_FAILED", "Embeddings", "Check WEIR_EMBEDDING_URL and the server behind it.", error);
    }
    const wrong = vectors.find((v) => v.length !== DIMENSIONS);
    if (wrong)
      throw new WeirError(
        "EMBEDDING_DIMENSIONS",
        "retry",
        `Model ${this.#model} gives ${wrong.length} dimensions, the collection has ${DIMENSIONS}.`,
        `Set WEIR_EMBEDDING_MODEL to a model of ${DIMENSIONS} dimensions.`,
      );
    return vectors;
  }
}
