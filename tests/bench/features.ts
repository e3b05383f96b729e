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
const WINDOW_ROUNDS = 5;
const args = process.argv.slice(2);
const growthOnly = args[0] === "growth";
const named = args.slice(growthOnly ? 1 : 0).map(Number);
const sizes = named.length > 0 ? named : [1_500, 15_000];
const wide = loadFeatureSet("wide");
const core = readFeatureSet("core-37");
const round = (value: number) => Math.round(value).toLocaleString("en");

/** CPU seconds a value costs: to be counted, and its share of the rows, at one row a hop and machine. */
function costs(set: FeatureSet, minutes: number, parse: boolean): { intake: number; rows: number } {
  const instances = 500;
  const stage = new BareStage(set);
  const matrix = new Float32Array(instances * set.columns.length);
  const sum = { intake: 0, rows: 0, values: 0 };
  for (let m = 0; m < minutes + 30; m++) {
    const events = minuteOfEvents(instances, START + m);
    const intake = cpuSecondsOf(() => {
      for (const [i, { entity, message, parsed }] of events.entries()) {
        const event = parse ? parseEvent("/application/logs", entity, message, (START + m) * 60_000) : parsed;
        stage.add(entity, START + m, `3${m}${"7".repeat(50)}`, i, event);
      }
      stage.commit();
    });
    const isEnd = (START + m + 1) % set.hopMinutes === 0;
    const rows = cpuSecondsOf(() => (isEnd ? stage.close(START + m, matrix) : 0));
    stage.commit();
    if (m < minutes) continue; // the windows fill, the code warms up
    sum.intake += intake;
    sum.rows += rows;
    sum.values += instances * metrics.length;
  }
  return { intake: sum.intake / sum.values, rows: sum.rows / sum.values };
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

const samplesPerSecond = 1 / medianOf(() => costs(loadFeatureSet("core-37"), 60, false).intake);
const samplesPerSecondParsed = 1 / medianOf(() => costs(loadFeatureSet("core-37"), 60, true).intake);
console.log(
  `core-37: ${round(samplesPerSecond)} values/s into state, ${round(samplesPerSecondParsed)}/s parsing included`,
);

// In turn, so that what else runs on the machine weighs on all of them alike.
const variants = {
  ...Object.fromEntries([5, 15, 60, 240].map((windowMinutes) => [windowMinutes, { windowMinutes }])),
  ...Object.fromEntries([5, 15].map((hopMinutes) => [`15 every ${hopMinutes}`, { hopMinutes }])),
};
const taken = new Map(Object.keys(variants).map((name) => [name, [] as number[]]));
for (let round = 0; round < WINDOW_ROUNDS; round++) {
  for (const [name, variant] of Object.entries(variants)) {
    const set = compileFeatureSet({ ...core, ...variant });
    const { intake, rows } = costs(set, Math.max(60, set.windowMinutes), false);
    taken.get(name)!.push((intake + rows) * 1e6);
  }
}
const rounded = (value: number) => Math.round(value * 1e3) / 1e3;
const microseconds = Object.fromEntries([...taken].map(([minutes, all]) => [minutes, rounded(median(all))]));
const microsecondsOfRounds = Object.fromEntries([...taken].map(([minutes, all]) => [minutes, all.map(rounded)]));
const costRatio240To5 = microseconds[240]! / microseconds[5]!;
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
      microsecondsPerSampleOfRounds: microsecondsOfRounds,
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
