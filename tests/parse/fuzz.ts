/**
 * Mutated log records, the same for the same seed. `node tests/parse/fuzz.ts [records] [seed]` runs a million and tells
 * outcomes and the memory it grew by.
 */
import {
  joinTrace,
  levels,
  MAX_TRACE_LINES,
  type OpenTrace,
  parseEvent,
  parseFlaws,
} from "../../processors/parse/index.ts";
import { TemplateMiner } from "../../processors/templates/index.ts";
import { randomOf } from "../templates/lines.ts";
import { corpus } from "./corpus.ts";

const pieces = [
  "\u0000",
  "\ufffd",
  "\ud800",
  "{",
  "}",
  "[",
  "]",
  '"',
  "\\",
  "\t",
  "\n",
  ":",
  ",",
  " ",
  "<",
  ">",
  "-1",
  "1e999",
  "NaN",
  "null",
  '"__proto__":',
  '"_aws":{',
  '"CloudWatchMetrics":',
  "ERROR",
  "\u001b[31m",
  "9".repeat(40),
];
const groups = [
  "/aws/ec2/system",
  "/aws/rds/postgresql",
  "RDSOSMetrics",
  "/aws/lambda/f",
  "/application/logs",
  "x",
  "",
];
const times = [0, -1, 1, 1_704_164_645, 1_704_164_645_000, 4_102_444_800_000, Number.NaN, Number.POSITIVE_INFINITY];
/** Mutations of mutations grow; CloudWatch's events do not beyond this either. */
const MAX_LENGTH = 1 << 20;

export interface FuzzRecord {
  readonly group: string;
  readonly message: string;
  readonly timestampMs: number;
}

/** Well-formed records, each changed in up to six places: parts cut, doubled, swapped, replaced, or spliced from another. */
export function* mutatedRecords(seed: number, count: number): IterableIterator<FuzzRecord> {
  const random = randomOf(seed);
  const below = (n: number) => Math.floor(random() * n);
  const pick = <T>(of: readonly T[]): T => of[below(of.length)]!;
  for (let i = 0; i < count; i++) {
    const origin = pick(corpus);
    let text = origin.message;
    for (let n = below(7); n > 0; n--) {
      const at = below(text.length + 1);
      const end = Math.min(text.length, at + 1 + below(20));
      const [before, part, after] = [text.slice(0, at), text.slice(at, end), text.slice(end)];
      const kind = below(7);
      if (kind === 0) text = before + after;
      else if (kind === 1) text = before + part.repeat(2 + below(200)) + after;
      else if (kind === 2) text = before + pick(pieces) + after;
      else if (kind === 3) text = before + pick(pieces) + part + after;
      else if (kind === 4) text = before + String.fromCharCode(below(0x10000)) + after;
      else if (kind === 5) text = before + pick(corpus).message.slice(below(40));
      else text = after + part + before;
      if (text.length > MAX_LENGTH) text = text.slice(0, MAX_LENGTH);
    }
    yield {
      group: random() < 0.7 ? origin.group : pick(groups),
      message: text,
      timestampMs: random() < 0.9 ? 1_704_164_645_000 : pick(times),
    };
  }
}

export interface FuzzOutcome {
  readonly records: number;
  /** By kind and code, such as `log json_broken`. */
  readonly outcomes: ReadonlyMap<string, number>;
  /** Lines that carried on another. */
  readonly continued: number;
}

/** Mining costs more than parsing: one line in so many is mined. */
const MINED_EVERY = 16;

/** Parses, joins and mines every record; throws if one gives what the types do not allow, or if anything grows. */
export function fuzz(seed: number, count: number): FuzzOutcome {
  const outcomes = new Map<string, number>();
  const miner = new TemplateMiner();
  const open = new Map<string, OpenTrace>();
  let continued = 0;
  let done = 0;
  for (const { group, message, timestampMs } of mutatedRecords(seed, count)) {
    const parsed = parseEvent(group, "stream", message, timestampMs);
    let wrong: boolean;
    if (parsed.kind === "log") {
      if (done++ % MINED_EVERY === 0) miner.mine(parsed.message);
      const joined = joinTrace(open.get(group), message, parsed);
      if (joined.open) open.set(group, joined.open);
      else open.delete(group);
      if (joined.continues) continued++;
      wrong =
        !levels.includes(parsed.level) ||
        typeof parsed.message !== "string" ||
        (joined.open?.lines ?? 0) > MAX_TRACE_LINES;
    } else {
      wrong = parsed.samples.some(
        (s) => typeof s.name !== "string" || s.values.some((v) => typeof v !== "number" || Number.isNaN(v)),
      );
    }
    const known = parsed.flaw === undefined || parseFlaws.includes(parsed.flaw);
    const bounded = miner.size <= 128 && open.size <= groups.length + 1;
    if (wrong || !known || !bounded || !Object.is(parsed.timestampMs, timestampMs)) {
      throw new Error(`seed ${seed}: ${JSON.stringify({ group, message: message.slice(0, 2_000), parsed })}`);
    }
    const outcome = `${parsed.kind} ${parsed.flaw ?? "in order"}`;
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  }
  return { records: count, outcomes, continued };
}

if (import.meta.main) {
  const count = Number(process.argv[2] ?? 1_000_000);
  const seed = Number(process.argv[3] ?? 1);
  const heapBefore = process.memoryUsage().heapUsed;
  const { outcomes, continued } = fuzz(seed, count);
  for (const [outcome, n] of [...outcomes].sort((a, b) => b[1] - a[1])) console.log(`${outcome.padEnd(28)} ${n}`);
  const grown = (process.memoryUsage().heapUsed - heapBefore) / 1_048_576;
  console.log(
    `${count} records of seed ${seed}: none threw, ${continued} carried on another; heap ${grown.toFixed(1)} MiB more, uncollected garbage included`,
  );
}
