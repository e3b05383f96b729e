import { setTimeout as sleep } from "node:timers/promises";
import type { Codecs } from "../../schemas/index.ts";
import {
  type Admin,
  type PartitionReader,
  type RawRecord,
  stageName,
  type TaskStatus,
  type TopicName,
  WeirError,
} from "../../streams/index.ts";
import type { FolderPart, LakeFormat } from "./format.ts";
import { type LakeStage, objectKey } from "./layout.ts";
import { encodeParquet } from "./parquet.ts";
import { isWritten, type LakeCounts, noLakeCounts, onRefusedCreate, planResume, safeAfter } from "./resume.ts";
import { type LakeLimits, type OpenFileFacts, rotate } from "./rotate.ts";
import type { RowBuffer } from "./rows.ts";
import { type LakeStore, metadataText, type ObjectMetadata } from "./store.ts";

export type LakeCodecs = Pick<Codecs, "unknownId" | "learn" | "decode">;

interface OpenFile extends Omit<OpenFileFacts, "rows" | "bytes"> {
  last: number;
  readonly buffer: RowBuffer<unknown>;
  readonly layout: string;
  /** What was counted below `first`. */
  readonly countsBefore: LakeCounts;
}

interface Flush {
  /** Everything below it was read when the flush was asked for. */
  readonly upTo: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export interface PartitionOptions {
  readonly stage: LakeStage;
  readonly topic: TopicName;
  readonly partition: number;
  readonly store: LakeStore;
  readonly reader: PartitionReader;
  readonly admin: Admin;
  readonly codecs: LakeCodecs;
  readonly format: () => LakeFormat;
  readonly limits: LakeLimits;
  /** Milliseconds of a clock that only runs forward; for the idle time alone. */
  readonly monotonicMs: () => number;
}

const fetchBytes = 1024 * 1024;
/** Refused creates without one of our own between them: then a second writer is there for good. */
const maxConflicts = 10;
const maxFailures = 10;
const maxKnownChains = 512;

/**
 * One partition on its way into the bucket.
 *
 * Invariants. 1. In each chain the next object begins with the first record past the chain's end that has rows in the
 * folder, so two writers of a chain meet in one name and only one of them creates it. 2. An object's `safe` is never
 * above the first offset of a file still open or being written. 3. What is in memory is never the only copy: a refused
 * create, an error or a stop throws it away, and the partition goes on from its objects.
 */
export class LakePartition {
  #o: PartitionOptions;
  #format: LakeFormat;
  #files = new Map<string, OpenFile>();
  #chainEnds = new Map<string, number>();
  #next = 0;
  #end = Number.POSITIVE_INFINITY;
  #resumed = false;
  #conflicts = 0;
  #counts: LakeCounts = noLakeCounts;
  #written = 0;
  #lastRowsAtMs: number;
  #state: TaskStatus["state"] = "starting";
  #flushes: Flush[] = [];

  constructor(options: PartitionOptions) {
    this.#o = options;
    this.#format = options.format();
    this.#lastRowsAtMs = options.monotonicMs();
  }

  /** Lists the partition's objects and goes to the highest `safe` among them. */
  async resume(): Promise<void> {
    const { store, admin, topic, partition } = this.#o;
    this.#files.clear();
    this.#chainEnds.clear();
    this.#format = this.#o.format();
    const { startOffset } = await admin.offsets(topic, partition, "read_committed");
    const { endOffset } = await admin.offsets(topic, partition, "read_uncommitted");
    let plan = planResume(await store.newestObjects(partition));
    if (plan && plan.beginAt < startOffset) plan = planResume(await store.newestOfEachChain(partition));
    const { beginAt, counts } = plan ?? { beginAt: startOffset, counts: noLakeCounts };
    if (beginAt < startOffset || beginAt > endOffset)
      throw new WeirError(
        beginAt < startOffset ? "LAKE_GAP" : "LAKE_AHEAD",
        "fatal",
        `The lake goes on at offset ${beginAt} of ${topic}/${partition}, but the log holds ${startOffset} to ${endOffset}.`,
        beginAt < startOffset
          ? "Records were deleted before they were written; to go on without them, start with an empty bucket."
          : "The topic was recreated: use a new bucket, or move the old topic's objects away.",
      );
    this.#next = beginAt;
    this.#counts = counts;
    this.#written = counts.accepted;
    this.#resumed = true;
    this.#state = "running";
  }

  /** Reads and writes until the signal; rejects when the partition cannot keep its promise. */
  async run(signal: AbortSignal): Promise<void> {
    let failures = 0;
    while (!signal.aborted) {
      try {
        if (!this.#resumed) await this.resume();
        await this.#step();
        failures = 0;
      } catch (error) {
        if (signal.aborted) break;
        if (!(error instanceof WeirError) || error.disposition !== "retry" || ++failures > maxFailures) {
          this.#state = "failed";
          throw error;
        }
        await sleep(Math.min(10_000, 100 * 2 ** failures), undefined, { signal }).catch(() => undefined);
      }
    }
    this.#state = "stopped";
    for (const { reject } of this.#flushes.splice(0)) reject(stopped());
  }

  /** Closes every open file; resolves when all rows read before the call lie in objects, rejects when stopped first. */
  flush(): Promise<void> {
    if (this.#state === "stopped") return Promise.reject(stopped());
    return new Promise((resolve, reject) => this.#flushes.push({ upTo: this.#next, resolve, reject }));
  }

  status(): TaskStatus {
    const { accepted, control, dead } = this.#counts;
    return {
      stage: stageName(this.#o.stage),
      partition: String(this.#o.partition),
      state: this.#state,
      lag: this.#end - this.#next,
      watermarkMs: this.#format.watermarkMs,
      counters: {
        in: accepted + control + dead,
        accepted,
        late: 0,
        dead,
        duplicate: 0,
        control,
        out: this.#written,
      },
      stateBytes: [...this.#files.values()].reduce((sum, f) => sum + f.buffer.bytes, 0),
    };
  }

  async #step(): Promise<void> {
    // After a refused create the position has moved back: a flush waits until what it was asked for is read again.
    const flushes = this.#flushes.filter((f) => f.upTo <= this.#next);
    if (!(await this.#closeDue(flushes.length > 0))) return;
    this.#flushes = this.#flushes.filter((f) => !flushes.includes(f));
    for (const { resolve } of flushes) resolve();
    const { reader, topic, partition } = this.#o;
    const fetched = await reader.fetch(topic, partition, this.#next, { maxBytes: fetchBytes });
    for (const record of fetched.records) {
      if (!(await this.#take(record))) return;
      this.#next = record.offset + 1;
    }
    this.#next = fetched.nextOffset;
    this.#end = fetched.endOffset;
  }

  async #closeDue(flush: boolean): Promise<boolean> {
    const files = [...this.#files.values()];
    const idleForMs = this.#next < this.#end ? 0 : this.#o.monotonicMs() - this.#lastRowsAtMs;
    const facts = files.map((file) => ({ ...file, rows: file.buffer.rows, bytes: file.buffer.bytes }));
    const now = { watermarkMs: this.#format.watermarkMs, idleForMs, flush };
    for (const { folder } of rotate(facts, now, this.#o.limits)) if (!(await this.#close(folder))) return false;
    return true;
  }

  /**
   * False: somebody else wrote the chain, and the partition must go on from its objects. Whatever may fail comes before
   * the first row is kept, since after a failure the whole record is taken again.
   */
  async #take(record: RawRecord): Promise<boolean> {
    const { value } = record;
    const parts = value === null ? [] : await this.#read(value);
    const before = this.#counts;
    if (parts === "dead") {
      this.#counts = { ...before, dead: before.dead + 1 };
      return true;
    }
    const unwritten: FolderPart[] = [];
    for (const part of parts) {
      if (isWritten(record.offset, await this.#chainEnd(part.folder))) continue;
      unwritten.push(part);
      const open = this.#files.get(part.folder);
      if (open && open.layout !== part.layout && !(await this.#close(part.folder))) return false;
    }
    for (const part of unwritten) this.#append(record.offset, part, before);
    const rowsOf = (list: readonly FolderPart[]) => list.reduce((sum, part) => sum + part.rows, 0);
    const rows = rowsOf(parts);
    this.#written += rows - rowsOf(unwritten);
    this.#counts =
      rows > 0 ? { ...before, accepted: before.accepted + rows } : { ...before, control: before.control + 1 };
    if (rows > 0) this.#lastRowsAtMs = this.#o.monotonicMs();
    return true;
  }

  /** A record nobody can read is counted here; the stage that works on the topic puts its bytes to the dead letters. */
  async #read(value: Buffer): Promise<readonly FolderPart[] | "dead"> {
    const { codecs, topic } = this.#o;
    try {
      const id = codecs.unknownId(value);
      if (id !== null) await codecs.learn(id).catch(rethrowUnlessRefused);
      return this.#format.read(codecs.decode(topic, value));
    } catch (error) {
      if (error instanceof WeirError) throw error;
      return "dead";
    }
  }

  #append(offset: number, part: FolderPart, countsBefore: LakeCounts): void {
    let file = this.#files.get(part.folder);
    if (!file) {
      file = {
        folder: part.folder,
        first: offset,
        last: offset,
        hourEndMs: part.hourEndMs,
        openedAtWatermarkMs: this.#format.watermarkMs,
        buffer: this.#format.buffer(part.layout),
        layout: part.layout,
        countsBefore,
      };
      this.#files.set(part.folder, file);
    }
    file.buffer.append(offset, part.part);
    file.last = offset;
  }

  /** Last offset in the folder's chain, -1 if it is empty. Asked of S3 once a folder; a forgotten one is asked again. */
  async #chainEnd(folder: string): Promise<number> {
    const known = this.#chainEnds.get(folder);
    if (known !== undefined) return known;
    const end = (await this.#o.store.newestOfChain(folder, this.#o.partition))?.last ?? -1;
    const oldest = this.#chainEnds.keys().next().value;
    if (oldest !== undefined && this.#chainEnds.size >= maxKnownChains) this.#chainEnds.delete(oldest);
    this.#chainEnds.set(folder, end);
    return end;
  }

  async #close(folder: string): Promise<boolean> {
    const { stage, topic, partition, store } = this.#o;
    const file = this.#files.get(folder)!;
    const others = [...this.#files.values()].filter((f) => f !== file);
    const { safe, file: holding } = safeAfter(others, this.#next);
    const metadata: ObjectMetadata = {
      topic,
      partition,
      first: file.first,
      last: file.last,
      rows: file.buffer.rows,
      safe,
      belowSafe: holding?.countsBefore ?? this.#counts,
    };
    const text = metadataText(metadata);
    const body = encodeParquet(file.buffer.columns(partition), { ...text, stage, layout: file.layout });
    const key = objectKey(stage, folder, topic, partition, file.first);
    if (!(await store.create(key, body, text))) {
      const theirs = await store.facts(key);
      if (!theirs || onRefusedCreate(metadata, theirs) === "list-again") {
        this.#conflict(key);
        return false;
      }
    }
    this.#conflicts = 0;
    this.#files.delete(folder);
    this.#chainEnds.set(folder, file.last);
    this.#written += file.buffer.rows;
    return true;
  }

  #conflict(key: string): void {
    this.#resumed = false;
    if (++this.#conflicts > maxConflicts)
      throw new WeirError(
        "LAKE_CONTESTED",
        "fatal",
        `Another process wrote ${key} and ${maxConflicts} objects before it, where this one meant to.`,
        "Let one process at a time write this partition; this one stopped and wrote nothing twice.",
      );
  }
}

/** The registry's own refusal belongs to the record; no answer from it does not. */
function rethrowUnlessRefused(error: unknown): never {
  const status = (error as { status?: number }).status ?? 0;
  if (status >= 400 && status < 500) throw error;
  throw new WeirError(
    "REGISTRY_UNAVAILABLE",
    "retry",
    `The schema registry did not answer: ${(error as Error).message}`,
    "Check that the schema registry runs.",
    { cause: error },
  );
}

const stopped = (): WeirError =>
  new WeirError("LAKE_STOPPED", "retry", "The lake stopped before its files were closed.", "Start it again and flush.");
