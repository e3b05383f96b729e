/**
 * `npm run mutants -- [--only TEXT] [--json]`: breaks the product on purpose, one rule at a time, in a copy of the tree,
 * and runs the tests that must notice. They run on the unbroken copy first: a test that fails anyway notices nothing.
 * Exit code 1 if a break survived.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { setUp } from "../../local/index.ts";
import { flagsOf } from "../support/flags.ts";
import { applyBreak } from "./apply.ts";
import { type Break, breaks } from "./breaks.ts";

const LIMIT_MS = 300_000;
const root = fileURLToPath(new URL("../..", import.meta.url));
const values = flagsOf(import.meta.url, {
  only: { type: "string", default: "" },
  json: { type: "boolean", default: false },
});
const chosen = breaks.filter((b) => b.name.includes(values.only));

/** The tree as it lies here, ignored files apart; what is installed is linked. */
function copyOfTree(): string {
  const copy = mkdtempSync(path.join(tmpdir(), "weir-mutants-"));
  const list = execFileSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], { cwd: root });
  for (const file of list.toString().split("\0").filter(Boolean)) {
    mkdirSync(path.dirname(path.join(copy, file)), { recursive: true });
    cpSync(path.join(root, file), path.join(copy, file), { force: true });
  }
  for (const made of ["node_modules", ".weir"]) symlinkSync(path.join(root, made), path.join(copy, made));
  return copy;
}

type Verdict = "passed" | "failed" | "nothing ran";

function runTests(copy: string, { tests, only }: Break): Verdict {
  const report = path.join(copy, "mutants-report.json");
  rmSync(report, { force: true });
  const select = only === undefined ? [] : ["-t", only];
  const vitest = path.join(root, "node_modules/.bin/vitest");
  const args = ["run", "--maxWorkers=1", "--bail=1", "--reporter=json", `--outputFile=${report}`, ...select, ...tests];
  const { status, error } = spawnSync(vitest, args, { cwd: copy, stdio: "ignore", timeout: LIMIT_MS });
  if (error) return "failed"; // it hung: no test passes that does not end
  const { numPassedTests, numFailedTests } = JSON.parse(readFileSync(report, "utf8"));
  if (status === 0) return numPassedTests > 0 ? "passed" : "nothing ran";
  return numFailedTests > 0 || numPassedTests === 0 ? "failed" : "nothing ran";
}

await setUp({ components: ["kafka", "s3"] });
const copy = copyOfTree();
const unbroken = new Map<string, Verdict>();
const mutants: { break: string; test: string; caught: boolean }[] = [];
try {
  for (const b of chosen) {
    const selection = [...b.tests, ...(b.only === undefined ? [] : [`-t "${b.only}"`])].join(" ");
    if (!unbroken.has(selection)) unbroken.set(selection, runTests(copy, b));
    if (unbroken.get(selection) !== "passed")
      throw new Error(`On the unbroken tree: ${unbroken.get(selection)}: ${selection}`);
    const target = path.join(copy, b.file);
    const text = readFileSync(target, "utf8");
    writeFileSync(target, applyBreak(b, text));
    const caught = runTests(copy, b) === "failed";
    writeFileSync(target, text);
    mutants.push({ break: b.name, test: selection, caught });
    if (!values.json) console.log(`${caught ? "caught  " : "SURVIVED"} ${b.name} (${selection})`);
  }
} finally {
  rmSync(copy, { recursive: true, force: true });
}
const survived = mutants.filter((m) => !m.caught).length;
console.log(values.json ? JSON.stringify({ mutants, survived }) : `${mutants.length} breaks, survived: ${survived}`);
process.exitCode = survived === 0 ? 0 : 1;
