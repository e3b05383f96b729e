import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, expect, test } from "vitest";
import { featureSetOf } from "../../commands/clients.ts";
import { describeAsTable, describeColumns, loadFeatureSet } from "../../processors/features/index.ts";
import { column, DAY_ONE, emf, eventsOf, MINUTE, newProcessor, run, sign } from "./helpers.ts";

const T = DAY_ONE * MINUTE;
const root = new URL("../..", import.meta.url).pathname;
const folder = mkdtempSync(path.join(tmpdir(), "weir-features-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** What docs/features.md tells a reader to do: a copy, a signal, a pattern of columns. */
function mySet(): string {
  const set = JSON.parse(readFileSync(path.join(root, "schemas/feature-sets/core-37.json"), "utf8"));
  const page = readFileSync(path.join(root, "docs/features.md"), "utf8");
  const [signal, pattern] = [...page.matchAll(/```json\n([\s\S]*?)```/g)].map(([, json]) => JSON.parse(json!));
  set.name = "mine";
  set.signals.push(signal);
  set.columns.push(pattern);
  const file = path.join(folder, "my-set.json");
  writeFileSync(file, JSON.stringify(set));
  return file;
}

test("a signal and a pattern of columns added to a copy of a set are columns of its rows", () => {
  const set = featureSetOf({ featureSet: mySet() });
  expect(set.columns.slice(37)).toEqual(["queue_mean_5m", "queue_mean_60m"]);
  const events = Array.from({ length: 10 }, (_, m) => {
    const at = T + m * MINUTE;
    return eventsOf("s", "a", at, [{ id: `${m}`, timestampMs: at, message: emf("a", at, { QueueDepth: m }) }]);
  });
  const { rows } = run([sign("s", "open", T), ...events, sign("s", "tick", T + 11 * MINUTE)], newProcessor(set));
  expect(column(rows.at(-1)!, "queue_mean_5m", set)).toBe(7);
  expect(column(rows.at(-1)!, "queue_mean_60m", set)).toBe(4.5);
});

test("weir features describe says what the columns of a set in a file are", () => {
  const { stdout } = spawnSync(process.execPath, ["main.ts", "features", "describe", mySet(), "--json"], {
    cwd: root,
    encoding: "utf8",
  });
  const described = JSON.parse(stdout);
  expect(described.columns).toHaveLength(39);
  expect(described.columns.at(-1)).toEqual({
    name: "queue_mean_60m",
    formula: "mean of queue over 60 minutes",
    unit: "Count",
    missing: "no value of queue in the 60 minutes",
  });
});

test.each(["core-37", "wide"])("docs/features.md shows the columns of %s as they are", (name) => {
  const page = readFileSync(path.join(root, "docs/features.md"), "utf8");
  expect(page).toContain(`\n${describeAsTable(describeColumns(loadFeatureSet(name).definition))}\n`);
});

test("every column of every set has a formula, a unit and a rule for what is missing", () => {
  for (const name of ["core-37", "core-36", "wide"]) {
    for (const { name: one, formula, unit, missing } of describeColumns(loadFeatureSet(name).definition)) {
      expect(`${one} ${formula} ${unit} ${missing}`).not.toMatch(/undefined|NaN|object/);
    }
  }
});
