import { expect, test } from "vitest";
import { filesWith, productFiles, read, withoutComments } from "./sources.ts";

/** `file:line text` of every line that the pattern finds. */
function hits(files: readonly string[], pattern: RegExp, textOf: (file: string) => string = read): string[] {
  return files.flatMap((file) =>
    textOf(file)
      .split("\n")
      .flatMap((line, i) => (pattern.test(line) ? [`${file}:${i + 1} ${line.trim()}`] : [])),
  );
}

const code = (file: string) => withoutComments(read(file));
// This folder spells out what it looks for.
const tests = filesWith(".ts", ".py").filter((file) => file.startsWith("tests/") && !file.startsWith("tests/tidy/"));
const texts = filesWith(".ts", ".mjs", ".py", ".json", ".avsc", ".md", ".txt", ".xml", ".yml", ".yaml", ".sh", "/run");

test("processors and the control stage decide without clock, timer, randomness or network", () => {
  const banned =
    /\bDate\.now\b|\bnew Date\(\)|\bMath\.random\b|\bset(Timeout|Interval|Immediate)\b|\bperformance\.|\brandomUUID\b|\bfetch\(|"node:(net|http|https|http2|dgram|timers|timers\/promises|child_process)"/;
  expect(
    hits(
      productFiles().filter((f) => f.startsWith("processors/") || f.startsWith("control/")),
      banned,
      code,
    ),
  ).toEqual([]);
});

const LINES = 330;
/** Longer ones, each with the reason why it is not cut. */
const longer: Readonly<Record<string, string>> = {
  "sources/kinesis/shard-task.ts": "one lifecycle: its moves are read together",
};
const TEST_LINES = 550;

test("no file is longer than a reader can hold", () => {
  const lengthOf = (file: string) => read(file).trimEnd().split("\n").length;
  const generated = ["schemas/types.ts"];
  const long = productFiles().filter((file) => lengthOf(file) > LINES && !generated.includes(file));
  expect(long.filter((file) => !(file in longer))).toEqual([]);
  expect(
    Object.keys(longer).filter((file) => !long.includes(file)),
    "no longer so long: take them off the list",
  ).toEqual([]);
  expect(tests.filter((file) => lengthOf(file) > TEST_LINES)).toEqual([]);
});

test("no file names a place of one machine", () => {
  expect(hits([...texts, ...tests], /(?<![\w.$}*])\/(root|home|work|Users)\/[\w.]/)).toEqual([]);
});

test("no file names the host of a package registry", () => {
  const hosts = /registry\.npmjs|\bpypi\.org|pythonhosted|repo1?\.maven|proxy\.golang|artifactory|\bnexus\./i;
  expect(hits([...texts, "package-lock.json", ".npmrc"], hosts).filter((h) => !h.startsWith("tests/tidy/"))).toEqual(
    [],
  );
});

test("no test is left out, and only absent data may skip one", () => {
  const left = /\b(?:test|it|describe|suite)(?:\.\w+)*\.(only|skip|todo|fails)\b/;
  expect(hits(tests, left, code)).toEqual([]);
  const conditional = hits(tests, /\.(skipIf|runIf)\(/, code).map((hit) => hit.replace(/:\d+ .*/s, ""));
  expect([...new Set(conditional)].sort()).toEqual([
    "tests/e2e/replay.test.ts",
    "tests/fleet/replay.test.ts",
    "tests/parity/parity.test.ts",
  ]);
});

test("every test file holds a test", () => {
  const files = tests.filter((file) => file.endsWith(".test.ts"));
  expect(files.filter((file) => !/\b(test|it|\w+Suite)(\.\w+(\([^)]*\))?)*\(/.test(code(file)))).toEqual([]);
});

test("no marker of work put off", () => {
  expect(hits([...productFiles(), ...tests], /\b(TODO|FIXME|XXX|HACK)\b/)).toEqual([]);
});

test("every test that starts components is in the suite that runs one file at a time", () => {
  const runner = read("tests/run.ts");
  const starts = tests.filter((f) => f.endsWith(".test.ts") && /\b(testStack|startStack)\(/.test(code(f)));
  const alone = /^tests\/(e2e|system)\//;
  expect(starts.length).toBeGreaterThan(0);
  expect(starts.filter((file) => !alone.test(file) && !runner.includes(`"${file}"`))).toEqual([]);
});
