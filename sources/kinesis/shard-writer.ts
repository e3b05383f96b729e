import type { ProducerRecord, TxnProducer } from "../../streams/index.ts";
import type { ShardCursor } from "./shard-cursor.ts";

/**
 * The points of a shard's way at which a crash is worth a test; each stands right before its effect. READ: a page has
 * come and is taken. SEND: a transaction's records go to the broker. SHARD_END: the same for the one that ends the
 * shard. COMMIT: everything was sent. COMMITTED: the broker has said so.
 */
export type BridgeStep = "READ" | "SEND" | "SHARD_END" | "COMMIT" | "COMMITTED";

export interface Transaction {
  readonly records: readonly ProducerRecord[];
  /** How far the shard is read once it is committed. */
  readonly cursor: ShardCursor;
  readonly isEnd: boolean;
}

/**
 * Writes a shard's transactions one after another, each while the next is being made: at most one is under way.
 * After an error nothing more is written, and every call throws it.
 */
export class ShardWriter {
  readonly #producer: TxnProducer;
  readonly #onStep: (step: BridgeStep) => void;
  readonly #onCommitted: (cursor: ShardCursor) => void;
  #underWay: Promise<void> = Promise.resolve();

  constructor(producer: TxnProducer, onStep: (step: BridgeStep) => void, onCommitted: (cursor: ShardCursor) => void) {
    this.#producer = producer;
    this.#onStep = onStep;
    this.#onCommitted = onCommitted;
  }

  /** Resolves once the transaction before this one is committed. */
  async begin(transaction: Transaction): Promise<void> {
    await this.#underWay;
    this.#underWay = this.#write(transaction);
    // Whoever comes next hears of it; until then it is no unhandled rejection.
    this.#underWay.catch(() => {});
  }

  /** Resolves once everything is committed. */
  settle(): Promise<void> {
    return this.#underWay;
  }

  async #write({ records, cursor, isEnd }: Transaction): Promise<void> {
    this.#onStep(isEnd ? "SHARD_END" : "SEND");
    await this.#producer.send(records);
    this.#onStep("COMMIT");
    await this.#producer.commit();
    this.#onStep("COMMITTED");
    this.#onCommitted(cursor);
  }
}
