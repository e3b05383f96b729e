import { type Broker, type Runnable, type TaskStatus, WeirError } from "../../streams/index.ts";
import { CheckpointTable } from "./checkpoint-table.ts";
import { coordinate } from "./coordinator.ts";
import type { ClockMode } from "./decode.ts";
import type { EntityOptions } from "./entity.ts";
import { type StreamId, sourceIdOf } from "./names.ts";
import { cursorOf } from "./shard-cursor.ts";
import { FORGOTTEN } from "./shard-plan.ts";
import type { ShardSource } from "./shard-source.ts";
import { shardStatus } from "./shard-status.ts";
import { ShardTask, type TaskEnd } from "./shard-task.ts";
import type { BridgeStep } from "./shard-writer.ts";
import { SkewGate } from "./skew-gate.ts";
import { backoffMs, systemTime, type Time } from "./time.ts";
import { type BridgeTuning, defaultTuning } from "./tuning.ts";
import { type BridgeCodecs, type BridgeTopics, rowKey, Wire } from "./wire.ts";

export interface BridgeOptions {
  readonly broker: Broker;
  readonly codecs: BridgeCodecs;
  readonly kinesis: ShardSource;
  readonly stream: string;
  readonly topics: BridgeTopics;
  /** Partitions of logs.raw, as the pipeline defines them; another count is refused. */
  readonly partitions: number;
  /** Prefix of all transactional ids: two bridges with the same one fence each other, the newer wins. */
  readonly env: string;
  readonly clockMode: ClockMode;
  readonly entities?: EntityOptions;
  readonly tuning?: Partial<BridgeTuning>;
  readonly time?: Time;
  /** Faults that were borne with, a line each. */
  readonly log?: (line: string) => void;
  /** Called at the named points of every shard's way. */
  readonly onStep?: (source: string, step: BridgeStep) => void;
}

/** Kinesis → logs.raw, exactly once: one task a shard. */
export const createBridge = (options: BridgeOptions): Runnable => new Bridge(options);

const START_ATTEMPTS = 8;
const STOP_WITHIN_MS = 5_000;

class Bridge implements Runnable {
  readonly failed: Promise<never>;
  readonly #options: BridgeOptions;
  readonly #tuning: BridgeTuning;
  readonly #time: Time;
  readonly #gate: SkewGate;
  readonly #stop = new AbortController();
  readonly #tasks = new Map<string, { readonly task: ShardTask; readonly run: Promise<void> }>();
  #fail: (error: unknown) => void = () => {};
  #wake = new AbortController();
  #stream: StreamId | undefined;
  /** Another process has taken a shard over. */
  #hasLost = false;
  #wire: Wire | undefined;
  #table: CheckpointTable | undefined;
  #loop: Promise<void> = Promise.resolve();
  #stopped: Promise<void> | undefined;

  constructor(options: BridgeOptions) {
    this.#options = options;
    this.#tuning = { ...defaultTuning, ...options.tuning };
    this.#time = options.time ?? systemTime;
    this.#gate = new SkewGate(this.#tuning.maxSkewMs, () => this.#table?.holding() ?? []);
    this.failed = new Promise<never>((_, reject) => {
      this.#fail = reject;
    });
    // Who stops the bridge may have stopped listening.
    this.failed.catch(() => {});
  }

  async start(): Promise<void> {
    const { broker, codecs, topics } = this.#options;
    this.#wire = new Wire(codecs, topics, await this.#partitions());
    const partitions = this.#wire.partitions.checkpoints;
    this.#table = new CheckpointTable({ broker, codecs, topic: topics.checkpoints, partitions, time: this.#time });
    for (let attempt = 0; ; attempt++) {
      try {
        await this.#coordinate(true);
        break;
      } catch (error) {
        if (this.#stop.signal.aborted || attempt + 1 === START_ATTEMPTS || isFatal(error)) throw error;
        await this.#backoff(attempt);
      }
    }
    await Promise.race([Promise.all([...this.#tasks.values()].map(({ task }) => task.tookOver)), this.failed]);
    this.#loop = this.#keepListing();
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#leave();
    return this.#stopped;
  }

  status(): readonly TaskStatus[] {
    const { stream } = this.#options;
    return (this.#table?.ofStream(stream) ?? []).map((row) => {
      const task = this.#tasks.get(rowKey(row))?.task;
      if (task) return task.status;
      const isOfThisLife = row.streamCreatedMs === this.#stream?.createdMs;
      const name = isOfThisLife ? row.shard : `${row.streamCreatedMs}/${row.shard}`;
      const state = row.state === "ended" ? "stopped" : "starting";
      return shardStatus(row.shard === FORGOTTEN ? "ended" : name, state, cursorOf(row), this.#time.now());
    });
  }

  async #partitions(): Promise<Wire["partitions"]> {
    const { topics, partitions } = this.#options;
    const admin = this.#options.broker.admin();
    try {
      const logsRaw = await admin.partitionsOf(topics.logsRaw);
      if (logsRaw !== partitions)
        throw new WeirError(
          "PARTITIONS_CHANGED",
          "fatal",
          `${topics.logsRaw} has ${logsRaw} partitions, the pipeline wants ${partitions}.`,
          "State is bound to its partition: keep the count, or replay into new topics.",
        );
      const checkpoints = await admin.partitionsOf(topics.checkpoints);
      return { logsRaw, checkpoints, dead: await admin.partitionsOf(topics.dead) };
    } finally {
      await admin.close();
    }
  }

  /** Opens and closes sources as the stream's shards ask for it, then starts and stops tasks. */
  async #coordinate(isStart: boolean): Promise<void> {
    const table = this.#table!;
    const { signal } = this.#stop;
    const { stream, plan } = await coordinate(
      { ...this.#options, wire: this.#wire!, table, isStart, nowMs: this.#time.now() },
      signal,
    );
    if (signal.aborted) return;
    this.#stream = stream;
    for (const row of plan.close) this.#tasks.get(rowKey(row))?.task.stop();
    if (this.#hasLost) return;
    for (const shard of plan.read) if (!this.#tasks.has(sourceIdOf(stream, shard))) this.#launch(stream, shard);
  }

  #launch(stream: StreamId, shard: string): void {
    const { broker, kinesis, env, clockMode, entities } = this.#options;
    const table = this.#table!;
    const task = new ShardTask({
      broker,
      kinesis,
      env,
      clockMode,
      entities,
      stream,
      shard,
      table,
      wire: this.#wire!,
      gate: this.#gate,
      parents: table.get(sourceIdOf(stream, shard))?.parents ?? [],
      tuning: this.#tuning,
      time: this.#time,
      log: (line) => this.#log(line),
      onStep: this.#options.onStep ?? (() => {}),
      onRelist: () => this.#wake.abort(),
    });
    const run = task.run().then(
      (end) => this.#afterEnd(task.source, end),
      (error) => this.#fail(error),
    );
    this.#tasks.set(task.source, { task, run });
  }

  /**
   * A lost shard is another process's business, and so is every shard to come: the newer process reads the whole
   * stream. A process that has lost and has none left fails.
   */
  #afterEnd(source: string, end: TaskEnd): void {
    if (end === "fenced") {
      this.#hasLost = true;
      this.#log(`${source}: another process reads this shard now.`);
    }
    if (!this.#hasLost || end === "stopped") return;
    if ([...this.#tasks.values()].some(({ task }) => ["starting", "running"].includes(task.status.state))) return;
    this.#fail(
      new WeirError(
        "ALL_SHARDS_LOST",
        "fenced",
        `Every shard of ${this.#options.stream} that this process read is now read by another.`,
        "Run one bridge a stream and environment, or give the second its own WEIR_ENV.",
      ),
    );
  }

  async #keepListing(): Promise<void> {
    const { signal } = this.#stop;
    for (let attempt = 0; !signal.aborted; ) {
      await this.#time.sleep(this.#tuning.relistMs, AbortSignal.any([signal, this.#wake.signal]));
      if (signal.aborted) return;
      this.#wake = new AbortController();
      try {
        await this.#coordinate(false);
        attempt = 0;
      } catch (error) {
        if (signal.aborted) return;
        if (isFatal(error)) return this.#fail(error);
        this.#log(`${this.#options.stream}: ${error}`);
        this.#wake.abort();
        await this.#backoff(attempt++);
      }
    }
  }

  async #leave(): Promise<void> {
    this.#stop.abort();
    for (const { task } of this.#tasks.values()) task.stop();
    const all = Promise.allSettled([this.#loop, ...[...this.#tasks.values()].map(({ run }) => run)]);
    const waited = new AbortController();
    await Promise.race([all, this.#time.sleep(STOP_WITHIN_MS, waited.signal)]);
    waited.abort();
    await this.#table?.close();
  }

  #backoff(attempt: number): Promise<void> {
    const { retryBaseMs, retryCapMs } = this.#tuning;
    return this.#time.sleep(backoffMs(attempt, retryBaseMs, retryCapMs, this.#time.random()), this.#stop.signal);
  }

  #log(line: string): void {
    this.#options.log?.(line);
  }
}

const isFatal = (error: unknown): boolean => error instanceof WeirError && error.disposition === "fatal";
