import type { ShardCheckpoint } from "../../schemas/index.ts";
import type { Admin, Broker, Isolation, PartitionReader, TopicName } from "../../streams/index.ts";
import { WeirError } from "../../streams/index.ts";
import type { Time } from "./time.ts";
import type { BridgeCodecs } from "./wire.ts";

/** An open transaction of another shard ends within its time-out of 10 s. */
const MAX_REFRESH_MS = 60_000;
const OPEN_TRANSACTION_POLL_MS = 20;
const FETCH_BYTES = 4 * 1024 * 1024;

export interface CheckpointTableOptions {
  readonly broker: Broker;
  readonly codecs: BridgeCodecs;
  readonly topic: TopicName;
  readonly partitions: number;
  readonly time: Time;
}

/** The committed checkpoint rows, by key. One a process; it reads on from where it was. */
export class CheckpointTable {
  #rows = new Map<string, ShardCheckpoint>();
  #positions: number[];
  #last: Promise<unknown> = Promise.resolve();
  #reader: PartitionReader;
  #admin: Admin;
  readonly #options: CheckpointTableOptions;

  constructor(options: CheckpointTableOptions) {
    this.#options = options;
    this.#positions = new Array<number>(options.partitions).fill(0);
    this.#reader = options.broker.reader();
    this.#admin = options.broker.admin();
  }

  get(key: string): ShardCheckpoint | undefined {
    return this.#rows.get(key);
  }

  ofStream(stream: string): ShardCheckpoint[] {
    return [...this.#rows.values()].filter((r) => r.stream === stream);
  }

  /** Sources of all streams that hold the watermark. */
  *holding(): Generator<{ source: string; clockMs: number }> {
    for (const [source, { state, idle, clockMs }] of this.#rows)
      if (state === "active" && !idle) yield { source, clockMs };
  }

  /**
   * Reads read_committed up to the topic's true end as it was when the call came, so that whoever has initialised a
   * producer before sees everything its predecessor committed. It may have to wait for open transactions, but then
   * holds nobody up.
   */
  async refresh(): Promise<void> {
    const { topic, time } = this.#options;
    const deadline = time.now() + MAX_REFRESH_MS;
    const ends = await this.#inTurn(() => this.#ends("read_uncommitted"));
    for (;;) {
      await this.peek();
      const behind = ends.findIndex(({ endOffset }, p) => this.#positions[p]! < endOffset);
      if (behind < 0) return;
      if (time.now() > deadline)
        throw new WeirError(
          "CHECKPOINTS_UNREADABLE",
          "retry",
          `${topic}/${behind} could not be read up to ${ends[behind]!.endOffset}.`,
          "Look for a hanging transaction with kafka-transactions.sh find-hanging.",
        );
      await time.sleep(OPEN_TRANSACTION_POLL_MS, new AbortController().signal);
    }
  }

  /** Reads what can be read without waiting for open transactions: enough for a look, not for a take over. */
  peek(): Promise<void> {
    return this.#inTurn(() => this.#readOn());
  }

  async close(): Promise<void> {
    await Promise.allSettled([this.#reader.close(), this.#admin.close()]);
  }

  /** One at a time; after any error the connections are in doubt and made anew. */
  #inTurn<T>(read: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(read).catch(async (error) => {
      await this.close();
      this.#reader = this.#options.broker.reader();
      this.#admin = this.#options.broker.admin();
      throw error;
    });
    this.#last = turn.catch(() => {});
    return turn;
  }

  async #ends(isolation: Isolation): Promise<{ startOffset: number; endOffset: number }[]> {
    const ends = [];
    for (let p = 0; p < this.#positions.length; p++)
      ends.push(await this.#admin.offsets(this.#options.topic, p, isolation));
    return ends;
  }

  async #readOn(): Promise<void> {
    for (const [p, { startOffset, endOffset }] of (await this.#ends("read_committed")).entries()) {
      let position = Math.max(this.#positions[p]!, startOffset);
      while (position < endOffset) {
        const { records, nextOffset } = await this.#reader.fetch(this.#options.topic, p, position, {
          maxBytes: FETCH_BYTES,
        });
        for (const record of records) await this.#take(record.key, record.value);
        position = nextOffset;
      }
      this.#positions[p] = position;
    }
  }

  async #take(key: Buffer | null, value: Buffer | null): Promise<void> {
    if (key === null) return;
    if (value === null) return void this.#rows.delete(key.toString());
    const { codecs, topic } = this.#options;
    const unknown = codecs.unknownId(value);
    if (unknown !== null) await codecs.learn(unknown);
    this.#rows.set(key.toString(), codecs.decode<ShardCheckpoint>(topic, value));
  }
}
