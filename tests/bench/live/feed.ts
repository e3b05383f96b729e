import { topics } from "../../../pipeline.ts";
import type { Codecs, LogBatch, LogEvent } from "../../../schemas/index.ts";
import { type Broker, type ProducerRecord, partitionFor, type TxnProducer } from "../../../streams/index.ts";
import type { LiveFleet } from "./fleet.ts";

const where = { account: "123456789012", logGroup: "/application/logs" };

/**
 * Writes what a fleet delivers into logs.raw as the bridge would that reads two shards: for each of them a transaction
 * a poll, with a record an instance and the shard's clock in every partition.
 */
export class LiveFeed {
  readonly #fleet: LiveFleet;
  readonly #codecs: Codecs;
  readonly #partitions: number;
  readonly #shards: readonly { readonly source: string; readonly producer: TxnProducer }[];
  #sequence = 0;
  events = 0;

  constructor(broker: Broker, codecs: Codecs, fleet: LiveFleet, partitions: number, shards = 2) {
    this.#fleet = fleet;
    this.#codecs = codecs;
    this.#partitions = partitions;
    this.#shards = Array.from({ length: shards }, (_, s) => ({
      source: `bench@0/shard-${s}`,
      producer: broker.producer(`bench.feed.${s}`),
    }));
  }

  async open(clockMs: number): Promise<void> {
    for (const { source, producer } of this.#shards) {
      await producer.init();
      await producer.send(this.#signs("open", source, clockMs));
      await producer.commit();
    }
  }

  /** All that arrives from one time to another. Returns when the last shard began to commit (`performance.now()`). */
  async deliver(fromMs: number, toMs: number): Promise<number> {
    const records: ProducerRecord[][] = this.#shards.map(() => []);
    for (const { instance, entity, events } of this.#fleet.between(fromMs, toMs)) {
      const shard = instance % this.#shards.length;
      const { source } = this.#shards[shard]!;
      records[shard]!.push(
        this.#record("events", source, fromMs, partitionFor(entity, this.#partitions), entity, events),
      );
      this.events += events.length;
    }
    const began = await Promise.all(
      this.#shards.map(async ({ source, producer }, shard) => {
        await producer.send([...records[shard]!, ...this.#signs("tick", source, toMs)]);
        const atMs = performance.now();
        await producer.commit();
        return atMs;
      }),
    );
    return Math.max(...began);
  }

  async close(): Promise<void> {
    await Promise.all(this.#shards.map(({ producer }) => producer.close()));
  }

  #signs(kind: "open" | "tick", source: string, clockMs: number): ProducerRecord[] {
    return Array.from({ length: this.#partitions }, (_, p) => this.#record(kind, source, clockMs, p, "", []));
  }

  #record(
    kind: LogBatch["kind"],
    source: string,
    clockMs: number,
    partition: number,
    entity: string,
    events: readonly LogEvent[],
  ): ProducerRecord {
    const sequence = String(this.#sequence++);
    const batch = { kind, source, clockMs, arrivalMs: clockMs, sequence, ...where, logStream: entity, entity, events };
    const value = this.#codecs.encode(topics.logsRaw, batch);
    return { topic: topics.logsRaw, partition, key: entity || source, value, timestampMs: clockMs };
  }
}
