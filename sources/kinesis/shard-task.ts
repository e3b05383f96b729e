import { type Broker, type ProducerRecord, type TaskStatus, type TxnProducer, WeirError } from "../../streams/index.ts";
import type { CheckpointTable } from "./checkpoint-table.ts";
import type { ClockMode } from "./decode.ts";
import type { EntityOptions } from "./entity.ts";
import { type Inflated, inflateAside } from "./inflate.ts";
import { type StreamId, shardProducerId, sourceIdOf } from "./names.ts";
import { claimed, cursorOf, freshCursor, rowOf, type ShardCursor } from "./shard-cursor.ts";
import { shardEnd } from "./shard-end.ts";
import type { ListedShard } from "./shard-plan.ts";
import { type ReadPage, ShardReader } from "./shard-reader.ts";
import type { ShardSource } from "./shard-source.ts";
import { shardStatus } from "./shard-status.ts";
import { type BridgeStep, ShardWriter } from "./shard-writer.ts";
import type { SkewGate } from "./skew-gate.ts";
import { takeRecord } from "./take-record.ts";
import { backoffMs, type Time } from "./time.ts";
import type { ShardRecord } from "./to-log-batches.ts";
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
  readonly onStep: (source: string, step: BridgeStep) => void;
  /** The shard has ended or gone: list again. */
  readonly onRelist: () => void;
}

/** Records unpacked while the one before them is taken apart; each may grow to the limit of what a record may hold. */
const INFLATE_AHEAD = 3;
/** Dead letters of our own making in a row at which the fault is not the records'. */
const MAX_ERRORS_IN_A_ROW = 100;
/** A silent shard's row is renewed this often within the time that the stream keeps records. */
const TIPS_PER_RETENTION = 4;
/** Between two looks at the checkpoints of others while a shard waits for them. */
const MIN_GATE_POLL_MS = 50;

/** How a task came to its end: the shard was read to its end, it was told to stop, another process owns the shard. */
export type TaskEnd = "ended" | "stopped" | "fenced";

/**
 * Reads one shard into Kafka, exactly once.
 *
 * Take over (order is the proof): T1 initialise the shard's producer: the predecessor is fenced and its transaction
 * finished. T2 read the checkpoints to their true end. T3 commit the claim: the row with the next take-over number.
 * T4 read the shard behind the row's sequence. Any failure of the producer leads back to T1 with everything in memory
 * dropped. Every transaction holds batches, dead letters, ticks and the row that says how far they go; one is written
 * while the next is made.
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
  #writer: ShardWriter | undefined;
  #state: TaskStatus["state"] = "starting";
  #behindMs = Number.POSITIVE_INFINITY;
  /** Read so far; handed to the writer; committed. */
  #cursor = freshCursor(0);
  #sealed = this.#cursor;
  #committed = this.#cursor;
  #pending: ProducerRecord[] = [];
  #pendingBytes = 0;
  /** When the shard was last read to its tip. */
  #tipMs = 0;
  /** Clock of the last tick; -1: the next transaction with records ticks in any case, to end an idleness. */
  #tickedMs = -1;
  /** When the committed clock last moved. */
  #movedMs: number;
  #attempt = 0;
  #errorsInARow = 0;
  /** Number of this task's last take over; undefined before the first. */
  #claim: number | undefined;
  #takeOversMs: number[] = [];

  constructor(options: ShardTaskOptions) {
    this.#options = options;
    this.source = sourceIdOf(options.stream, options.shard);
    this.tookOver = new Promise((resolve) => {
      this.#resolveTookOver = resolve;
    });
    this.#reader = new ShardReader({ ...options, signal: this.#stop.signal, onNotFound: options.onRelist });
    this.#movedMs = options.time.now();
    const row = options.table.get(this.source);
    if (row) this.#reset(cursorOf(row));
    if (!this.#cursor.idle) options.gate.set(this.source, this.#cursor.clockMs);
  }

  /** Call once. Rejects with a fatal error only. */
  async run(): Promise<TaskEnd> {
    try {
      const end = await this.#run();
      this.#state = end === "fenced" ? "failed" : "stopped";
      if (end === "ended") this.#behindMs = 0;
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
    const health = { behindMs: this.#behindMs, answeredMs: this.#reader.answeredMs, movedMs: this.#movedMs };
    return shardStatus(this.#options.shard, this.#state, this.#committed, this.#options.time.now(), health);
  }

  async #run(): Promise<TaskEnd> {
    while (!this.#stop.signal.aborted) {
      try {
        return (await this.#takeOver()) ? await this.#readOn() : "ended";
      } catch (error) {
        const end = await this.#afterFailure(error);
        if (end) return end;
      } finally {
        await this.#writer?.settle().catch(() => {});
        await this.#producer?.close().catch(() => {});
        this.#producer = this.#writer = undefined;
      }
    }
    return "stopped";
  }

  /** False: the shard has ended already. */
  async #takeOver(): Promise<boolean> {
    const { broker, wire, table, env, stream, shard, time, tuning, onStep } = this.#options;
    this.#state = "starting";
    this.#countTakeOver(time.now(), tuning.maxTakeOversPerMinute);
    this.#producer = broker.producer(shardProducerId(env, stream, shard));
    await this.#producer.init(wire.written);
    await table.refresh();
    const row = table.get(this.source);
    if (!row)
      throw new WeirError(
        "CHECKPOINT_MISSING",
        "fatal",
        `There is no checkpoint of ${this.source}.`,
        "Was the checkpoints topic emptied? Restore it, or start anew with empty topics.",
      );
    this.#reset(cursorOf(row));
    if (row.state === "ended") return false;
    this.#tickedMs = -1;
    this.#reader.rewind({ sequence: row.sequence, knownMs: Math.max(row.tipMs, row.arrivalMs) });
    this.#writer = new ShardWriter(
      this.#producer,
      (step) => onStep(this.source, step),
      (cursor) => this.#afterCommit(cursor),
    );
    this.#cursor = claimed(this.#cursor);
    this.#claim = this.#cursor.counters.takeOvers;
    await this.#seal([]);
    await this.#settle();
    this.#state = "running";
    this.#resolveTookOver();
    return true;
  }

  #reset(cursor: ShardCursor): void {
    this.#cursor = this.#sealed = this.#committed = cursor;
    this.#tipMs = cursor.tipMs;
    this.#pending = [];
    this.#pendingBytes = 0;
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
      // What was written is not to wait for what comes: a transaction that failed is to be heard of now.
      if (!this.#reader.hasPage) await this.#writer!.settle();
      const page = await this.#reader.next();
      if (!page) break;
      this.#options.onStep(this.source, "READ");
      const isWhole = await this.#takePage(page);
      if (isWhole && page.next === null) {
        if (await this.#endShard(page)) return "ended";
        break;
      }
      if (isWhole) this.#behindMs = page.millisBehindLatest;
      if (isWhole && page.millisBehindLatest === 0) this.#tipMs = page.askedMs;
      if (this.#cursor !== this.#sealed) await this.#seal();
      else if (this.#tipMs === page.askedMs) await this.#atTip();
      if (signal.aborted) break;
    }
    await this.#settle();
    return "stopped";
  }

  /** False: told to stop. */
  async #waitForTheSlowest(): Promise<boolean> {
    const { gate, table, time, tuning } = this.#options;
    const { signal } = this.#stop;
    while (!signal.aborted && !gate.mayReach(this.#cursor.clockMs)) {
      await time.sleep(Math.max(tuning.minPollMs, MIN_GATE_POLL_MS), signal);
      // The slowest may be another process's: its checkpoint tells.
      await table.peek().catch(() => {});
    }
    return !signal.aborted;
  }

  /** False: told to stop on the way. */
  async #takePage(page: ReadPage): Promise<boolean> {
    const inflated = page.records.slice(0, INFLATE_AHEAD).map((record) => inflateAside(record.data));
    for (const [i, record] of page.records.entries()) {
      if (this.#stop.signal.aborted) return false;
      const ahead = page.records[i + INFLATE_AHEAD];
      if (ahead) inflated.push(inflateAside(ahead.data));
      await this.#takeRecord(record, await inflated.shift()!);
      // A page may hold hours of event time: the pause must not wait for its end.
      if (this.#options.gate.mayReach(this.#cursor.clockMs)) continue;
      if (this.#cursor !== this.#sealed) await this.#seal();
      await this.#writer!.settle();
      if (!(await this.#waitForTheSlowest())) return false;
    }
    return true;
  }

  /** One record may span several transactions: the cursor's event index says how much of it is written. */
  async #takeRecord(record: ShardRecord, inflated: Inflated): Promise<void> {
    const { tuning, stream, log } = this.#options;
    const context = { ...this.#options, ...tuning, stream: stream.name, source: this.source };
    let failure: unknown;
    for (const { messages, cursor, error } of takeRecord(record, inflated, this.#cursor, context)) {
      for (const message of messages) {
        this.#pending.push(message);
        this.#pendingBytes += message.value?.length ?? 0;
      }
      this.#cursor = cursor;
      failure ??= error;
      if (this.#pendingBytes >= tuning.commitBytes) await this.#seal();
    }
    this.#errorsInARow = failure ? this.#errorsInARow + 1 : 0;
    if (failure) log(`${this.source}: record ${record.sequence} is a dead letter: ${failure}`);
    if (this.#errorsInARow >= MAX_ERRORS_IN_A_ROW) throw bridgeFault(this.source, failure);
  }

  /** Last records, end of this source, begin of its children: one transaction. False: told to stop before. */
  async #endShard(page: ReadPage): Promise<boolean> {
    const { wire, table, stream, shard, parents } = this.#options;
    if (this.#cursor !== this.#sealed && page.children.length === 0) await this.#seal();
    const children = page.children.length > 0 ? page.children : await this.#children();
    if (children === null) return false;
    const { signs, rows } = shardEnd(wire, stream, shard, this.#cursor, children, (s) => table.get(s) !== undefined);
    const ended = { state: "ended", children: children.map((c) => c.shard) } as const;
    const row = (cursor: ShardCursor) => rowOf(stream, shard, cursor, parents, ended);
    await this.#seal([...this.#ticks(), ...signs], { row, rows });
    await this.#settle();
    this.#options.onRelist();
    return true;
  }

  /**
   * A shard only ends into others. Until they are listed it stays open: closed without them, the watermark could pass
   * the clock that they inherit. Null: told to stop.
   */
  async #children(): Promise<readonly ListedShard[] | null> {
    const { tuning, time, log } = this.#options;
    const { signal } = this.#stop;
    for (let attempt = 0; !signal.aborted; attempt++) {
      const children = await this.#reader.children();
      if (children === null || children.length > 0) return children;
      if (attempt === 0) log(`${this.source} has ended; its children are not listed yet.`);
      await time.sleep(backoffMs(attempt, tuning.retryBaseMs, tuning.retryCapMs, time.random()), signal);
    }
    return null;
  }

  /** Nothing has come. In "records" mode nothing is made up of that: a silent shard holds the watermark. */
  async #atTip(): Promise<void> {
    const { clockMode, tuning, time } = this.#options;
    const { clockMs, arrivalMs, sequence, idle, tipMs } = this.#cursor;
    if (clockMode === "arrival" && !idle && time.now() - arrivalMs >= tuning.idleAfterMs) {
      this.#cursor = { ...this.#cursor, idle: true };
      this.#tickedMs = -1;
      await this.#seal([{ kind: "idle", source: this.source, clockMs, arrivalMs, sequence }]);
    }
    // How long a shard was whole must be known for the day when the bridge comes back late.
    else if (this.#tipMs - tipMs > this.#reader.retentionMs / TIPS_PER_RETENTION) await this.#seal([]);
    else await this.#settle();
  }

  /** Everything is committed, and can be read. */
  async #settle(): Promise<void> {
    await this.#writer!.settle();
    await this.#producer!.settle();
  }

  #ticks(): Sign[] {
    const { clockMs, arrivalMs, sequence } = this.#cursor;
    return clockMs === this.#tickedMs ? [] : [{ kind: "tick", source: this.source, clockMs, arrivalMs, sequence }];
  }

  /** Everything pending, the signs and the row make one transaction. A throw leaves the producer dead. */
  async #seal(signs: readonly Sign[] = this.#ticks(), end?: EndOfShard): Promise<void> {
    const { wire, stream, shard, parents } = this.#options;
    const signRecords = signs.flatMap((sign) => wire.sign(sign));
    const { counters } = this.#cursor;
    const out = counters.out + signRecords.length;
    const cursor = { ...this.#cursor, tipMs: this.#tipMs, counters: { ...counters, out } };
    const row = end?.row(cursor) ?? rowOf(stream, shard, cursor, parents);
    const records = [...this.#pending, ...signRecords, wire.row(row), ...(end?.rows ?? [])];
    this.#cursor = this.#sealed = cursor;
    this.#pending = [];
    this.#pendingBytes = 0;
    if (signs.some((s) => s.kind === "tick")) this.#tickedMs = cursor.clockMs;
    await this.#writer!.begin({ records, cursor, isEnd: end !== undefined });
  }

  #afterCommit(cursor: ShardCursor): void {
    const { gate, time } = this.#options;
    if (cursor.clockMs !== this.#committed.clockMs) this.#movedMs = time.now();
    if (cursor.counters.records > this.#committed.counters.records) this.#attempt = 0;
    this.#committed = cursor;
    if (cursor.idle) gate.leave(this.source);
    else gate.set(this.source, cursor.clockMs);
  }

  /** Undefined: take over again. Before that, a look at the row tells whether another owner has claimed the shard. */
  async #afterFailure(error: unknown): Promise<TaskEnd | undefined> {
    const { table, time, tuning, log } = this.#options;
    const { signal } = this.#stop;
    if (!(error instanceof WeirError)) throw bridgeFault(this.source, error);
    if (error.disposition === "fatal") throw error;
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

interface EndOfShard {
  readonly row: (cursor: ShardCursor) => ReturnType<typeof rowOf>;
  readonly rows: readonly ProducerRecord[];
}

/** A fenced producer may hear of it as a commit without an answer (Kafka 4.4: UNKNOWN_SERVER_ERROR). */
const mayBeFenced = (error: WeirError): boolean => error.disposition === "fenced" || error.code === "COMMIT_UNKNOWN";

/** It would come again with every attempt. */
const bridgeFault = (source: string, error: unknown): WeirError =>
  new WeirError(
    "BRIDGE_FAULT",
    "fatal",
    `${source}: ${error}`,
    "A fault of Weir: report it with this line. Nothing is lost; the shard goes on behind its checkpoint.",
    { cause: error },
  );
