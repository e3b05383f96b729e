import { machineDirective, metricDocument } from "../../../local/fleet/wire.ts";
import { topics } from "../../../pipeline.ts";
import type { Codecs, LogBatch, LogEvent } from "../../../schemas/index.ts";
import { type Broker, type ProducerRecord, partitionFor, type TxnProducer } from "../../../streams/index.ts";

const MINUTE_MS = 60_000;
const SOURCE = "bench@0/shard-0";
const directive = machineDirective("Weir/Bench");

export interface FeedOptions {
  readonly entities: number;
  readonly partitions: number;
  /** Log lines of about 170 B beside each metric document. */
  readonly linesPerRow: number;
  readonly startMs: number;
}

/** Writes a fleet's minutes into logs.raw as the bridge would: a record an entity, a tick a partition and minute. */
export class Feed {
  readonly #options: FeedOptions;
  readonly #codecs: Codecs;
  readonly #producer: TxnProducer;
  readonly #names: readonly string[];
  readonly #partitionOf: readonly number[];
  #minute = 0;
  #seed = 1;
  /** Of the values of all LogBatch records with events. */
  bytes = 0;
  rows = 0;

  constructor(broker: Broker, codecs: Codecs, options: FeedOptions) {
    this.#options = options;
    this.#codecs = codecs;
    this.#producer = broker.producer("bench.feed");
    this.#names = Array.from(
      { length: options.entities },
      (_, i) => `i-${(0x10000000 + i * 7919).toString(16).padStart(17, "0")}`,
    );
    this.#partitionOf = this.#names.map((name) => partitionFor(name, options.partitions));
  }

  get nowMs(): number {
    return this.#options.startMs + this.#minute * MINUTE_MS;
  }

  async open(): Promise<void> {
    await this.#producer.init();
    await this.#producer.send(this.#signs("open"));
    await this.#producer.commit();
  }

  /** One simulated minute, in one transaction: all entities, then the clock. */
  async minute(): Promise<void> {
    const records = this.#names.map((name, i) => this.#record(name, i));
    this.#minute++;
    await this.#producer.send([...records, ...this.#signs("tick")]);
    await this.#producer.commit();
    this.rows += this.#names.length;
  }

  close(): Promise<void> {
    return this.#producer.close();
  }

  #record(entity: string, number: number): ProducerRecord {
    const timestampMs = this.nowMs + ((number * 37) % MINUTE_MS);
    // A load that rises and falls with the day, and noise of the instance's own.
    const day = Math.sin((2 * Math.PI * (this.nowMs % 86_400_000)) / 86_400_000 + number / 100);
    const wave = (mean: number, swing: number) => Math.round((mean + swing * day + swing * this.#random()) * 100) / 100;
    const message = metricDocument(directive, timestampMs, entity, {
      CPUUtilization: wave(40, 12),
      MemoryUtilization: wave(55, 5),
      NetworkIn: Math.round(wave(4e6, 1e6)),
      NetworkOut: Math.round(wave(6e6, 2e6)),
      DiskReadOps: Math.round(wave(120, 30)),
      DiskWriteOps: Math.round(wave(200, 40)),
    });
    const events: LogEvent[] = [{ id: `${this.#minute}-${number}`, timestampMs, message }];
    for (let line = 0; line < this.#options.linesPerRow; line++) {
      const took = Math.floor(this.#random() * 900);
      const text = `${new Date(timestampMs).toISOString()} INFO ${entity} request-handler[${line}] GET /api/v1/orders/${Math.floor(this.#random() * 1e6)} answered 200 in ${took} ms, ${took * 37} bytes, user ${number}, cache miss, upstream checkout`;
      events.push({ id: `${this.#minute}-${number}-${line}`, timestampMs, message: text });
    }
    const value = this.#codecs.encode(topics.logsRaw, this.#batch("events", entity, events));
    this.bytes += value.length;
    return { topic: topics.logsRaw, partition: this.#partitionOf[number]!, key: entity, value, timestampMs };
  }

  #signs(kind: "open" | "tick"): ProducerRecord[] {
    const value = this.#codecs.encode(topics.logsRaw, this.#batch(kind, "", []));
    return Array.from({ length: this.#options.partitions }, (_, partition) => ({
      topic: topics.logsRaw,
      partition,
      key: SOURCE,
      value,
      timestampMs: this.nowMs,
    }));
  }

  #batch(kind: LogBatch["kind"], entity: string, events: LogEvent[]): LogBatch {
    const clockMs = this.nowMs;
    const where = { account: "123456789012", logGroup: "/weir/bench", logStream: "metrics" };
    return { kind, source: SOURCE, clockMs, arrivalMs: clockMs, sequence: "0", ...where, entity, events };
  }

  #random(): number {
    this.#seed = (Math.imul(this.#seed, 1_664_525) + 1_013_904_223) >>> 0;
    return this.#seed / 2 ** 32;
  }
}
