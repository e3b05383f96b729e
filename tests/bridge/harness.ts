import type { DeadLetter, LogBatch, ShardCheckpoint } from "../../schemas/index.ts";
import { standaloneSchema, typeOf } from "../../schemas/index.ts";
import { type BridgeCodecs, type BridgeOptions, createBridge } from "../../sources/index.ts";
import { type Broker, partitionFor, type Runnable, topicName } from "../../streams/index.ts";
import { FakeBroker } from "./fake-broker.ts";
import { FakeKinesis } from "./fake-kinesis.ts";

export const topics = {
  logsRaw: topicName("logs.raw"),
  checkpoints: topicName("ingest.checkpoints"),
  dead: topicName("kinesis.dead"),
};
export const PARTITIONS = 3;

/** The real Avro schemas without a registry. */
export const codecs = ((): BridgeCodecs => {
  const types = new Map(
    [
      [topics.logsRaw, "log-batch"],
      [topics.checkpoints, "shard-checkpoint"],
      [topics.dead, "dead-letter"],
    ].map(([topic, schema]) => [topic, typeOf(standaloneSchema(schema!))]),
  );
  return {
    encode: (topic, value) => types.get(topic as never)!.toBuffer(value),
    decode: <T>(topic: string, bytes: Buffer) => types.get(topic as never)!.fromBuffer(bytes) as T,
    unknownId: () => null,
    learn: async () => {},
  };
})();

/** A hundred times as fast as the wall clock. */
const SPEED = 100;
const born = Date.now();
export const fastTime = {
  now: () => born + (Date.now() - born) * SPEED,
  random: () => 0.5,
  sleep: (ms: number, signal: AbortSignal) =>
    new Promise<void>((resolve) => {
      if (signal.aborted) return resolve();
      const timer = setTimeout(resolve, ms / SPEED);
      signal.addEventListener("abort", () => {
        clearTimeout(timer);
        resolve();
      });
    }),
};

export class World {
  readonly broker = new FakeBroker({
    [topics.logsRaw]: PARTITIONS,
    [topics.checkpoints]: 2,
    [topics.dead]: 2,
  });
  readonly kinesis = new FakeKinesis();
  readonly lines: string[] = [];
  #bridges: Runnable[] = [];

  bridge(options: Partial<BridgeOptions> = {}): Runnable {
    const bridge = createBridge({
      broker: this.broker as Broker,
      codecs,
      kinesis: this.kinesis,
      stream: "logs",
      topics,
      partitions: PARTITIONS,
      env: "test",
      clockMode: "records",
      time: fastTime,
      log: (line) => this.lines.push(line),
      ...options,
    });
    this.#bridges.push(bridge);
    return bridge;
  }

  async close(): Promise<void> {
    await Promise.all(this.#bridges.map((b) => b.stop()));
  }

  logs(partition: number): LogBatch[] {
    return this.broker
      .committed(topics.logsRaw, partition)
      .map((r) => codecs.decode<LogBatch>(topics.logsRaw, r.value!));
  }

  allLogs(): LogBatch[] {
    return Array.from({ length: PARTITIONS }, (_, p) => this.logs(p)).flat();
  }

  /** Ids of all events, sorted. */
  eventIds(): string[] {
    return this.allLogs()
      .flatMap((b) => b.events.map((e) => e.id))
      .sort();
  }

  signs(partition: number, kind: LogBatch["kind"]): LogBatch[] {
    return this.logs(partition).filter((b) => b.kind === kind);
  }

  letters(): DeadLetter[] {
    return [0, 1].flatMap((p) =>
      this.broker.committed(topics.dead, p).map((r) => codecs.decode<DeadLetter>(topics.dead, r.value!)),
    );
  }

  /** For an operator's decisions. */
  get operate() {
    return { broker: this.broker as Broker, codecs, topics, env: "test", time: fastTime };
  }

  /** The values of a source's row in log order; null is a tombstone. */
  rowsOf(shard: string, created = 1_000): (ShardCheckpoint | null)[] {
    const key = `logs@${created}/${shard}`;
    return this.broker
      .committed(topics.checkpoints, partitionFor(key, 2))
      .filter((r) => r.key?.toString() === key)
      .map((r) => r.value && codecs.decode<ShardCheckpoint>(topics.checkpoints, r.value));
  }

  row(shard: string, created = 1_000): ShardCheckpoint | undefined {
    const key = `logs@${created}/${shard}`;
    const last = this.broker
      .committed(topics.checkpoints, partitionFor(key, 2))
      .filter((r) => r.key?.toString() === key)
      .at(-1);
    return last?.value ? codecs.decode<ShardCheckpoint>(topics.checkpoints, last.value) : undefined;
  }
}

export async function until(what: string, holds: () => boolean, withinMs = 4_000): Promise<void> {
  const deadline = Date.now() + withinMs;
  while (!holds()) {
    if (Date.now() > deadline) throw new Error(`Not within ${withinMs} ms: ${what}.`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

export const T0 = 1_700_000_000_000;

export const logRecord = (stream: string, ids: readonly string[], atMs = T0 - 1_000, group = "/application/logs") => ({
  messageType: "DATA_MESSAGE",
  owner: "123456789012",
  logGroup: group,
  logStream: stream,
  subscriptionFilters: ["all"],
  logEvents: ids.map((id, i) => ({ id, timestamp: atMs + i, message: `message ${id}` })),
});

export const clockRecord = (clockMs: number) => ({ messageType: "WEIR_CLOCK", clockMs });
