import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { compileFeatureSet, type FeatureSet, readFeatureSet } from "../../../processors/features/index.ts";
import { randomOf } from "../../templates/lines.ts";
import { BareStage, cpuSecondsOf, median, nameOf, START } from "./fleet.ts";

const root = new URL("../../..", import.meta.url).pathname;
const venv = path.join(root, ".weir/bench-features");
const packages = ["polars==1.35.2", "pandas==2.3.3"];
const INSTANCES = 1_500;
const MINUTES = 90;
const ROUNDS = 5;
const SIGNALS = 6;

/** The columns of core-37 that come from metrics: no calendar, no lines. */
function metricColumns(): FeatureSet {
  const core = readFeatureSet("core-37");
  const signals = core.signals.filter((s) => "metric" in s);
  const names = new Set(signals.map((s) => s.name));
  const columns = core.columns.filter(
    (c) => ("signal" in c && names.has(c.signal)) || ("changeRateOf" in c && c.changeRateOf.every((s) => names.has(s))),
  );
  return compileFeatureSet({ ...core, name: "rolling", signals, columns });
}

/** Events in the order of time, column by column; NaN where an event lacks a metric. */
interface Events {
  readonly entity: Uint32Array;
  readonly minute: Int32Array;
  readonly values: readonly Float64Array[];
  /** Where each minute begins; one more for the end. */
  readonly beginsAt: readonly number[];
}

/** One to five events a machine and minute, a minute in twenty without any, a metric in twenty missing. */
function makeEvents(): Events {
  const random = randomOf(7);
  const entity: number[] = [];
  const minute: number[] = [];
  const values: number[][] = Array.from({ length: SIGNALS }, () => []);
  const beginsAt = [0];
  for (let m = 0; m < MINUTES; m++) {
    const order = Array.from({ length: INSTANCES }, (_, i) => i).flatMap((i) =>
      random() < 0.05 ? [] : Array.from({ length: 1 + Math.floor(random() * 5) }, () => [random(), i] as const),
    );
    for (const [, i] of order.sort(([a], [b]) => a - b)) {
      entity.push(i);
      minute.push(m);
      for (const [s, column] of values.entries())
        column.push(random() < 0.05 ? Number.NaN : Math.round(random() * 10 ** (s < 2 ? 4 : 4 + s)) / 100);
    }
    beginsAt.push(entity.length);
  }
  return {
    entity: Uint32Array.from(entity),
    minute: Int32Array.from(minute),
    values: values.map((v) => Float64Array.from(v)),
    beginsAt,
  };
}

/** Calls back with the rows of each minute. `asStage`: duplicates told apart, each event can be taken back. */
function rowsByWeir(
  set: FeatureSet,
  events: Events,
  asStage: boolean,
  call: (minute: number, names: readonly string[], matrix: Float32Array, rows: number) => void,
): number {
  const stage = new BareStage(set);
  const names = Array.from({ length: INSTANCES }, (_, i) => nameOf(i));
  const matrix = new Float32Array(INSTANCES * set.columns.length);
  const signals = new Int32Array(SIGNALS);
  const of = new Float64Array(SIGNALS);
  let all = 0;
  for (let m = 0; m < MINUTES; m++) {
    for (let e = events.beginsAt[m]!; e < events.beginsAt[m + 1]!; e++) {
      let count = 0;
      for (let s = 0; s < SIGNALS; s++) {
        const value = events.values[s]![e]!;
        if (Number.isNaN(value)) continue;
        signals[count] = s;
        of[count++] = value;
      }
      const entity = names[events.entity[e]!]!;
      if (asStage) stage.addUnseen(entity, START + m, `3${e}`.padEnd(56, "7"), e, signals, of, count);
      else stage.addValues(entity, START + m, e, signals, of, count);
    }
    const rows = stage.close(START + m, matrix);
    stage.commit();
    all += rows;
    call(m, stage.alive, matrix, rows);
  }
  return all;
}

export interface Rolling {
  /** A CPU second of the process, all of its threads. */
  readonly rowsPerSecond: Readonly<Record<string, number>>;
  readonly polars: number;
  readonly pandas: number;
  readonly versions: Readonly<Record<string, string>>;
  readonly rows: number;
  readonly columns: number;
  readonly events: number;
  readonly cells: number;
}

/** Rows a CPU second of each on the same events; every cell is compared. Polars by the fastest of its ways. */
export function compareRolling(): Rolling {
  const events = makeEvents();
  const set = metricColumns();
  let rows = 0;
  const secondsOf = (asStage: boolean) => {
    const seconds = Array.from({ length: ROUNDS + 2 }, () =>
      cpuSecondsOf(() => {
        rows = rowsByWeir(set, events, asStage, () => {});
      }),
    );
    return median(seconds.slice(2)); // the code warms up
  };
  const weir = secondsOf(false);
  const weirAsStage = secondsOf(true);
  const folder = mkdtempSync(path.join(tmpdir(), "weir-rolling-"));
  try {
    const { entity, minute, values } = events;
    const columns = { entity, minute, ...Object.fromEntries(values.map((v, i) => [`m${i}`, v])) };
    for (const [name, of] of Object.entries(columns)) writeFileSync(path.join(folder, name), of);
    const python = runPython(folder);
    let cells = 0;
    for (const way of Object.keys(python.polars)) cells = checkCells(set, events, path.join(folder, way));
    const perSecond = (seconds: Readonly<Record<string, number>>) =>
      Object.fromEntries(Object.entries(seconds).map(([name, s]) => [name, Math.round(rows / s)]));
    return {
      rowsPerSecond: perSecond({
        weir,
        weirAsStage,
        ...python.polars,
        ...python.polarsWindowsOnly,
        pandas: python.pandasWindowsOnly,
      }),
      polars: rows / Math.min(...Object.values(python.polars)),
      pandas: rows / python.pandasWindowsOnly,
      versions: python.versions,
      rows,
      columns: set.columns.length,
      events: entity.length,
      cells,
    };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Compares all our rows with those of a file, which lie entity by entity and minute by minute. Returns the cells. */
function checkCells(set: FeatureSet, events: Events, file: string): number {
  const bytes = readFileSync(file);
  const theirs = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  const width = set.columns.length;
  const numberOf = new Map(Array.from({ length: INSTANCES }, (_, i) => [nameOf(i), i]));
  let cells = 0;
  rowsByWeir(set, events, false, (m, names, matrix, rows) => {
    for (let row = 0; row < rows; row++) {
      const other = (numberOf.get(names[row]!)! * MINUTES + m) * width;
      for (let c = 0; c < width; c++) {
        const [a, b] = [matrix[row * width + c]!, theirs[other + c]!];
        cells++;
        if (Number.isNaN(a) && Number.isNaN(b)) continue;
        if (Math.abs(a - b) <= 1e-6 * Math.max(1, Math.abs(b))) continue;
        throw new Error(`${set.columns[c]} of ${names[row]} in minute ${m}: ${a} here, ${b} by Polars.`);
      }
    }
  });
  return cells;
}

interface PythonAnswer {
  readonly polars: Readonly<Record<string, number>>;
  readonly polarsWindowsOnly: Readonly<Record<string, number>>;
  readonly pandasWindowsOnly: number;
  readonly versions: Readonly<Record<string, string>>;
}

function runPython(folder: string): PythonAnswer {
  const python = path.join(venv, "bin/python");
  const run = (command: string, ...args: string[]) => {
    const { status, stdout, stderr } = spawnSync(command, args, { encoding: "utf8" });
    if (status !== 0) throw new Error(`${command} ${args[0]}: ${stderr}`);
    return stdout;
  };
  if (!existsSync(path.join(venv, "ready"))) {
    console.log(`Installing ${packages.join(" and ")} into ${path.relative(root, venv)}.`);
    run("python3", "-m", "venv", venv);
    run(python, "-m", "pip", "install", "--quiet", ...packages);
    writeFileSync(path.join(venv, "ready"), packages.join("\n"));
  }
  const script = new URL("rolling.py", import.meta.url).pathname;
  return JSON.parse(run(python, script, folder, `${INSTANCES}`, `${MINUTES}`, `${ROUNDS}`));
}
