import { setTimeout as sleep } from "node:timers/promises";
import type { TopicName } from "./names.ts";
import type { Broker, PartitionReader } from "./ports.ts";

const POLL_MS = 500;

/**
 * One partition of a small topic, read whole before the stage begins and followed from then on.
 *
 * `take` is called once per record in offset order; it must not throw.
 */
export class SideInput {
  readonly #broker: Broker;
  readonly #topic: TopicName;
  readonly #partition: number;
  readonly #take: (value: Buffer) => Promise<void> | void;
  readonly #stop = new AbortController();
  #reader: PartitionReader | undefined;
  #following: Promise<void> = Promise.resolve();

  constructor(broker: Broker, topic: TopicName, take: (value: Buffer) => Promise<void> | void, partition = 0) {
    this.#broker = broker;
    this.#topic = topic;
    this.#partition = partition;
    this.#take = take;
  }

  async start(): Promise<void> {
    this.#reader = this.#broker.reader();
    let position = 0;
    let end: number;
    do {
      [position, end] = await this.#read(this.#reader, position);
    } while (position < end);
    this.#following = this.#follow(this.#reader, position);
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#reader?.close();
    await this.#following;
  }

  async #follow(reader: PartitionReader, from: number): Promise<void> {
    for (let position = from; !this.#stop.signal.aborted; ) {
      // What is known stays in force while the topic cannot be read.
      await this.#read(reader, position).then(
        ([next]) => {
          position = next;
        },
        () => undefined,
      );
      await sleep(POLL_MS, undefined, { signal: this.#stop.signal }).catch(() => undefined);
    }
  }

  async #read(reader: PartitionReader, position: number): Promise<[next: number, end: number]> {
    const batch = await reader.fetch(this.#topic, this.#partition, position, { maxWaitMs: POLL_MS });
    for (const { value } of batch.records) if (value) await this.#take(value);
    return [batch.nextOffset, batch.endOffset];
  }
}
