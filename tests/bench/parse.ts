/**
 * Speed of the parser on one core: log lines per second over a mixed corpus, classified, read and joined to traces (a
 * stream a group, all groups in turn), and megabytes of embedded metric documents
 * per second. Numbers vary from line to line; texts are made beforehand and bytes are UTF-8. The figures are medians of
 * the rounds. Last line: the figures as JSON.
 */
import { loadavg } from "node:os";
import { joinTrace, type OpenTrace, parseEvent } from "../../processors/parse/index.ts";
import { embeddedMetrics, lines, type Sample } from "../parse/corpus.ts";
import { randomOf } from "../templates/lines.ts";

const ROUNDS = 7;
const random = randomOf(1);

/** Every sample in turn with other digits where `varying` finds some, as lines of a real log differ. */
function variants(samples: readonly Sample[], count: number, varying: RegExp): Sample[] {
  const digit = () => String(1 + Math.floor(random() * 9));
  return Array.from({ length: count }, (_, i) => {
    const { group, message } = samples[i % samples.length]!;
    // Flattened: a text glued together would be put together inside the time taken.
    const changed = message.replace(varying, (run) => run.replace(/\d/g, digit));
    return { group, message: Buffer.from(changed).toString() };
  });
}

/** Median over the rounds of what one pass takes, in seconds; the first pass warms up and does not count. */
function secondsPerPass(samples: readonly Sample[], kind: "log" | "metrics"): number {
  const seconds: number[] = [];
  for (let round = 0; round <= ROUNDS; round++) {
    let asExpected = 0;
    const open = new Map<string, OpenTrace>();
    const startedAt = performance.now();
    for (const { group, message } of samples) {
      const parsed = parseEvent(group, "stream", message, 1_704_164_645_000);
      if (parsed.kind === kind) asExpected++;
      if (parsed.kind !== "log") continue;
      const joined = joinTrace(open.get(group), message, parsed);
      if (joined.open) open.set(group, joined.open);
      else open.delete(group);
    }
    if (round > 0) seconds.push((performance.now() - startedAt) / 1_000);
    if (asExpected !== samples.length) throw new Error(`${samples.length - asExpected} records are no ${kind}.`);
  }
  return seconds.sort((a, b) => a - b)[Math.floor(ROUNDS / 2)]!;
}

const bytesOf = (samples: readonly Sample[]) => samples.reduce((sum, s) => sum + Buffer.byteLength(s.message), 0);

const mixed = variants(lines, 200_000, /\d+/g);
const metrics = variants(embeddedMetrics, 60_000, /(?<=:)\d{3,}(?=[,}])/g);
const linesPerSecond = mixed.length / secondsPerPass(mixed, "log");
const emfSeconds = secondsPerPass(metrics, "metrics");
const emfMegabytesPerSecond = bytesOf(metrics) / 1e6 / emfSeconds;

console.log(
  `${lines.length} formats, ${(bytesOf(mixed) / mixed.length).toFixed(0)} B a line: ${linesPerSecond.toFixed(0)} lines/s`,
);
console.log(
  `embedded metrics, ${(bytesOf(metrics) / metrics.length).toFixed(0)} B a document: ${emfMegabytesPerSecond.toFixed(1)} MB/s`,
);
console.log(
  JSON.stringify({
    bench: "parse",
    figures: {
      linesPerSecond: Math.round(linesPerSecond),
      emfMegabytesPerSecond: Math.round(emfMegabytesPerSecond * 10) / 10,
    },
    conditions: {
      corpus: `${lines.length} formats in equal shares, all digits varied, joined to traces; embedded metrics apart`,
      lines: mixed.length,
      meanLineBytes: Math.round(bytesOf(mixed) / mixed.length),
      documents: metrics.length,
      meanDocumentBytes: Math.round(bytesOf(metrics) / metrics.length),
      process: `one thread, texts in memory; median of ${ROUNDS} rounds after one that warms up`,
      megabyte: "10^6 bytes of UTF-8",
      node: process.version,
      loadAverage: loadavg().map((v) => Math.round(v * 100) / 100),
    },
  }),
);
