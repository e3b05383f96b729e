import {
  type Broker,
  type Counters,
  noCounters,
  type ProducerRecord,
  stageName,
  type TaskStatus,
  type TxnProducer,
  WeirError,
} from "../../streams/index.ts";
import type { CheckpointTable } from "./checkpoint-table.ts";
import { type ClockMode, decodeRecord } from "./decode.ts";
import type { EntityOptions } from "./entity.ts";
import { type StreamId, shardProducerId, sourceIdOf } from "./names.ts";
import {
  afterPiece,
  afterRecord,
  claimed,
  cursorOf,
  type EventCounters,
  freshCursor,
  rowOf,
  type ShardCursor,
} from "./shard-cursor.ts";
import { ShardReader } from "./shard-reader.ts";
import type { ShardPage, ShardSource } from "./shard-source.ts";
import type { SkewGate } from "./skew-gate.ts";
import { backoffMs, type Time } from "./time.ts";
import { type ShardRecord, toPieces, withoutFirst } from "./to-log-batches.ts";
import type { BridgeTuning } from "./tuning.ts";
import type { Sign, Wire } from "./wire.ts";

export interface ShardTaskOptions {
  readonly broker: Broker;
  readonly kinesis: ShardSource;
  readonly wire: Wire;
  readonly table: CheckpointTable;
  readonly gate: SkewGate;
  readonly stream: StreamId;
  readonly shard: string;
  readonly parents: readonly string[];
  readonly env: string;
  readonly clockMode: ClockMode;
  readonly entities: EntityOptions | undefined;
  readonly tuning: BridgeTuning;
  readonly time: Time;
  readonly log: (line: string) => void;
  /** The shard has ended or gone: list again. */
  readonly onRelist: () => void;
}

/** How a task came to its end: the shard was read to its end, it was told to stop, another process owns the shard. */
export type TaskEnd = "ended" | "stopped" | "fenced";

/**
 * Reads one shard into Kafka, exactly once.
 *
 * Take over (order is the proof): T1 initialise the shard's producer: the predecessor is fenced and its transaction
 * finished. T2 read the checkpoints to their true end. T3 commit the claim: the row with the next take-over number.
 * T4 read the shard behind the row's sequence. Any failure of the producer leads back to T1 with everything in memory
 * dropped. Every transaction holds batches, dead letters, ticks and the row that says how far they go.
 */
export class ShardTask {
  readonly source: string;
  /** Resolves with the first take over, or with the task's end if that comes first; not when `run` rejects. */
  readonly tookOver: Promise<void>;
  readonly #options: ShardTaskOptions;
  readonly #stop = new AbortController();
  readonly #reader: ShardReader;
  #resolveTookOver: () => void = () => {};
  #producer: TxnProducer | undefined;
  #state: TaskStatus["state"] = "starting";
  #lagMs = Number.POSITIVE_INFINITY;
  #cursor = freshCursor(0);
  #committed = this.#cursor;
  #pending: ProducerRecord[] = [];
  #pendingBytes = 0;
  /** Clock of the last tick; -1: the next transaction with records ticks in any case, to end an idleness. */
  #tickedMs = -1;
  #isIdle = false;
  #lastRecordMs = 0;
  #attempt = 0;
  /** Number of this task's last take over; undefined before the first. */
  #claim: number | undefined;
  #takeOversMs: number[] = [];

  constructor(options: ShardTaskOptions) {
    this.#options = options;
    this.source = sourceIdOf(options.stream, options.shard);
    this.tookOver = new Promise((resolve) => {
      this.#resolveTookOver = resolve;
    });
    this.#reader = new ShardReader({
      ...options,
      stream: options.stream.name,
      signal: this.#stop.signal,
      onNotFound: options.onRelist,
    });
    const row = options.table.get(this.source);
    if (row) this.#cursor = this.#committed = cursorOf(row);
    options.gate.set(this.source, this.#cursor.clockMs);
  }

  /** Call once. Rejects with a fatal error only. */
  async run(): Promise<TaskEnd> {
    try {
      const end = await this.#run();
      this.#state = end === "fenced" ? "failed" : "stopped";
      if (end === "ended") this.#lagMs = 0;
      this.#resolveTookOver();
      return end;
    } catch (error) {
      this.#state = "failed";
      throw error;
    } finally {
      this.#options.gate.leave(this.source);
    }
  }

  /** The current transaction is finished; `run` resolves. */
  stop(): void {
    this.#stop.abort();
  }

  get status(): TaskStatus {
    return taskStatus(this.#options.shard, this.#state, this.#lagMs, this.#committed);
  }

  async #run(): Promise<TaskEnd> {
    while (!this.#stop.signal.aborted) {
      try {
        return (await this.#takeOver()) ? await this.#readOn() : "ended";
      } catch (error) {
        const end = await this.#afterFailure(error);
        if (end) return end;
      } finally {
        await this.#producer?.close().catch(() => {});
        this.#producer = undefined;
      }
    }
    return "stopped";
  }

  /** False: the shard has ended already. */
  async #takeOver(): Promise<boolean> {
    const { broker, table, env, stream, shard, time, tuning } = this.#options;
    this.#state = "starting";
    this.#countTakeOver(time.now(), tuning.maxTakeOversPerMinute);
    this.#producer = broker.producer(shardProducerId(env, stream, shard));
    await this.#producer.init();
    await table.refresh();
    const row = table.get(this.source);
    if (!row)
      throw new WeirError(
        "CHECKPOINT_MISSING",
        "fatal",
        `There is no checkpoint of ${this.source}.`,
        "Was the checkpoints topic emptied? Restore it, or start anew with empty topics.",
      );
    this.#cursor = this.#committed = cursorOf(row);
    if (row.state === "ended") return false;
    this.#pending = [];
    this.#pendingBytes = 0;
    this.#tickedMs = -1;
    this.#isIdle = false;
    this.#lastRecordMs = time.now();
    this.#reader.rewind();
    this.#cursor = claimed(this.#cursor);
    this.#claim = this.#cursor.counters.takeOvers;
    await this.#commit();
    this.#state = "running";
    this.#resolveTookOver();
    return true;
  }

  #countTakeOver(nowMs: number, max: number): void {
    this.#takeOversMs = [...this.#takeOversMs.filter((t) => t > nowMs - 60_000), nowMs];
    if (this.#takeOversMs.length > max)
      throw new WeirError(
        "TAKE_OVERS_EXHAUSTED",
        "fatal",
        `${this.source} was taken over ${max} times within a minute.`,
        "Check that the brokers run and that no second bridge with the same environment reads the stream.",
      );
  }

  async #readOn(): Promise<TaskEnd> {
    const { signal } = this.#stop;
    while (await this.#waitForTheSlowest()) {
      const page = await this.#reader.next(this.#cursor.sequence);
      if (!page) break;
      const isWhole = await this.#takePage(page);
      if (isWhole && page.next === null) {
        if (await this.#endShard(page)) return "ended";
        break;
      }
      if (this.#cursor !== this.#committed) await this.#commit(this.#ticks());
      if (isWhole) this.#lagMs = page.millisBehindLatest;
      await this.#sayIdle(page);
      if (signal.aborted) break;
    }
    return "stopped";
  }

  /** False: told to stop. */
  async #waitForTheSlowest(): Promise<boolean> {
    const { gate, time, tuning } = this.#options;
    const { signal } = this.#stop;
    while (!signal.aborted && !gate.mayRead(this.source)) await time.sleep(tuning.minPollMs, signal);
    return !signal.aborted;
  }

  /** False: told to stop on the way. */
  async #takePage(page: ShardPage): Promise<boolean> {
    for (const record of page.records) {
      if (this.#stop.signal.aborted) return false;
      await this.#takeRecord(record);
      // A page may hold hours of event time: the pause must not wait for its end.
      if (this.#options.gate.mayReach(this.#cursor.clockMs)) continue;
      if (this.#cursor !== this.#committed) await this.#commit(this.#ticks());
      if (!(await this.#waitForTheSlowest())) return false;
    }
    if (page.records.length > 0) this.#lastRecordMs = this.#options.time.now();
    return true;
  }

  /** One record may span several transactions: the cursor's event index says how much of it is written. */
  async #takeRecord(record: ShardRecord): Promise<void> {
    const { wire, stream, shard, clockMode, entities, tuning } = this.#options;
    const decoded = decodeRecord(record.data, { arrivalMs: record.arrivalMs, clockMode });
    const pieces = toPieces(record, decoded, {
      stream: stream.name,
      shard,
      source: this.source,
      clockMs: this.#cursor.clockMs,
      partitions: wire.partitions.logsRaw,
      entities,
    });
    for (const piece of withoutFirst(pieces, this.#cursor.eventIndex)) {
      const message = wire.piece(piece);
      this.#pending.push(message);
      this.#pendingBytes += message.value?.length ?? 0;
      this.#cursor = afterPiece(this.#cursor, piece);
      if (this.#pendingBytes >= tuning.commitBytes) await this.#commit(this.#ticks());
    }
    this.#cursor = afterRecord(this.#cursor, record, decoded, clockMode, tuning.deliveryAllowanceMs);
  }

  /** Last records, end of this source, begin of its children: one transaction. False: told to stop before. */
  async #endShard(page: ShardPage): Promise<boolean> {
    const { wire, table, stream, shard, parents } = this.#options;
    const children = page.children.length > 0 ? page.children : await this.#reader.children();
    if (children === null) {
      if (this.#cursor !== this.#committed) await this.#commit(this.#ticks());
      return false;
    }
    const { clockMs, arrivalMs } = this.#cursor;
    const at = { clockMs, arrivalMs, sequence: this.#cursor.sequence };
    const own = children.filter((c) => c.parents.every((p) => p === shard));
    const fresh = own.filter((c) => !table.get(sourceIdOf(stream, c.shard)));
    const signs: Sign[] = fresh.map((c) => ({
      ...at,
      kind: "open",
      source: sourceIdOf(stream, c.shard),
      sequence: "",
    }));
    // The child of a merge is opened by the coordinator when both parents have ended; until then this source stays
    // open where it is, or the watermark could pass the clock that the child inherits.
    if (own.length === children.length) signs.push({ ...at, kind: "close", source: this.source });
    const rows = fresh.map((c) => wire.row(rowOf(stream, c.shard, freshCursor(clockMs), c.parents)));
    const ended = { state: "ended", children: children.map((c) => c.shard) } as const;
    await this.#commit([...this.#ticks(), ...signs], rows, (cursor) => rowOf(stream, shard, cursor, parents, ended));
    this.#options.onRelist();
    return true;
  }

  /** In "records" mode nothing is made up: a silent shard holds the watermark. */
  async #sayIdle(page: ShardPage): Promise<void> {
    const { clockMode, tuning, time, gate } = this.#options;
    if (clockMode !== "arrival" || this.#isIdle || page.records.length > 0 || page.millisBehindLatest > 0) return;
    if (time.now() - this.#lastRecordMs < tuning.idleAfterMs) return;
    const { clockMs, arrivalMs, sequence } = this.#cursor;
    await this.#commit([{ kind: "idle", source: this.source, clockMs, arrivalMs, sequence }]);
    this.#isIdle = true;
    this.#tickedMs = -1;
    gate.leave(this.source);
  }

  #ticks(): Sign[] {
    const { clockMs, arrivalMs, sequence } = this.#cursor;
    return clockMs === this.#tickedMs ? [] : [{ kind: "tick", source: this.source, clockMs, arrivalMs, sequence }];
  }

  /** Everything pending, the signs and the row, in one transaction. A throw leaves the producer dead. */
  async #commit(
    signs: readonly Sign[] = [],
    otherRows: readonly ProducerRecord[] = [],
    rowFor = (cursor: ShardCursor) => rowOf(this.#options.stream, this.#options.shard, cursor, this.#options.parents),
  ): Promise<void> {
    const { wire, gate } = this.#options;
    const producer = this.#producer!;
    const signRecords = signs.flatMap((sign) => wire.sign(sign));
    const { counters } = this.#cursor;
    const cursor = { ...this.#cursor, counters: { ...counters, out: counters.out + signRecords.length } };
    await producer.send([...this.#pending, ...signRecords, wire.row(rowFor(cursor)), ...otherRows]);
    await producer.commit();
    this.#cursor = this.#committed = cursor;
    this.#pending = [];
    this.#pendingBytes = 0;
    if (signs.some((s) => s.kind === "tick")) {
      this.#tickedMs = cursor.clockMs;
      this.#isIdle = false;
      this.#attempt = 0;
    }
    if (!this.#isIdle) gate.set(this.source, cursor.clockMs);
  }

  /** Undefined: take over again. Before that, a look at the row tells whether another owner has claimed the shard. */
  async #afterFailure(error: unknown): Promise<TaskEnd | undefined> {
    const { table, time, tuning, log } = this.#options;
    const { signal } = this.#stop;
    if (error instanceof WeirError && error.disposition === "fatal") throw error;
    if (signal.aborted) return "stopped";
    log(`${this.source}: ${error}`);
    this.#state = "starting";
    const random = time.random();
    const pauseMs = mayBeFenced(error)
      ? tuning.claimWaitMs * (1 + random)
      : backoffMs(this.#attempt++, tuning.retryBaseMs, tuning.retryCapMs, random);
    await time.sleep(pauseMs, signal);
    if (signal.aborted) return "stopped";
    await table.peek().catch(() => {});
    const row = table.get(this.source);
    if (row?.state === "ended") return "ended";
    const isLost = this.#claim !== undefined && (row?.counters.takeOvers ?? 0) > this.#claim;
    return isLost ? "fenced" : undefined;
  }
}

/** A fenced producer may hear of it as a commit without an answer (Kafka 4.4: UNKNOWN_SERVER_ERROR). */
const mayBeFenced = (error: unknown): boolean =>
  error instanceof WeirError && (error.disposition === "fenced" || error.code === "COMMIT_UNKNOWN");

const bridgeStage = stageName("bridge");

/** The status line of a shard, from a task or, for a shard nobody reads any more, from its last row. */
export function taskStatus(
  partition: string,
  state: TaskStatus["state"],
  lag: number,
  at: { readonly clockMs: number; readonly counters: Readonly<EventCounters> },
): TaskStatus {
  const { events, control, dead, out } = at.counters;
  const counters: Counters = { ...noCounters(), in: events + control + dead, accepted: events, control, dead, out };
  return { stage: bridgeStage, partition, state, lag, watermarkMs: at.clockMs, counters, stateBytes: 0 };
}
