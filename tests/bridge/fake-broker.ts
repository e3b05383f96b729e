import {
  type Admin,
  type Broker,
  type FetchResult,
  type PartitionReader,
  type ProducerRecord,
  type RawRecord,
  type TxnProducer,
  WeirError,
} from "../../streams/index.ts";

interface Entry extends RawRecord {
  readonly transaction: Transaction;
}

interface Transaction {
  state: "open" | "unmarked" | "committed" | "aborted";
}

/** What happens to one call of a producer. "after": the broker does it, but the caller hears an error. */
export type Fault = { readonly call: "init" | "send" | "commit"; readonly when: "before" | "after" };

/**
 * A fake broker in memory: transactions, fencing by transactional id, read_committed up to the last stable offset.
 * Faults are asked from `fault` before each call of a producer.
 */
export class FakeBroker implements Broker {
  readonly #partitionCounts: Readonly<Record<string, number>>;
  readonly #logs = new Map<string, Entry[]>();
  readonly #epochs = new Map<string, number>();
  readonly #open = new Map<string, Transaction>();
  /** Committed and aborted transactions, for tests that look at their number. */
  commits = 0;
  fault: (call: Fault["call"], transactionalId: string) => Fault["when"] | undefined = () => undefined;
  /** A commit's records can be read only later: with the producer's next transaction, or once it is settled. */
  marksLate = false;

  constructor(partitionCounts: Readonly<Record<string, number>>) {
    this.#partitionCounts = partitionCounts;
  }

  #log(topic: string, partition: number): Entry[] {
    const key = `${topic}/${partition}`;
    let log = this.#logs.get(key);
    if (!log) {
      log = [];
      this.#logs.set(key, log);
    }
    return log;
  }

  /** All committed records of a partition, in log order. */
  committed(topic: string, partition: number): RawRecord[] {
    return this.#log(topic, partition).filter((e) => e.transaction.state === "committed");
  }

  producer(transactionalId: string): TxnProducer {
    let epoch = -1;
    let isDead = false;
    let transaction: Transaction | undefined;
    const mark = (): void => {
      const last = this.#open.get(transactionalId);
      if (last?.state === "unmarked") last.state = "committed";
    };
    const call = (name: Fault["call"], act: () => void): void => {
      if (isDead) throw new WeirError("PRODUCER_DEAD", "retry", transactionalId, "");
      if (name !== "init" && this.#epochs.get(transactionalId) !== epoch) {
        isDead = true;
        throw new WeirError("PRODUCER_FENCED", "fenced", transactionalId, "");
      }
      const fault = this.fault(name, transactionalId);
      if (fault === "before") isDead = true;
      else act();
      if (!fault) return;
      isDead = true;
      const code = name === "commit" ? "COMMIT_UNKNOWN" : "KAFKA_UNAVAILABLE";
      throw new WeirError(code, "retry", `${name} ${fault}`, "");
    };
    return {
      transactionalId,
      init: async () =>
        call("init", () => {
          epoch = (this.#epochs.get(transactionalId) ?? 0) + 1;
          this.#epochs.set(transactionalId, epoch);
          mark();
          const left = this.#open.get(transactionalId);
          if (left?.state === "open") left.state = "aborted";
        }),
      send: async (records: readonly ProducerRecord[]) =>
        call("send", () => {
          mark();
          transaction ??= { state: "open" };
          this.#open.set(transactionalId, transaction);
          for (const r of records) {
            const log = this.#log(r.topic, r.partition);
            const key = r.key === null ? null : Buffer.from(r.key);
            log.push({ offset: log.length, timestampMs: r.timestampMs, key, value: r.value, transaction });
          }
        }),
      sendOffsets: async () => {},
      settle: async () => {
        if (!isDead) mark();
      },
      commit: async () =>
        call("commit", () => {
          if (transaction) transaction.state = this.marksLate ? "unmarked" : "committed";
          transaction = undefined;
          this.commits++;
        }),
      abort: async () => {
        if (transaction) transaction.state = "aborted";
        transaction = undefined;
      },
      close: async () => {
        isDead = true;
      },
    };
  }

  reader(): PartitionReader {
    return {
      fetch: async (topic, partition, offset, options): Promise<FetchResult> => {
        await new Promise((resolve) => setImmediate(resolve));
        const log = this.#log(topic, partition);
        const isCommitted = options?.isolation !== "read_uncommitted";
        const endOffset = isCommitted ? this.#lastStable(log) : log.length;
        const records = log.slice(offset, endOffset).filter((e) => !isCommitted || e.transaction.state === "committed");
        return { records, nextOffset: Math.max(offset, endOffset), endOffset, startOffset: 0 };
      },
      close: async () => {},
    };
  }

  admin(): Admin {
    return {
      createTopics: async () => {},
      partitionsOf: async (topic) => this.#partitionCounts[topic] ?? 0,
      offsets: async (topic, partition, isolation) => {
        const log = this.#log(topic, partition);
        const endOffset = isolation === "read_committed" ? this.#lastStable(log) : log.length;
        return { startOffset: 0, endOffset };
      },
      close: async () => {},
    };
  }

  #lastStable(log: readonly Entry[]): number {
    const open = log.findIndex((e) => e.transaction.state === "open" || e.transaction.state === "unmarked");
    return open < 0 ? log.length : open;
  }
}
