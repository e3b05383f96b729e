import { connectCodecs, initialise } from "../../../commands/init.ts";
import { readConfig } from "../../../config.ts";
import type { Stack } from "../../../local/index.ts";
import { settingsOf, stages, topics } from "../../../pipeline.ts";
import type { Codecs, LogBatch } from "../../../schemas/index.ts";
import {
  type Admin,
  changelogTopicFor,
  type PartitionReader,
  type ProducerRecord,
  partitionFor,
  type TxnProducer,
} from "../../../streams/index.ts";
import { emf, eventsOf, MINUTE, sign } from "../../features/helpers.ts";
import { brokerOf, testStack, until } from "../../support/kafka.ts";

export const PARTITIONS = 4;
export const partitions = Array.from({ length: PARTITIONS }, (_, p) => p);
const SOURCE = "bench@0/shard-0";
const T0 = Date.UTC(2026, 0, 5);
const changelog = changelogTopicFor(stages.features.name);
const QUIET_MS = 1_500;
const NEVER_MS = String(Number.MAX_SAFE_INTEGER);
/** The changelog's own settings, but for this: the cleaner leaves all of it alone. */
const uncompacted = {
  ...settingsOf("compact", 1),
  "min.compaction.lag.ms": NEVER_MS,
  "max.compaction.lag.ms": NEVER_MS,
};
/** Minutes that are fed before it is counted how many fill the tail. */
const FIRST_MINUTES = 20;

const metrics = (n: number) => ({
  CPUUtilization: n % 100,
  MemoryUtilization: (n * 7) % 100,
  NetworkIn: n * 1_000,
  NetworkOut: n * 700,
  DiskReadOps: n % 300,
  DiskWriteOps: n % 500,
});

/** A broker, a registry, and what the features stage reads from and writes to them: records of so many instances. */
export class FleetState {
  /** For a process of the stage. */
  readonly env: NodeJS.ProcessEnv;
  readonly #instances: number;
  readonly #stop: () => Promise<void>;
  readonly #codecs: Codecs;
  readonly #feeder: TxnProducer;
  readonly #reader: PartitionReader;
  readonly #admin: Admin;
  #sequence = 0;
  #clockMs = T0;

  private constructor(
    stack: Stack,
    stop: () => Promise<void>,
    env: NodeJS.ProcessEnv,
    codecs: Codecs,
    instances: number,
  ) {
    const broker = brokerOf(stack);
    this.#stop = stop;
    this.env = env;
    this.#codecs = codecs;
    this.#instances = instances;
    this.#feeder = broker.producer("bench.feeder");
    this.#reader = broker.reader();
    this.#admin = broker.admin();
  }

  static async start(instances: number): Promise<FleetState> {
    const { stack, stop } = await testStack(["kafka", "registry"]);
    try {
      const options = {
        WEIR_ENV: "bench",
        WEIR_KAFKA_BROKERS: stack.endpoints.kafka.join(","),
        WEIR_REGISTRY_URL: stack.endpoints.registry,
        WEIR_PARTITIONS: String(PARTITIONS),
      };
      const config = readConfig(options, []);
      const codecs = await connectCodecs(config);
      const broker = brokerOf(stack);
      const admin = broker.admin();
      await admin.createTopics([{ name: changelog, partitions: PARTITIONS, replication: 1, settings: uncompacted }]);
      await admin.close();
      await initialise(config, broker);
      const state = new FleetState(stack, stop, { ...process.env, ...options }, codecs, instances);
      await state.#feeder.init();
      await state.#feed(state.#everywhere("open"));
      return state;
    } catch (error) {
      await stop();
      throw error;
    }
  }

  async stop(): Promise<void> {
    await Promise.all([this.#reader.close(), this.#admin.close(), this.#feeder.close()]);
    await this.#stop();
  }

  /** Feeds minutes until every changelog partition holds that many bytes of records; returns minutes and bytes of all. */
  async fill(tailBytes: number): Promise<{ minutes: number; bytes: number; least: number }> {
    await this.#minutes(FIRST_MINUTES);
    await this.caughtUp();
    const first = await this.#changelogBytes();
    const more = Math.max(0, Math.ceil((tailBytes / Math.min(...first)) * FIRST_MINUTES * 1.1) - FIRST_MINUTES);
    await this.#minutes(more);
    await this.caughtUp();
    const held = more === 0 ? first : await this.#changelogBytes();
    return { minutes: FIRST_MINUTES + more, bytes: held.reduce((a, b) => a + b), least: Math.min(...held) };
  }

  /** One tick of the source in every partition, a little later than the last: something to commit. */
  async tick(): Promise<void> {
    this.#clockMs += 10;
    await this.#feed(this.#everywhere("tick"));
  }

  /** The stage has gone through all that was fed. */
  async caughtUp(): Promise<void> {
    await until(
      "the input is through",
      async () => {
        const ends = await this.ends();
        await new Promise((resolve) => setTimeout(resolve, QUIET_MS));
        return (await this.ends()).every((end, p) => end === ends[p] && end > 10);
      },
      600_000,
    );
  }

  /** Where each changelog partition ends now. */
  async ends(): Promise<number[]> {
    return await Promise.all(
      partitions.map(async (p) => (await this.#admin.offsets(changelog, p, "read_uncommitted")).endOffset),
    );
  }

  /** Whether a commit of progress lies at or behind the offset. */
  async committedSince(partition: number, from: number): Promise<boolean> {
    for (let at = from; ; ) {
      const batch = await this.#reader.fetch(changelog, partition, at, { maxWaitMs: 5 });
      if (batch.records.some((r) => r.key?.toString() === "progress")) return true;
      if (batch.nextOffset === at || batch.nextOffset >= batch.endOffset) return false;
      at = batch.nextOffset;
    }
  }

  async #minutes(count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      const [atMs, minute] = [this.#clockMs, (this.#clockMs - T0) / MINUTE];
      const records = Array.from({ length: this.#instances }, (_, n) => {
        const entity = `i-${String(n).padStart(17, "0")}`;
        const message = emf(entity, atMs + 30_000, metrics(n + minute));
        const event = { id: `${minute}/${n}`, timestampMs: atMs + 30_000, message };
        return this.#record(eventsOf(SOURCE, entity, atMs + 30_000, [event]), partitionFor(entity, PARTITIONS));
      });
      await this.#feed(records);
      this.#clockMs += MINUTE;
      await this.#feed(this.#everywhere("tick"));
    }
  }

  #everywhere(kind: "open" | "tick"): ProducerRecord[] {
    return partitions.map((p) => this.#record(sign(SOURCE, kind, this.#clockMs), p));
  }

  #record(batch: Omit<LogBatch, "sequence" | "arrivalMs">, partition: number): ProducerRecord {
    const sequence = String(this.#sequence++);
    const value = this.#codecs.encode(topics.logsRaw, { ...batch, sequence, arrivalMs: batch.clockMs });
    return { topic: topics.logsRaw, partition, key: batch.entity || SOURCE, value, timestampMs: batch.clockMs };
  }

  async #feed(records: readonly ProducerRecord[]): Promise<void> {
    await this.#feeder.send(records);
    await this.#feeder.commit();
  }

  async #changelogBytes(): Promise<number[]> {
    const bytes = partitions.map(() => 0);
    for (const [p, end] of (await this.ends()).entries()) {
      for (let at = 0; at < end; ) {
        const batch = await this.#reader.fetch(changelog, p, at, { maxBytes: 4_000_000, maxWaitMs: 50 });
        for (const r of batch.records) bytes[p]! += (r.value?.length ?? 0) + (r.key?.length ?? 0);
        at = batch.nextOffset;
      }
    }
    return bytes;
  }
}
