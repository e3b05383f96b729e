/**
 * What features cost on one core, in process: values counted into core-37's panes, rows of wide made of them, whether a
 * longer window costs more, changelog traffic, memory an entity, and the same rolling windows by pandas and Polars.
 * Last line: the figures as JSON. `-- features 1500 15000` names the sizes of the growth table, `-- features growth
 * 150000` makes that table alone.
 */
import { loadavg } from "node:os";
import { compileFeatureSet, type FeatureSet, loadFeatureSet, readFeatureSet } from "../../processors/features/index.ts";
import { parseEvent } from "../../processors/parse/index.ts";
import { BareStage, cpuSecondsOf, Fleet, median, metrics, minuteOfEvents, START } from "./features-parts/fleet.ts";
import { bytesPerEntity } from "./features-parts/growth.ts";
import { compareRolling } from "./features-parts/rolling.ts";

const ROUNDS = 3;
const INSTANCES = 500;
/** Of the comparison by window length: each as long as the longest hop. */
const WINDOW_TURNS = 12;
const TURN_MINUTES = 15;
const args = process.argv.slice(2);
const growthOnly = args[0] === "growth";
const named = args.slice(growthOnly ? 1 : 0).map(Number);
const sizes = named.length > 0 ? named : [1_500, 15_000];
const wide = loadFeatureSet("wide");
const core = readFeatureSet("core-37");
const round = (value: number) => Math.round(value).toLocaleString("en");

type Events = ReturnType<typeof minuteOfEvents>;

/** CPU seconds by minute: of values being counted, and of the rows that end with it. */
class MinuteCosts {
  readonly #set: FeatureSet;
  readonly #stage: BareStage;
  readonly #matrix: Float32Array;
  readonly #parse: boolean;

  constructor(set: FeatureSet, parse: boolean) {
    this.#set = set;
    this.#stage = new BareStage(set);
    this.#matrix = new Float32Array(INSTANCES * set.columns.length);
    this.#parse = parse;
  }

  next(m: number, events: Events): { intake: number; rows: number } {
    const stage = this.#stage;
    const intake = cpuSecondsOf(() => {
      for (const [i, { entity, message, parsed }] of events.entries()) {
        const event = this.#parse ? parseEvent("/application/logs", entity, message, (START + m) * 60_000) : parsed;
        stage.add(entity, START + m, `3${m}${"7".repeat(50)}`, i, event);
      }
      stage.commit();
    });
    const isEnd = (START + m + 1) % this.#set.hopMinutes === 0;
    const rows = cpuSecondsOf(() => (isEnd ? stage.close(START + m, this.#matrix) : 0));
    stage.commit();
    return { intake, rows };
  }
}

/** CPU seconds it costs to count a value. */
function intakeOf(set: FeatureSet, parse: boolean): number {
  const costs = new MinuteCosts(set, parse);
  let sum = 0;
  // The windows fill, the code warms up: the last 30 minutes count.
  for (let m = 0; m < 90; m++) {
    const { intake } = costs.next(m, minuteOfEvents(INSTANCES, START + m));
    if (m >= 60) sum += intake;
  }
  return sum / (30 * INSTANCES * metrics.length);
}

/**
 * Microseconds a value costs, its share of the rows included, by variant and turn. Minute by minute all variants in turn,
 * the last one first every other minute: what else runs on the machine weighs on all of them alike.
 */
function microsecondsOfTurns(sets: readonly FeatureSet[]): number[][] {
  const costs = sets.map((set) => new MinuteCosts(set, false));
  const turns = sets.map(() => new Array<number>(WINDOW_TURNS).fill(0));
  const filled = Math.max(...sets.map((set) => set.windowMinutes));
  for (let m = 0; m < filled + WINDOW_TURNS * TURN_MINUTES; m++) {
    const events = minuteOfEvents(INSTANCES, START + m);
    const order = m % 2 === 0 ? [...costs.keys()] : [...costs.keys()].reverse();
    for (const i of order) {
      const { intake, rows } = costs[i]!.next(m, events);
      if (m < filled) continue;
      const turn = Math.floor((m - filled) / TURN_MINUTES);
      turns[i]![turn]! += ((intake + rows) * 1e6) / (TURN_MINUTES * INSTANCES * metrics.length);
    }
  }
  return turns;
}
const medianOf = (work: () => number): number => median(Array.from({ length: ROUNDS }, work));

const growth = sizes.map((instances) => ({ instances, bytes: Math.round(bytesPerEntity(instances)) }));
console.log(`memory an entity of wide: ${growth.map((g) => `${g.bytes} B at ${round(g.instances)}`).join(", ")}`);
const memory =
  "heap and array buffers after a collection, 64 minutes; 24 further hours of hourly panes added by their size; few templates an entity";
const load = () => loadavg().map((v) => Math.round(v * 100) / 100);
const growthFigures = {
  bytesPerEntityWide: Math.max(...growth.map((g) => g.bytes)),
  bytesPerEntityByInstances: Object.fromEntries(growth.map((g) => [g.instances, g.bytes])),
};
if (growthOnly) {
  console.log(
    JSON.stringify({ bench: "features", figures: growthFigures, conditions: { memory, loadAverage: load() } }),
  );
  process.exit();
}

const samplesPerSecond = 1 / medianOf(() => intakeOf(loadFeatureSet("core-37"), false));
const samplesPerSecondParsed = 1 / medianOf(() => intakeOf(loadFeatureSet("core-37"), true));
console.log(
  `core-37: ${round(samplesPerSecond)} values/s into state, ${round(samplesPerSecondParsed)}/s parsing included`,
);

const variants = {
  ...Object.fromEntries([5, 15, 60, 240].map((windowMinutes) => [windowMinutes, { windowMinutes }])),
  ...Object.fromEntries([5, 15].map((hopMinutes) => [`15 every ${hopMinutes}`, { hopMinutes }])),
};
const turns = microsecondsOfTurns(Object.values(variants).map((v) => compileFeatureSet({ ...core, ...v })));
const taken = Object.keys(variants).map((name, i) => [name, turns[i]!] as const);
const rounded = (value: number) => Math.round(value * 1e3) / 1e3;
const microseconds = Object.fromEntries(taken.map(([minutes, all]) => [minutes, rounded(median(all))]));
const costRatios240To5 = turns[3]!.map((of240, turn) => of240 / turns[0]![turn]!);
const costRatio240To5 = median(costRatios240To5);
console.log(
  `a value of core-37, its share of the rows included (one a minute, or as said), by window: ${JSON.stringify(microseconds)} µs`,
);

const fleet = new Fleet(wide, 500, 3);
fleet.run(70);
const perSecond = Array.from({ length: ROUNDS }, () => {
  const before = { ...fleet.sum };
  fleet.run(10);
  return (fleet.sum.rows - before.rows) / (fleet.sum.closeSeconds - before.closeSeconds);
});
const wideRowsPerSecond = median(perSecond);
console.log(`wide: ${round(wideRowsPerSecond)} rows/s out, closing and mining of their minutes included`);

const live = new Fleet(wide, 375, 3, 300);
live.run(70);
const before = { ...live.sum };
live.run(10);
const changelogRatio = (live.sum.logBytes - before.logBytes) / (live.sum.inBytes - before.inBytes);
console.log(`changelog of wide at 300 commits a minute: ${changelogRatio.toFixed(2)} bytes a byte that comes in`);

const rolling = compareRolling();
const { weir } = rolling.rowsPerSecond;
console.log(`core-37 of metrics, rows a CPU second: ${JSON.stringify(rolling.rowsPerSecond)}`);

console.log(
  JSON.stringify({
    bench: "features",
    figures: {
      samplesPerSecond: Math.round(samplesPerSecond),
      samplesPerSecondParsed: Math.round(samplesPerSecondParsed),
      wideRowsPerSecond: Math.round(wideRowsPerSecond),
      costRatio240To5: Math.round(costRatio240To5 * 100) / 100,
      microsecondsPerSampleByWindow: microseconds,
      costRatios240To5: costRatios240To5.map(rounded),
      ...growthFigures,
      changelogBytesPerByteIn: Math.round(changelogRatio * 100) / 100,
      polarsRatio: Math.round((weir! / rolling.polars) * 100) / 100,
      pandasRatio: Math.round((weir! / rolling.pandas) * 100) / 100,
      rollingRowsPerCpuSecond: rolling.rowsPerSecond,
    },
    conditions: {
      seconds: "CPU time of the whole process, collector and compiler included",
      samples:
        "one value of one metric; 6 an event, 500 machines, an event a minute each; duplicates told apart, encoded for the changelog each minute, no broker",
      wide: `${wide.columns.length} columns, 500 machines, an event of metrics and 3 lines a minute each; from the closing tick to the rows' bytes`,
      memory,
      rolling: `${rolling.columns} columns of core-37 over ${rolling.events} events of 1,500 machines, 90 minutes, gaps, one to five events a minute; ${rolling.rows} rows, ${rolling.cells} cells equal; CPU time of the whole process, one thread each, events in memory as columns; weir: the same job as Polars, weirAsStage: duplicates told apart, undo and changelog besides; polarsRatio: by its fastest way; rollingGroups and pandas make the windows only`,
      versions: rolling.versions,
      rounds: `median of ${ROUNDS}, warm`,
      node: process.version,
      loadAverage: load(),
    },
  }),
);
