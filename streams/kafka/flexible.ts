import { encoder, type KafkaRequest } from "./kafkajs.ts";

/**
 * Requests and answers of the protocol's "flexible" versions, which kafkajs does not speak: lengths are varints of
 * length + 1, and each structure ends in a count of tagged fields, the headers of both too (their count is the first
 * byte here).
 */
export function flexibleRequest<T>(
  api: { readonly apiKey: number; readonly apiVersion: number; readonly apiName: string },
  body: readonly Buffer[],
  read: (answer: FlexibleReader) => T,
): KafkaRequest<T> {
  return {
    request: {
      ...api,
      encode: async () => {
        const encoded = encoder();
        encoded.writeBufferInternal(Buffer.concat([NO_TAGS, ...body, NO_TAGS]));
        return encoded;
      },
    },
    response: { decode: async (raw) => read(new FlexibleReader(raw)), parse: async (decoded) => decoded },
    logResponseError: false,
  };
}

export const NO_TAGS = Buffer.from([0]);

export function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (let left = value; ; left >>>= 7) {
    if (left < 0x80) return Buffer.from([...bytes, left]);
    bytes.push((left & 0x7f) | 0x80);
  }
}

export function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}

export const text = (value: string): Buffer =>
  Buffer.concat([varint(Buffer.byteLength(value) + 1), Buffer.from(value)]);

export const array = <T>(items: readonly T[], write: (item: T) => Buffer): Buffer =>
  Buffer.concat([varint(items.length + 1), ...items.map(write)]);

/** Reads an answer field by field, behind its header. */
export class FlexibleReader {
  readonly #raw: Buffer;
  #at = 1;

  constructor(raw: Buffer) {
    this.#raw = raw;
  }

  int16(): number {
    this.#at += 2;
    return this.#raw.readInt16BE(this.#at - 2);
  }

  int32(): number {
    this.#at += 4;
    return this.#raw.readInt32BE(this.#at - 4);
  }

  int64(): bigint {
    this.#at += 8;
    return this.#raw.readBigInt64BE(this.#at - 8);
  }

  /** Sixteen bytes as hex. */
  uuid(): string {
    this.#at += 16;
    return this.#raw.toString("hex", this.#at - 16, this.#at);
  }

  /** Null comes as the empty text. */
  text(): string {
    const length = Math.max(0, this.varint() - 1);
    this.#at += length;
    return this.#raw.toString("utf8", this.#at - length, this.#at);
  }

  array<T>(item: () => T): T[] {
    const items: T[] = [];
    for (let left = this.varint() - 1; left > 0; left--) items.push(item());
    return items;
  }

  tags(): void {
    for (let tags = this.varint(); tags > 0; tags--) {
      this.varint();
      this.#at += this.varint();
    }
  }

  varint(): number {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = this.#raw[this.#at++]!;
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
    }
  }
}
