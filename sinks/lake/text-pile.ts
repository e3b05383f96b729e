/** Texts in one piece of memory each few thousand: small, countable, and handed to another thread without a copy. */
export interface PiledTexts {
  readonly chunks: readonly Uint8Array[];
  /** Of each text in UTF-8; no text lies in two chunks. */
  readonly lengths: Int32Array;
}

const CHUNK_BYTES = 256 * 1024;

export class TextPile {
  #chunks: Buffer[] = [];
  #lengths: number[] = [];
  /** Free from here on in the newest chunk. */
  #at = 0;

  /** Returns the memory it takes. */
  append(text: string): number {
    const length = Buffer.byteLength(text);
    let chunk = this.#chunks.at(-1);
    if (!chunk || this.#at + length > chunk.length) {
      if (chunk) this.#chunks[this.#chunks.length - 1] = chunk.subarray(0, this.#at);
      // Of its own, not cut from Node's pool: the pool cannot be handed over.
      chunk = Buffer.allocUnsafeSlow(Math.max(CHUNK_BYTES, length));
      this.#chunks.push(chunk);
      this.#at = 0;
    }
    chunk.write(text, this.#at);
    this.#at += length;
    this.#lengths.push(length);
    return length + 8;
  }

  /** The pile must not be used afterwards: its memory is given away. */
  take(): PiledTexts {
    const last = this.#chunks.length - 1;
    if (last >= 0) this.#chunks[last] = this.#chunks[last]!.subarray(0, this.#at);
    return { chunks: this.#chunks, lengths: Int32Array.from(this.#lengths) };
  }
}

/** All texts, in order. */
export function textsOf({ chunks, lengths }: PiledTexts): string[] {
  let chunk = 0;
  let at = 0;
  return Array.from(lengths, (length) => {
    while (at + length > chunks[chunk]!.length) {
      chunk++;
      at = 0;
    }
    const bytes = chunks[chunk]!;
    const text = Buffer.from(bytes.buffer, bytes.byteOffset + at, length).toString("utf8");
    at += length;
    return text;
  });
}
