import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import path from "node:path";
import { deserialize, serialize } from "node:v8";
import type { FeatureBatch } from "../../schemas/index.ts";
import { encodeFeatureFile } from "../../sinks/index.ts";
import { WeirError } from "../../streams/index.ts";
import type { LaneState } from "./lane.ts";

/** A folder of recomputed rows: `processed-logs/YYYY-MM-DD/…parquet` as in the lake, and the state to go on from. */
export class BackfillFolder {
  readonly dir: string;
  readonly #columns: readonly string[];
  /** What rows and state depend on; a folder holds one of it. */
  readonly #fingerprint: string;

  constructor(dir: string, columns: readonly string[], fingerprint: string) {
    this.dir = dir;
    this.#columns = columns;
    this.#fingerprint = fingerprint;
  }

  /** Rows of one day, named by the first window end, so that a repetition writes over itself. */
  writeRows(lane: string, batches: readonly FeatureBatch[]): void {
    const end = new Date(batches[0]!.windowEndMs).toISOString();
    const name = `features-${lane}-${end.slice(0, 16).replaceAll(/[-:]/g, "")}.parquet`;
    const bytes = encodeFeatureFile(this.#columns, batches, { backfill: this.#fingerprint, lane });
    this.#put(path.join("processed-logs", end.slice(0, 10), name), bytes);
  }

  saveState(lane: string, state: LaneState): void {
    this.#put(path.join("state", `${lane}.bin`), serialize({ fingerprint: this.#fingerprint, ...state }));
  }

  /** Throws `BACKFILL_STATE` (fatal) if the folder holds another backfill. */
  loadState(lane: string): LaneState | undefined {
    const file = path.join(this.dir, "state", `${lane}.bin`);
    let bytes: Buffer;
    try {
      bytes = readFileSync(file);
    } catch {
      return undefined;
    }
    let found: (LaneState & { fingerprint: string }) | undefined;
    try {
      found = deserialize(bytes) as LaneState & { fingerprint: string };
    } catch {
      // What cannot be read is another version's.
    }
    if (found?.fingerprint === this.#fingerprint) return found;
    throw new WeirError(
      "BACKFILL_STATE",
      "fatal",
      `${this.dir} holds the backfill ${found?.fingerprint ?? "of another version"}, not ${this.#fingerprint}.`,
      "Name another folder with --out, or delete this one.",
    );
  }

  /** A reader sees the whole file or none of it. */
  #put(name: string, bytes: Uint8Array): void {
    const file = path.join(this.dir, name);
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(`${file}.part`, bytes);
    renameSync(`${file}.part`, file);
  }
}
