/**
 * Lines per second of the template miner on one core: 16 trees, one per entity, that hold 2,000 live templates together.
 * Lines come with fresh numbers, addresses, ids and paths; every tree is warm before the clock starts. Best and median
 * of the rounds are told; the figure is the median. Last line: the figures as JSON.
 */
import { loadavg } from "node:os";
import { TemplateMiner } from "../../processors/templates/index.ts";
import { randomOf } from "../templates/lines.ts";

const TREES = 16;
const TEMPLATES = 2_000;
const LINES = 400_000;
const ROUNDS = 5;

const random = randomOf(1);
const pick = <T>(of: readonly T[]): T => of[Math.floor(random() * of.length)]!;
const digits = (n: number) => String(Math.floor(random() * 10 ** n));
const hex = (n: number) => Array.from({ length: n }, () => Math.floor(random() * 16).toString(16)).join("");
const word = () =>
  Array.from({ length: 4 + Math.floor(random() * 5) }, () => pick([..."bcdfghklmnprstvaeiou"])).join("");

const fillers = [
  () => digits(5),
  () => `${digits(3)}ms`,
  () => `10.${digits(2)}.${digits(2)}.${digits(2)}`,
  () => `${hex(8)}-${hex(4)}-${hex(4)}-${hex(4)}-${hex(12)}`,
  () => `size=${digits(6)}`,
  () => `/var/lib/${word()}/${digits(4)}.dat`,
  () => `2024-01-02T03:${digits(2).padStart(2, "0")}:05.${digits(3).padStart(3, "0")}Z`,
];

/** A line's maker: 5 to 12 words, a third of them varying. Its words are its own, so that it is a template of its own. */
function maker(): () => string {
  const parts = Array.from({ length: 5 + Math.floor(random() * 8) }, (_, i) => {
    const own = word();
    return i > 0 && random() < 0.35 ? pick(fillers) : () => own;
  });
  return () => parts.map((part) => part()).join(" ");
}

const miners = Array.from({ length: TREES }, () => new TemplateMiner());
const makers = Array.from({ length: TEMPLATES }, maker);
const lineOf = (i: number) => makers[i % TEMPLATES]!();
const treeOf = (i: number) => miners[(i % TEMPLATES) % TREES]!;
for (let i = 0; i < 20 * TEMPLATES; i++) treeOf(i).mine(lineOf(i));
const live = miners.reduce((sum, m) => sum + m.size, 0);

// Made beforehand, in random order, so that only mining is timed.
const order = Array.from({ length: LINES }, () => Math.floor(random() * TEMPLATES));
const lines = order.map(lineOf);
const bytes = lines.reduce((sum, line) => sum + line.length, 0);
const perSecond: number[] = [];
for (let round = 0; round < ROUNDS; round++) {
  const startedAt = performance.now();
  for (let i = 0; i < LINES; i++) treeOf(order[i]!).mine(lines[i]!);
  perSecond.push((LINES * 1_000) / (performance.now() - startedAt));
}
perSecond.sort((a, b) => a - b);
const after = miners.reduce((sum, m) => sum + m.size, 0);

console.log(
  `${TREES} trees, ${live} live templates when warm, ${after} at the end, ${(bytes / LINES).toFixed(0)} B a line`,
);
console.log(`rounds, lines/s: ${perSecond.map((v) => v.toFixed(0)).join(", ")}`);
console.log(
  JSON.stringify({
    bench: "templates",
    figures: { linesPerSecond: Math.round(perSecond[Math.floor(ROUNDS / 2)]!) },
    conditions: {
      trees: TREES,
      liveTemplates: live,
      lines: LINES,
      rounds: ROUNDS,
      meanLineBytes: Math.round(bytes / LINES),
      process: "one thread, warm trees, lines made beforehand, masking included; median of the rounds",
      node: process.version,
      loadAverage: loadavg().map((v) => Math.round(v * 100) / 100),
    },
  }),
);
