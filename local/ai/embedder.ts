import { readFileSync } from "node:fs";
import { Tokenizer } from "@huggingface/tokenizers";
import * as ort from "onnxruntime-node";

/** The model was trained on 256 word pieces; what lies beyond is cut. */
const MAX_TOKENS = 256;
/** Texts of one run of the model, of similar length so that little is padded. */
const BATCH = 16;

/** A sentence embedding model in ONNX with its tokenizer: mean of the token vectors, scaled to length 1. */
export class SentenceEmbedder {
  #session: ort.InferenceSession;
  #tokenizer: Tokenizer;
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(session: ort.InferenceSession, tokenizer: Tokenizer) {
    this.#session = session;
    this.#tokenizer = tokenizer;
  }

  static async load(modelPath: string, tokenizerPath: string): Promise<SentenceEmbedder> {
    const tokenizer = new Tokenizer(JSON.parse(readFileSync(tokenizerPath, "utf8")), {});
    const session = await ort.InferenceSession.create(modelPath, { intraOpNumThreads: 1, interOpNumThreads: 1 });
    return new SentenceEmbedder(session, tokenizer);
  }

  /** One vector a text, in order, and the tokens read. Calls take turns. */
  embed(texts: readonly string[], signal: AbortSignal): Promise<{ vectors: Float32Array[]; tokens: number }> {
    const mine = this.#turn.then(() => this.#embed(texts, signal));
    this.#turn = mine.catch(() => {});
    return mine;
  }

  async #embed(texts: readonly string[], signal: AbortSignal) {
    const tokenized = texts.map((text, index) => ({ index, ids: this.#ids(text) }));
    tokenized.sort((a, b) => a.ids.length - b.ids.length);
    const vectors: Float32Array[] = [];
    for (let i = 0; i < tokenized.length; i += BATCH) {
      signal.throwIfAborted();
      const batch = tokenized.slice(i, i + BATCH);
      const found = await this.#run(batch.map((t) => t.ids));
      batch.forEach((t, row) => {
        vectors[t.index] = found[row]!;
      });
    }
    return { vectors, tokens: tokenized.reduce((sum, t) => sum + t.ids.length, 0) };
  }

  #ids(text: string): number[] {
    const { ids } = this.#tokenizer.encode(text);
    return ids.length > MAX_TOKENS ? [...ids.slice(0, MAX_TOKENS - 1), ids.at(-1)!] : ids;
  }

  async #run(rows: readonly number[][]): Promise<Float32Array[]> {
    const length = Math.max(...rows.map((row) => row.length));
    const shape = [rows.length, length];
    const ids = new BigInt64Array(rows.length * length);
    const mask = new BigInt64Array(rows.length * length);
    rows.forEach((row, r) => {
      row.forEach((id, i) => {
        ids[r * length + i] = BigInt(id);
        mask[r * length + i] = 1n;
      });
    });
    const feeds: Record<string, ort.Tensor> = {
      input_ids: new ort.Tensor("int64", ids, shape),
      attention_mask: new ort.Tensor("int64", mask, shape),
    };
    if (this.#session.inputNames.includes("token_type_ids"))
      feeds.token_type_ids = new ort.Tensor("int64", new BigInt64Array(ids.length), shape);
    const output = (await this.#session.run(feeds))[this.#session.outputNames[0]!]!;
    const dims = output.dims.at(-1)!;
    const states = output.data as Float32Array;
    return rows.map((row, r) => unitMean(states.subarray(r * length * dims, (r * length + row.length) * dims), dims));
  }
}

function unitMean(states: Float32Array, dims: number): Float32Array {
  const mean = new Float32Array(dims);
  for (let i = 0; i < states.length; i++) mean[i % dims]! += states[i]!;
  const norm = Math.hypot(...mean) || 1;
  return mean.map((v) => v / norm);
}
