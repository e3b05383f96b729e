import { standaloneSchema, typeOf } from "../../schemas/index.ts";
import type { S3 } from "../../sinks/index.ts";
import { type Broker, type FetchResult, type RawRecord, type TopicName, WeirError } from "../../streams/index.ts";

/** A log in memory behind the broker's ports, for reading only. Offsets may have gaps, as where markers stand. */
export class FakeBroker implements Broker {
  /** Records a fetch returns at most: small, so that one file spans many fetches. */
  fetchRecords = 5;
  #logs = new Map<string, { records: RawRecord[]; next: number; start: number }[]>();

  createTopic(topic: string, partitions = 1): void {
    this.#logs.set(
      topic,
      Array.from({ length: partitions }, () => ({ records: [], next: 0, start: 0 })),
    );
  }

  append(topic: string, partition: number, value: Buffer | null, timestampMs = 0, key: string | null = null): number {
    const log = this.#log(topic, partition);
    const offset = log.next++;
    log.records.push({ offset, timestampMs, key: key === null ? null : Buffer.from(key), value });
    return offset;
  }

  /** Offsets without a record: transaction markers, aborted records. */
  gap(topic: string, partition: number, offsets: number): void {
    this.#log(topic, partition).next += offsets;
  }

  /** What retention does. */
  deleteBelow(topic: string, partition: number, offset: number): void {
    const log = this.#log(topic, partition);
    log.start = offset;
    log.records = log.records.filter((r) => r.offset >= offset);
  }

  reader() {
    return {
      fetch: async (topic: TopicName, partition: number, offset: number): Promise<FetchResult> => {
        const log = this.#log(topic, partition);
        if (offset < log.start || offset > log.next)
          throw new WeirError("OFFSET_OUT_OF_RANGE", "fatal", `${offset} of ${log.start} to ${log.next}`, "");
        if (offset === log.next) await new Promise((resolve) => setTimeout(resolve, 2));
        const records = log.records.filter((r) => r.offset >= offset).slice(0, this.fetchRecords);
        const atEnd = records.length < this.fetchRecords;
        const nextOffset = atEnd ? log.next : records.at(-1)!.offset + 1;
        return { records, nextOffset, endOffset: log.next, startOffset: log.start };
      },
      close: async () => {},
    };
  }

  admin() {
    return {
      createTopics: async () => {},
      partitionsOf: async (topic: TopicName) => this.#logs.get(topic)?.length ?? 0,
      offsets: async (topic: TopicName, partition: number) => {
        const log = this.#log(topic, partition);
        return { startOffset: log.start, endOffset: log.next };
      },
      close: async () => {},
    };
  }

  producer(): never {
    throw new Error("This log is written with append.");
  }

  #log(topic: string, partition: number) {
    const log = this.#logs.get(topic)?.[partition];
    if (!log) throw new Error(`No ${topic}/${partition}`);
    return log;
  }
}

/** Real Avro in the registry's frame; ids are the schemas' places, so no registry is needed. */
export class FakeCodecs {
  #types = new Map<string, { id: number; type: ReturnType<typeof typeOf> }>();

  constructor(schemaOf: Record<string, string>) {
    for (const [topic, schema] of Object.entries(schemaOf))
      this.#types.set(topic, { id: this.#types.size + 1, type: typeOf(standaloneSchema(schema)) });
  }

  encode(topic: string, value: unknown): Buffer {
    const { id, type } = this.#types.get(topic)!;
    const head = Buffer.alloc(5);
    head.writeInt32BE(id, 1);
    return Buffer.concat([head, type.toBuffer(value)]);
  }

  unknownId(bytes: Buffer): number | null {
    if (bytes.length < 5 || bytes[0] !== 0) throw new Error("No magic byte.");
    return null;
  }

  async learn(): Promise<void> {}

  decode<T>(topic: string, bytes: Buffer): T {
    return this.#types.get(topic)!.type.fromBuffer(bytes.subarray(5)) as T;
  }
}

export type PutFault = "none" | "fails before" | "fails after" | "stored late";

/** A real S3 client whose creates of Parquet files may fail, before or after the server has stored the object. */
export class FaultyS3 implements S3 {
  puts = 0;
  #s3: S3;
  #faultOf: (put: number) => PutFault;
  #late: Promise<unknown>[] = [];

  constructor(s3: S3, faultOf: (put: number) => PutFault) {
    this.#s3 = s3;
    this.#faultOf = faultOf;
  }

  send = (async (command: { input: { Key?: string } }, options: unknown) => {
    // biome-ignore lint/suspicious/noExplicitAny: the overloads of send cannot be written for a wrapper
    const real = this.#s3.send as (command: unknown, options?: unknown) => Promise<any>;
    const isPut = command.constructor.name === "PutObjectCommand" && command.input.Key?.endsWith(".parquet");
    const fault = isPut ? this.#faultOf(this.puts++) : "none";
    if (fault === "fails before") throw new Error("connection refused (on purpose)");
    // As a request still under way when its process dies: the server has it only after the successor has listed.
    if (fault === "stored late") {
      this.#late.push(new Promise((resolve) => setTimeout(resolve, 15)).then(() => real.call(this.#s3, command)));
      throw new Error("connection lost (on purpose)");
    }
    const reply = await real.call(this.#s3, command, options);
    if (fault === "fails after") throw new Error("connection lost (on purpose)");
    return reply;
  }) as S3["send"];

  /** Waits for what is still under way. */
  async settle(): Promise<void> {
    await Promise.allSettled(this.#late);
  }
}
