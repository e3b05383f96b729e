import type { LogLine } from "./types.ts";

/** What must be known of a stream whose last line began or carried on a trace. Plain data, for the task's state. */
export interface OpenTrace {
  /** Event time of its newest line. */
  readonly lastMs: number;
  /** Lines so far, the first included. */
  readonly lines: number;
  /** Python: the line that names the exception is yet to come, and begins at the margin. */
  readonly awaitsName: boolean;
}

export interface Joined {
  /** The line belongs to the one before it: it is no line of its own where lines are counted. */
  readonly continues: boolean;
  /** What to keep for the stream's next line; undefined: nothing. */
  readonly open: OpenTrace | undefined;
}

/** Lines of one trace are written at once; agents give those without a stamp the time of the line before. */
export const MAX_TRACE_GAP_MS = 5_000;
/** Beyond it a trace is taken for ended, so that nothing that begins with blanks is swallowed for good. */
export const MAX_TRACE_LINES = 500;

/** Frames and links of traces that give themselves away: JVM, Node.js, .NET; Python; Go; Ruby. */
const frame =
  /^(?:[ \t]{1,16}(?:at [^ ]|File "|from \S{1,200}:\d|Suppressed: |\.\.\. \d{1,6} (?:more|common frames))|\.\.\. \d{1,6} (?:more|common frames)|Caused by: |--- End of (?:inner exception )?stack trace|goroutine \d{1,10} \[|created by [\w./]{1,200} in goroutine|During handling of the above exception,|The above exception was the direct cause)/;
const header = "Traceback (most recent call last):";
/** `KeyError: 'x'`, `shop.errors.Refused: no`, `StopIteration`. */
const exceptionName = /^[A-Za-z_][\w.]{0,200}(?:: |:?$)/;
/** The JVM's `java.io.IOException: gone`, as loggers put it below their own line. */
const qualifiedException = /^(?:[a-z][\w$]{0,63}\.){1,16}[A-Z][\w$]{0,127}(?:: |$)/;
/** Lines of PostgreSQL that belong to the one before, by their severity. */
const added: ReadonlySet<unknown> = new Set(["DETAIL", "HINT", "CONTEXT", "STATEMENT", "QUERY", "LOCATION"]);

const ALONE: Joined = { continues: false, open: undefined };

/**
 * Whether a line carries on the one before it in its stream. Pure; `open` is what the last call for the stream gave.
 *
 * A frame of a trace, a further line of an SQL statement and PostgreSQL's DETAIL and the like are no line of their own
 * wherever they come. Only within a trace that is open (begun by a line of level error or above or by a frame, not
 * silent for more than 5 s, not longer than 500 lines) do these belong to it as well: lines that begin with a blank,
 * empty ones, Python's header or a qualified exception right below an error, and the name that closes Python's traces.
 *
 * @param text the event as it came; `line`, what the parser made of it.
 */
export function joinTrace(open: OpenTrace | undefined, text: string, line: LogLine): Joined {
  const first = text.charCodeAt(0);
  const failed = line.level === "error" || line.level === "critical";
  if (open === undefined && !failed && !mayCarryOn(first, line)) return ALONE;
  // A document is whole.
  if (first === 0x7b) return ALONE;
  const within = open !== undefined && isLive(open, line.timestampMs) ? open : undefined;
  const isHeader = text.startsWith(header);
  if (carriesOn(within, text, first, line)) {
    return {
      continues: true,
      open: {
        lastMs: line.timestampMs,
        lines: (within?.lines ?? 0) + 1,
        awaitsName: isHeader || (within?.awaitsName === true && (isBlank(first) || frame.test(text))),
      },
    };
  }
  return failed
    ? { continues: false, open: { lastMs: line.timestampMs, lines: 1, awaitsName: isHeader && !text.includes("\n") } }
    : ALONE;
}

/** A trace that no later line can belong to: every one still to come is stamped `fromMs` or later. */
export const isOver = (open: OpenTrace, fromMs: number): boolean => !(fromMs - open.lastMs <= MAX_TRACE_GAP_MS);

const isLive = (open: OpenTrace, nowMs: number): boolean =>
  Math.abs(nowMs - open.lastMs) <= MAX_TRACE_GAP_MS && open.lines < MAX_TRACE_LINES;

/** A first look that costs next to nothing; most lines are no part of any trace. */
const mayCarryOn = (first: number, line: LogLine): boolean =>
  isBlank(first) ||
  // . - C D T g c: the first letters of what `frame` takes at the margin.
  first === 0x2e ||
  first === 0x2d ||
  first === 0x43 ||
  first === 0x44 ||
  first === 0x54 ||
  first === 0x67 ||
  first === 0x63 ||
  (line.source === "database" && added.has(line.metadata?.severity));

function carriesOn(within: OpenTrace | undefined, text: string, first: number, line: LogLine): boolean {
  if (line.source === "database") {
    if (first === 0x09 || added.has(line.metadata?.severity)) return true;
    // A line with a prefix of its own is a new one.
    if (line.metadata?.severity !== undefined) return false;
  }
  if (frame.test(text)) return true;
  if (within === undefined) return false;
  if (text === "" || isBlank(first) || text.startsWith(header)) return true;
  if (within.lines === 1 && !within.awaitsName && qualifiedException.test(text)) return true;
  return within.awaitsName && exceptionName.test(text);
}

const isBlank = (code: number): boolean => code === 0x20 || code === 0x09 || code === 0x0a || code === 0x0d;
