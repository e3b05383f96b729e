import { WeirError } from "../errors.ts";
import { type Decision, endLeftOpen, FORGOTTEN } from "../left-open.ts";
import type { TopicName } from "../names.ts";
import type {
  Admin,
  FetchResult,
  Isolation,
  PartitionName,
  PartitionReader,
  ProducerRecord,
  TopicSettings,
  TxnProducer,
} from "../ports.ts";
import type { ProducerIdentity } from "./coordinator.ts";
import type { SimulatedBroker } from "./simulated-broker.ts";
import { connectionLost, type SimulatedProcess } from "./simulated-process.ts";

/** As the real adapter's. */
const TRANSACTION_TIMEOUT_MS = 10_000;
const TOO_LARGE = "MESSAGE_TOO_LARGE";
const MAX_BATCH_BYTES = 1_000_000;
const ADMIN_RETRIES = 20;
const ADMIN_PAUSE_MS = 100;

export class SimulatedReader implements PartitionReader {
  readonly #broker: SimulatedBroker;
  readonly #process: SimulatedProcess;
  #breaks: (error: WeirError) => void = () => undefined;

  constructor(broker: SimulatedBroker, process: SimulatedProcess) {
    this.#broker = broker;
    this.#process = process;
  }

  async fetch(
    topic: TopicName,
    partition: number,
    offset: number,
    options: { readonly maxBytes?: number; readonly maxWaitMs?: number; readonly isolation?: Isolation } = {},
  ): Promise<FetchResult> {
    const { maxBytes = 1_048_576, maxWaitMs = 500, isolation = "read_committed" } = options;
    const closed = new Promise<never>((_, reject) => {
      this.#breaks = reject;
    });
    const answer = this.#process.call<FetchResult>("fetch", (reply) =>
      this.#broker.serveFetch({ topic, partition }, offset, { isolation, maxBytes, maxWaitMs }, reply),
    );
    return await Promise.race([answer, closed]);
  }

  async close(): Promise<void> {
    this.#breaks(connectionLost("Fetch"));
  }
}

export class SimulatedProducer implements TxnProducer {
  readonly transactionalId: string;
  readonly #broker: SimulatedBroker;
  readonly #process: SimulatedProcess;
  #identity: ProducerIdentity | undefined;
  /** Partitions announced for the open transaction; undefined while none is open. */
  #announced: Map<string, PartitionName> | undefined;
  /** As the real adapter's: the transaction before it. */
  #last: { readonly partitions: readonly PartitionName[]; readonly decision: Decision } = {
    partitions: [],
    decision: FORGOTTEN,
  };
  #dead = false;

  constructor(broker: SimulatedBroker, process: SimulatedProcess, transactionalId: string) {
    this.#broker = broker;
    this.#process = process;
    this.transactionalId = transactionalId;
  }

  async init(topics: readonly TopicName[] = []): Promise<void> {
    await this.#guard("InitProducerId", async () => {
      const { coordinator } = this.#broker;
      const decided = await this.#process.call<Decision | "under way" | undefined>("describe-transaction", (reply) =>
        coordinator.decided(this.transactionalId, reply),
      );
      this.#identity = await this.#process.call("init", (reply) =>
        coordinator.init(this.transactionalId, TRANSACTION_TIMEOUT_MS, reply),
      );
      const partitions = topics.flatMap((topic) =>
        Array.from({ length: this.#broker.partitionsOf(topic) ?? 0 }, (_, partition) => ({ topic, partition })),
      );
      this.#last = { partitions, decision: decided === "commit" ? decided : FORGOTTEN };
      await this.#endLeftOpen();
    });
  }

  async send(records: readonly ProducerRecord[]): Promise<void> {
    await this.#guard("Produce", async () => {
      const byPartition = Map.groupBy(records, (r) => `${r.topic}/${r.partition}`);
      if (byPartition.size === 0) return;
      refuseTooLarge(records, this.transactionalId);
      const opens = this.#announced === undefined;
      this.#announced ??= new Map();
      const fresh = [...byPartition].filter(([name]) => !this.#announced!.has(name));
      const partitions = fresh.map(([, [first]]): PartitionName => first!);
      if (partitions.length > 0) await this.#announce(partitions);
      if (opens && (await this.#endLeftOpen())) await this.#announce(partitions);
      for (const [name, [first]] of fresh) this.#announced.set(name, first!);
      const sent = await Promise.allSettled(
        [...byPartition.values()].map((some) =>
          this.#process.call<void>("produce", (reply) => {
            const appended = some.map((r) => ({ ...r, key: r.key === null ? null : Buffer.from(r.key) }));
            this.#broker.coordinator.produce(this.#known(), some[0]!, appended, this.#broker.nowMs, reply);
          }),
        ),
      );
      const failed = sent.find((s) => s.status === "rejected");
      if (failed) throw failed.reason;
    });
  }

  async #announce(partitions: readonly PartitionName[]): Promise<void> {
    await this.#process.call<void>("add-partitions", (reply) =>
      this.#broker.serveAddPartitions(this.#known(), TRANSACTION_TIMEOUT_MS, partitions, reply),
    );
  }

  async #endLeftOpen(): Promise<boolean> {
    const { partitions, decision } = this.#last;
    this.#last = { partitions: [], decision };
    if (partitions.length === 0) return false;
    const { coordinator } = this.#broker;
    return await endLeftOpen(this.transactionalId, decision, {
      find: () =>
        this.#process.call("describe-producers", (reply) =>
          this.#broker.serveOpen(this.#known().producerId, partitions, reply),
        ),
      end: async (open, as) => {
        await this.#announce(open);
        await this.#process.call<void>(as, (reply) =>
          coordinator.end(this.#known(), as === "commit" ? "committing" : "aborting", reply),
        );
        await this.#markersWritten();
      },
    });
  }

  async #markersWritten(): Promise<void> {
    const { coordinator } = this.#broker;
    await this.#process.call<void>("describe-transaction", (reply) => coordinator.completed(this.#known(), reply));
  }

  async sendOffsets(groupId: string, topic: TopicName, partition: number, nextOffset: number): Promise<void> {
    await this.#guard("TxnOffsetCommit", async () => {
      if (!this.#announced) return;
      const offset = { groupId, key: `${topic}/${partition}`, offset: nextOffset };
      await this.#process.call<void>("offsets", (reply) =>
        this.#broker.coordinator.addOffset(this.#known(), TRANSACTION_TIMEOUT_MS, offset, reply),
      );
    });
  }

  async commit(): Promise<void> {
    if (!this.#announced && !this.#dead) return;
    this.#last = { partitions: [...(this.#announced?.values() ?? [])], decision: "commit" };
    this.#announced = undefined;
    try {
      await this.#guard("EndTxn", () =>
        this.#process.call("commit", (reply) => this.#broker.coordinator.end(this.#known(), "committing", reply)),
      );
    } catch (error) {
      const known = error as WeirError;
      if (known.disposition !== "retry" || known.code === "PRODUCER_DEAD") throw known;
      const next = "The task reads its changelog to learn what became of it.";
      throw new WeirError("COMMIT_UNKNOWN", "retry", known.message, next, { cause: known });
    }
  }

  async abort(): Promise<void> {
    const open = this.#announced;
    this.#last = { partitions: [...(open?.values() ?? [])], decision: "abort" };
    this.#announced = undefined;
    if (open && !this.#dead)
      await this.#guard("EndTxn", () =>
        this.#process.call("abort", (reply) => this.#broker.coordinator.end(this.#known(), "aborting", reply)),
      );
  }

  async settle(): Promise<void> {
    if (this.#last.partitions.length === 0 || this.#announced || this.#dead) return;
    await this.#guard("DescribeTransactions", async () => {
      await this.#markersWritten();
      await this.#endLeftOpen();
    });
  }

  async close(): Promise<void> {
    this.#dead = true;
  }

  #known(): ProducerIdentity {
    if (!this.#identity) throw new Error(`${this.transactionalId} was not initialised.`);
    return this.#identity;
  }

  async #guard(what: string, call: () => Promise<void>): Promise<void> {
    if (this.#dead)
      throw new WeirError(
        "PRODUCER_DEAD",
        "retry",
        `${what} on a producer that failed before.`,
        "A new producer is made.",
      );
    try {
      await call();
    } catch (error) {
      this.#dead = true;
      throw error;
    }
  }
}

export class SimulatedAdmin implements Admin {
  readonly #broker: SimulatedBroker;
  readonly #process: SimulatedProcess;

  constructor(broker: SimulatedBroker, process: SimulatedProcess) {
    this.#broker = broker;
    this.#process = process;
  }

  async createTopics(topics: readonly TopicSettings[]): Promise<void> {
    await this.#retried(() => this.#process.call("metadata", (reply) => this.#broker.serveCreate(topics, reply)));
  }

  async partitionsOf(topic: TopicName): Promise<number> {
    return await this.#retried(() =>
      this.#process.call("metadata", (reply) => this.#broker.servePartitions(topic, reply)),
    );
  }

  async offsets(topic: TopicName, partition: number, isolation: Isolation) {
    return await this.#retried(() =>
      this.#process.call<{ startOffset: number; endOffset: number }>("list-offsets", (reply) =>
        this.#broker.serveOffsets({ topic, partition }, isolation, reply),
      ),
    );
  }

  async topicId(topic: TopicName): Promise<string | null> {
    return await this.#retried(() =>
      this.#process.call("metadata", (reply) => this.#broker.serveTopicId(topic, reply)),
    );
  }

  async close(): Promise<void> {}

  /** As the real adapter: asked again until its time is up. */
  async #retried<T>(call: () => Promise<T>): Promise<T> {
    for (let left = ADMIN_RETRIES; ; left--) {
      try {
        return await call();
      } catch (error) {
        if (!(error instanceof WeirError) || error.disposition !== "retry" || left === 0) throw error;
        await this.#process.time.sleep(ADMIN_PAUSE_MS);
      }
    }
  }
}

function refuseTooLarge(records: readonly ProducerRecord[], where: string): void {
  const large = records.find((r) => (r.value?.length ?? 0) > MAX_BATCH_BYTES);
  if (!large) return;
  throw new WeirError(
    `KAFKA_${TOO_LARGE}`,
    "fatal",
    `Produce of ${where} to ${large.topic}/${large.partition}: ${large.value!.length} bytes (simulated).`,
    "Check the permissions and settings of the cluster.",
  );
}
