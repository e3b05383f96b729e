import type { Admin, Broker, PartitionReader, Runnable, TaskStatus, TopicName } from "../../streams/index.ts";
import { type ColumnsOf, FeatureFormat, RawFormat } from "./format.ts";
import type { LakeStage } from "./layout.ts";
import { LakePartition, type LakeStep } from "./partition.ts";
import { Patience } from "./patience.ts";
import type { LakeCodecs } from "./read-record.ts";
import { defaultLimits, type LakeLimits } from "./rotate.ts";
import { LakeStore, type S3 } from "./store.ts";

export interface LakeOptions {
  readonly broker: Broker;
  readonly codecs: LakeCodecs;
  readonly s3: S3;
  readonly bucket: string;
  readonly stage: LakeStage;
  readonly topic: TopicName;
  readonly partitions: readonly number[];
  /** Needed by `lake-features`. */
  readonly columns?: ColumnsOf;
  readonly limits?: Partial<LakeLimits>;
  readonly monotonicMs?: () => number;
  /** Faults that are borne with, a line now and then. */
  readonly log?: (line: string) => void;
  /** Called at the named points of every upload. */
  readonly onStep?: (partition: number, step: LakeStep) => void;
}

/** A lake stage: `flush` closes all open files and resolves when every row read before the call lies in an object. */
export type Lake = Runnable & { flush(): Promise<void> };

/**
 * Writes the rows of a topic into Parquet objects, each row into exactly one, whatever is killed on the way and even
 * while a second process does the same.
 *
 * Counters: in and out are rows (features) or events (raw logs), a record without rows is one control; out is what lies
 * in objects. Lag counts records not yet read: what is read but not written is read again after a restart. `stop`
 * leaves open files unwritten for the same reason; call `flush` before it to have them.
 */
export function createLake(options: LakeOptions): Lake {
  return new LakeRunner(options);
}

class LakeRunner implements Lake {
  readonly failed: Promise<never>;
  #fail!: (error: unknown) => void;
  #stop = new AbortController();
  #store: LakeStore;
  #admin: Admin;
  #readers: PartitionReader[] = [];
  #partitions: LakePartition[];
  #running: Promise<void>[] = [];
  #patience: (signal: AbortSignal) => Patience;

  constructor(options: LakeOptions) {
    const { broker, codecs, stage, topic, columns, partitions } = options;
    if (stage === "lake-features" && !columns) throw new TypeError("lake-features needs the columns of feature sets.");
    const limits = { ...defaultLimits, ...options.limits };
    this.#store = new LakeStore(options.s3, options.bucket, stage, topic, this.#stop.signal);
    this.#admin = broker.admin();
    const monotonicMs = options.monotonicMs ?? (() => performance.now());
    const log = (line: string) => options.log?.(`${stage}: ${line}`);
    this.#patience = (signal) => new Patience({ signal, log, monotonicMs });
    this.failed = new Promise((_, reject) => {
      this.#fail = reject;
    });
    this.failed.catch(() => undefined); // whoever awaits it sees the error; nobody awaiting is no crash
    this.#partitions = partitions.map((partition) => {
      const reader = broker.reader();
      this.#readers.push(reader);
      return new LakePartition({
        stage,
        topic,
        partition,
        reader,
        codecs,
        store: this.#store,
        admin: this.#admin,
        format: () => (columns && stage === "lake-features" ? new FeatureFormat(columns) : new RawFormat()),
        limits: { ...limits, maxBufferedBytes: limits.maxBufferedBytes / partitions.length },
        monotonicMs,
        patience: this.#patience,
        onStep: (step) => options.onStep?.(partition, step),
      });
    });
  }

  async start(): Promise<void> {
    // An S3 that is away for a while is no reason to give up, neither here nor later.
    await this.#patience(this.#stop.signal).with(async () => {
      await this.#store.probe();
      await Promise.all(this.#partitions.map((p) => p.resume()));
    });
    this.#running = this.#partitions.map((p) => p.run(this.#stop.signal).catch((error) => this.#fail(error)));
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#running);
    await Promise.all([this.#admin, ...this.#readers].map((client) => client.close()));
  }

  async flush(): Promise<void> {
    await Promise.race([Promise.all(this.#partitions.map((p) => p.flush())), this.failed]);
  }

  status(): readonly TaskStatus[] {
    return this.#partitions.map((p) => p.status());
  }
}
