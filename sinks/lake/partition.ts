import {
  type Admin,
  type PartitionReader,
  type RawRecord,
  stageName,
  type TaskStatus,
  type TopicName,
  WeirError,
} from "../../streams/index.ts";
import { encodeFile } from "./encoder.ts";
import type { FolderPart, LakeFormat } from "./format.ts";
import { type LakeStage, objectKey } from "./layout.ts";
import type { Patience } from "./patience.ts";
import { type LakeCodecs, readRecord } from "./read-record.ts";
import { isWritten, type LakeCounts, noLakeCounts, onRefusedCreate, planResume, safeAfter } from "./resume.ts";
import { type LakeLimits, type OpenFileFacts, rotate } from "./rotate.ts";
import type { RowBuffer } from "./rows.ts";
import { type LakeStore, metadataText, type ObjectMetadata } from "./store.ts";

interface OpenFile extends Omit<OpenFileFacts, "rows" | "bytes"> {
  last: number;
  readonly buffer: RowBuffer<unknown>;
  readonly layout: string;
  /** What was counted below `first`. */
  readonly countsBefore: LakeCounts;
  /** Once encoded: an upload that failed is tried again with the same bytes. */
  upload?: Upload;
}

interface Upload {
  readonly key: string;
  readonly body: Uint8Array;
  readonly metadata: ObjectMetadata;
}

/**
 * The points of an upload at which a crash is worth a test. UPLOAD: the object is about to be created; UPLOADED: the
 * server has said that it is there.
 */
export type LakeStep = "UPLOAD" | "UPLOADED";

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
  readonly onStep: (step: LakeStep) => void;
  readonly patience: (signal: AbortSignal) => Patience;
}

const fetchBytes = 1024 * 1024;
/** Refused creates without one of our own between them: then a second writer is there for good. */
const maxConflicts = 10;
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
  #patience: Patience | undefined;
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
    // However long it takes: nothing is read meanwhile, so memory stands still and the log keeps what comes.
    const patience = this.#o.patience(signal);
    this.#patience = patience;
    try {
      while (!signal.aborted)
        await patience.with(async () => {
          if (!this.#resumed) await this.resume();
          await this.#step();
        });
    } catch (error) {
      this.#state = "failed";
      throw error;
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
      stateBytes: [...this.#files.values()].reduce((sum, f) => sum + (f.upload?.body.length ?? f.buffer.bytes), 0),
      ...(this.#patience?.problem !== undefined && { problem: this.#patience.problem }),
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
    const { codecs, topic } = this.#o;
    const { value } = record;
    const parts = value === null ? [] : await readRecord(value, topic, codecs, this.#format);
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
    const { store, onStep } = this.#o;
    const file = this.#files.get(folder)!;
    file.upload ??= await this.#encode(file);
    const { key, body, metadata } = file.upload;
    onStep("UPLOAD");
    const isCreated = await store.create(key, body, metadataText(metadata));
    if (isCreated) onStep("UPLOADED");
    else {
      const theirs = await store.facts(key);
      if (!theirs || onRefusedCreate(metadata, theirs) === "list-again") {
        this.#conflict(key);
        return false;
      }
    }
    this.#conflicts = 0;
    this.#files.delete(folder);
    this.#chainEnds.set(folder, file.last);
    this.#written += metadata.rows;
    return true;
  }

  async #encode(file: OpenFile): Promise<Upload> {
    const { stage, topic, partition } = this.#o;
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
    const footer = { ...metadataText(metadata), stage, layout: file.layout };
    const body = await encodeFile(file.buffer.take(partition), footer);
    return { key: objectKey(stage, file.folder, topic, partition, file.first), body, metadata };
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

const stopped = (): WeirError =>
  new WeirError("LAKE_STOPPED", "retry", "The lake stopped before its files were closed.", "Start it again and flush.");
