import type { ShardCheckpoint } from "../../schemas/index.ts";
import type { Admin, Broker, PartitionReader, TopicName } from "../../streams/index.ts";
import { WeirError } from "../../streams/index.ts";
import type { Time } from "./time.ts";
import type { BridgeCodecs } from "./wire.ts";

/** An open transaction of another shard ends within its time-out of 10 s. */
const MAX_REFRESH_MS = 60_000;

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
  #positions: (number | undefined)[];
  #last: Promise<void> = Promise.resolve();
  #reader: PartitionReader;
  #admin: Admin;
  readonly #options: CheckpointTableOptions;

  constructor(options: CheckpointTableOptions) {
    this.#options = options;
    this.#positions = new Array<undefined>(options.partitions).fill(undefined);
    this.#reader = options.broker.reader();
    this.#admin = options.broker.admin();
  }

  get(key: string): ShardCheckpoint | undefined {
    return this.#rows.get(key);
  }

  ofStream(stream: string): ShardCheckpoint[] {
    return [...this.#rows.values()].filter((r) => r.stream === stream);
  }

  /**
   * Reads read_committed up to the topic's true end as it is when this call's turn comes, so that whoever has
   * initialised a producer before sees everything its predecessor committed. Calls wait for each other.
   */
  refresh(): Promise<void> {
    const turn = this.#last.then(() => this.#refresh());
    this.#last = turn.catch(() => {});
    return turn;
  }

  async close(): Promise<void> {
    await Promise.allSettled([this.#reader.close(), this.#admin.close()]);
  }

  async #refresh(): Promise<void> {
    const { broker, topic, partitions, time } = this.#options;
    const deadline = time.now() + MAX_REFRESH_MS;
    try {
      for (let partition = 0; partition < partitions; partition++) {
        const { startOffset, endOffset } = await this.#admin.offsets(topic, partition, "read_uncommitted");
        let position = Math.max(this.#positions[partition] ?? 0, startOffset);
        while (position < endOffset) {
          const { records, nextOffset } = await this.#reader.fetch(topic, partition, position, {
            isolation: "read_committed",
          });
          for (const record of records) await this.#take(record.key, record.value);
          position = nextOffset;
          this.#positions[partition] = position;
          if (position < endOffset && time.now() > deadline)
            throw new WeirError(
              "CHECKPOINTS_UNREADABLE",
              "retry",
              `${topic}/${partition} could not be read past ${position} up to ${endOffset}.`,
              "Look for a hanging transaction with kafka-transactions.sh find-hanging.",
            );
        }
      }
    } catch (error) {
      // After any error the connections are in doubt.
      await this.close();
      this.#reader = broker.reader();
      this.#admin = broker.admin();
      throw error;
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
