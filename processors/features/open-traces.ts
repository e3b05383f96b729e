import { KeyValueStore } from "../../streams/index.ts";
import { isOver, joinTrace, type LogLine, type OpenTrace } from "../parse/index.ts";

/** Of one partition: streams that are in the middle of a trace at the same time. Further ones are not joined. */
const MAX_OPEN_TRACES = 65_536;

/**
 * The traces that streams of this partition are in the middle of. A stream is followed per source: then the answer is
 * a function of each source's records alone, however the sources interleave.
 */
export class OpenTraces {
  readonly store = new KeyValueStore<OpenTrace>("traces");

  /** True if the line belongs to the one before it in its stream. Once per line, in the order of the source. */
  continues(stream: string, text: string, line: LogLine): boolean {
    const open = this.store.get(stream);
    const joined = joinTrace(open, text, line);
    if (joined.open !== undefined) {
      if (open !== undefined || this.store.size.keys < MAX_OPEN_TRACES) this.store.put(stream, joined.open);
    } else if (open !== undefined) this.store.delete(stream);
    return joined.continues;
  }

  /** Forgets the traces that no line stamped `fromMs` or later can belong to. */
  evictBefore(fromMs: number): void {
    for (const [stream, open] of this.store.entries()) if (isOver(open, fromMs)) this.store.delete(stream);
  }
}
