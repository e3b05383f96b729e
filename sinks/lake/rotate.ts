/** An open file, as far as the decision to close it goes. */
export interface OpenFileFacts {
  readonly folder: string;
  /** Offset of the first record with rows in it. */
  readonly first: number;
  readonly rows: number;
  readonly bytes: number;
  /** End (exclusive) of the hour of its first row. */
  readonly hourEndMs: number;
  /** The watermark when it was opened: a file of late rows stays open for its own slack, not for none. */
  readonly openedAtWatermarkMs: number;
}

export interface LakeLimits {
  /** Rows and estimated bytes at which a file is closed; the record in hand is never cut. */
  readonly maxRows: number;
  readonly maxBytes: number;
  /** Event time a file stays open past the end of its hour. */
  readonly slackMs: number;
  /** Real time without a row, at the end of the log, after which everything is closed. */
  readonly idleMs: number;
  /** Per partition. */
  readonly maxOpenFiles: number;
  /** Over all partitions of one Lake. */
  readonly maxBufferedBytes: number;
}

export const defaultLimits: LakeLimits = {
  maxRows: 100_000,
  maxBytes: 32 * 1024 * 1024,
  slackMs: 5 * 60_000,
  idleMs: 5 * 60_000,
  maxOpenFiles: 16,
  maxBufferedBytes: 256 * 1024 * 1024,
};

export interface RotateNow {
  readonly watermarkMs: number;
  readonly idleForMs: number;
  readonly flush: boolean;
}

/**
 * The files to close now, lowest first offset first, since that one holds `safe` back.
 *
 * Closed: full ones, those whose hour the watermark has passed by the slack, all when idle or asked to; then the
 * oldest above the cap on files, and the largest while the rest is above the cap on bytes.
 */
export function rotate<T extends OpenFileFacts>(files: readonly T[], now: RotateNow, limits: LakeLimits): T[] {
  const due = new Set<T>();
  for (const f of files) {
    const full = f.rows >= limits.maxRows || f.bytes >= limits.maxBytes;
    const past = now.watermarkMs >= Math.max(f.hourEndMs, f.openedAtWatermarkMs) + limits.slackMs;
    if (full || past || now.flush || now.idleForMs >= limits.idleMs) due.add(f);
  }
  const byFirst = [...files].sort((a, b) => a.first - b.first);
  const open = byFirst.filter((f) => !due.has(f));
  while (open.length > limits.maxOpenFiles) due.add(open.shift() as T);
  open.sort((a, b) => b.bytes - a.bytes);
  let bytes = open.reduce((sum, f) => sum + f.bytes, 0);
  for (const f of open) {
    if (bytes <= limits.maxBufferedBytes) break;
    due.add(f);
    bytes -= f.bytes;
  }
  return byFirst.filter((f) => due.has(f));
}
