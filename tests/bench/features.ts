/**
 * What features cost on one core, in process: values counted into core-37's panes, rows of wide made of them, whether a
 * longer window costs more, changelog traffic, memory an entity, and the same rolling windows by pandas and Polars.
 * Last line: the figures as JSON. `-- features 1500 15000 150000` names the sizes of the growth table.
 */
import { loadavg } from "node:os";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { compileFeatureSet, type FeatureSet, loadFeatureSet, readFeatureSet } from "../../processors/features/index.ts";
import { parseEvent } from "../../processors/parse/index.ts";
import { BareStage, Fleet, median, metrics, minuteOfEvents, START, secondsOf } from "./features-parts/fleet.ts";
import { compareRolling } from "./features-parts/rolling.ts";

const ROUNDS = 3;
const sizes = process.argv.length > 2 ? process.argv.slice(2).map(Number) : [1_500, 15_000];
const wide = loadFeatureSet("wide");
const core = readFeatureSet("core-37");
const round = (value: number) => Math.round(value).toLocaleString("en");

/** Seconds a value costs: to be counted, and its share of the rows, at one row a minute and machine. */
function costs(set: FeatureSet, minutes: number, parse: boolean): { intake: number; rows: number } {
  const instances = 500;
  const stage = new BareStage(set);
  const matrix = new Float32Array(instances * set.columns.length);
  const sum = { intake: 0, rows: 0, values: 0 };
  for (let m = 0; m < minutes + 30; m++) {
    const events = minuteOfEvents(instances, START + m);
    const intake = secondsOf(() => {
      for (const [i, { entity, message, parsed }] of events.entries()) {
        const event = parse ? parseEvent("/application/logs", entity, message, (START + m) * 60_000) : parsed;
        stage.add(entity, START + m, `3${m}${"7".repeat(50)}`, i, event);
      }
      stage.commit();
    });
    const rows = secondsOf(() => stage.close(START + m, matrix));
    stage.commit();
    if (m < minutes) continue; // the windows fill, the code warms up
    sum.intake += intake;
    sum.rows += rows;
    sum.values += instances * metrics.length;
  }
  return { intake: sum.intake / sum.values, rows: sum.rows / sum.values };
}
const medianOf = (work: () => number): number => median(Array.from({ length: ROUNDS }, work));

const samplesPerSecond = 1 / medianOf(() => costs(loadFeatureSet("core-37"), 60, false).intake);
const samplesPerSecondParsed = 1 / medianOf(() => costs(loadFeatureSet("core-37"), 60, true).intake);
console.log(
  `core-37: ${round(samplesPerSecond)} values/s into state, ${round(samplesPerSecondParsed)}/s parsing included`,
);

const microseconds: Record<string, number> = {};
for (const windowMinutes of [5, 15, 60, 240]) {
  const set = compileFeatureSet({ ...core, windowMinutes });
  const cost = medianOf(() => {
    const { intake, rows } = costs(set, Math.max(60, windowMinutes), false);
    return intake + rows;
  });
  microseconds[windowMinutes] = Math.round(cost * 1e9) / 1e3;
}
const costRatio240To5 = microseconds[240]! / microseconds[5]!;
console.log(
  `a value of core-37, its share of a row each minute included, by window: ${JSON.stringify(microseconds)} µs`,
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

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;
function bytesNow(): number {
  collect();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}
/** After so many minutes with every window full; a day of hourly panes is added, which would take a day to gather. */
function bytesPerEntity(instances: number): number {
  const empty = bytesNow();
  const held = new Fleet(wide, instances, 2);
  held.run(64);
  const hours = held.processor.stores.find((store) => store.name === "hours")!.size.bytes;
  return (bytesNow() - empty + 24 * hours) / instances + 0 * held.sum.rows;
}
const growth = sizes.map((instances) => ({ instances, bytes: Math.round(bytesPerEntity(instances)) }));
console.log(`memory an entity of wide: ${growth.map((g) => `${g.bytes} B at ${round(g.instances)}`).join(", ")}`);

const rolling = compareRolling();
const { weir, polars, pandas } = rolling.rowsPerSecond;
console.log(
  `rolling windows of 15 minutes, rows/s: here ${round(weir)}, Polars ${round(polars)}, pandas ${round(pandas)}`,
);

console.log(
  JSON.stringify({
    bench: "features",
    figures: {
      samplesPerSecond: Math.round(samplesPerSecond),
      samplesPerSecondParsed: Math.round(samplesPerSecondParsed),
      wideRowsPerSecond: Math.round(wideRowsPerSecond),
      costRatio240To5: Math.round(costRatio240To5 * 100) / 100,
      microsecondsPerSampleByWindow: microseconds,
      bytesPerEntityWide: Math.max(...growth.map((g) => g.bytes)),
      bytesPerEntityByInstances: Object.fromEntries(growth.map((g) => [g.instances, g.bytes])),
      changelogBytesPerByteIn: Math.round(changelogRatio * 100) / 100,
      polarsRatio: Math.round((weir / polars) * 100) / 100,
      pandasRatio: Math.round((weir / pandas) * 100) / 100,
      rollingRowsPerSecond: { weir: Math.round(weir), polars: Math.round(polars), pandas: Math.round(pandas) },
    },
    conditions: {
      samples:
        "one value of one metric; 6 an event, 500 machines, an event a minute each; duplicates told apart, encoded for the changelog each minute, no broker",
      wide: `${wide.columns.length} columns, 500 machines, an event of metrics and 3 lines a minute each; from the closing tick to the rows' bytes`,
      memory:
        "heap and array buffers after a collection, 64 minutes; 24 further hours of hourly panes added by their size; few templates an entity",
      rolling: `${rolling.rows} rows, 15 minutes: mean, std, min, max of two metrics, sums of four; one thread each, samples in memory; duplicates and changelog only here; Polars by the faster of two ways`,
      versions: rolling.versions,
      rounds: `median of ${ROUNDS}, warm`,
      node: process.version,
      loadAverage: loadavg().map((v) => Math.round(v * 100) / 100),
    },
  }),
);
