import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { compileFeatureSet, type FeatureSet, readFeatureSet } from "../../../processors/features/index.ts";
import type { MetricSamples } from "../../../processors/parse/index.ts";
import { BareStage, median, minuteOfEvents, START, secondsOf } from "./fleet.ts";

const root = new URL("../../..", import.meta.url).pathname;
const venv = path.join(root, ".weir/bench-features");
const packages = ["polars==1.35.2", "pandas==2.3.3"];
const INSTANCES = 1_500;
const MINUTES = 60;
const ROUNDS = 3;

/** The job of the three: mean, std, min, max of two metrics, sums of the other four, over 15 minutes, a row a sample. */
function rollingSet(): FeatureSet {
  const core = readFeatureSet("core-37");
  const columns = ["cpu", "memory"].flatMap((signal) =>
    (["mean", "std", "min", "max"] as const).map((statistic) => ({
      name: `${signal}_${statistic}`,
      signal,
      statistic,
    })),
  );
  const sums = ["network_in", "network_out", "disk_read", "disk_write"].map((signal) => {
    return { name: `${signal}_sum`, signal, statistic: "sum" as const };
  });
  const signals = core.signals.filter((s) => "centre" in s);
  return compileFeatureSet({ ...core, name: "rolling", signals, columns: [...columns, ...sums] });
}

export interface Rolling {
  readonly rowsPerSecond: { readonly weir: number; readonly polars: number; readonly pandas: number };
  readonly versions: Readonly<Record<string, string>>;
  readonly rows: number;
}

/** Rows a second of each on the same samples, one thread each; Polars by the faster of its two ways to say it. */
export function compareRolling(): Rolling {
  const minutes = Array.from({ length: MINUTES }, (_, m) => minuteOfEvents(INSTANCES, START + m));
  const set = rollingSet();
  const matrix = new Float32Array(INSTANCES * set.columns.length);
  const seconds = Array.from({ length: ROUNDS + 1 }, () =>
    secondsOf(() => {
      const stage = new BareStage(set);
      for (const [m, events] of minutes.entries()) {
        for (const [i, { entity, parsed }] of events.entries()) stage.add(entity, START + m, `${m}`, i, parsed);
        stage.close(START + m, matrix);
        stage.commit();
      }
    }),
  );
  const folder = mkdtempSync(path.join(tmpdir(), "weir-rolling-"));
  try {
    const lines = ["entity,minute_s,m0,m1,m2,m3,m4,m5"];
    for (const [m, events] of minutes.entries()) {
      for (const { entity, parsed } of events) {
        const values = (parsed as MetricSamples).samples.map((s) => s.values[0]);
        lines.push(`${entity},${(START + m) * 60},${values.join(",")}`);
      }
    }
    writeFileSync(path.join(folder, "samples.csv"), lines.join("\n"));
    const python = runPython(path.join(folder, "samples.csv"));
    const mine = [...matrix.subarray(((INSTANCES - 1) % 512) * set.columns.length)].slice(0, set.columns.length);
    for (const [i, value] of mine.entries()) {
      const other = python.last[i]!;
      if (Math.abs(value - other) > 1e-6 * Math.max(1, Math.abs(other))) {
        throw new Error(`${set.columns[i]}: ${value} here, ${other} by Polars`);
      }
    }
    const rows = INSTANCES * MINUTES;
    const polars = Math.max(python.polars, python.polarsExpressions);
    return {
      rowsPerSecond: { weir: rows / median(seconds.slice(1)), polars, pandas: python.pandas },
      versions: python.versions,
      rows,
    };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

interface PythonAnswer {
  readonly polars: number;
  readonly polarsExpressions: number;
  readonly pandas: number;
  readonly last: readonly number[];
  readonly versions: Readonly<Record<string, string>>;
}

function runPython(file: string): PythonAnswer {
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
  return JSON.parse(run(python, new URL("rolling.py", import.meta.url).pathname, file));
}
