/**
 * `npm test [suite…]`: every suite in turn, with its time, and one closing line. A suite that starts real components
 * runs one file at a time: two cores hold one stack well, two badly.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const bin = (name: string) => `${root}node_modules/.bin/${name}`;

/** Files that start real components; all others are pure or use fakes. */
const components = [
  "tests/samples/real-broker.test.ts",
  "tests/bridge/integration.test.ts",
  "tests/bridge/cloudwatch.test.ts",
  "tests/conformance/kafka-3.9.2.test.ts",
  "tests/conformance/kafka-4.4.0.test.ts",
  "tests/chaos/chaos.test.ts",
  "tests/commands/processes.test.ts",
  "tests/control/live.test.ts",
  "tests/edge/live.test.ts",
  "tests/explain/local-services.test.ts",
  "tests/fleet/writer.test.ts",
  "tests/lake/kafka.test.ts",
  "tests/lake/lake.test.ts",
  "tests/local/stack.integration.test.ts",
  "tests/score/own-services.test.ts",
  "tests/streams/broker.test.ts",
  "tests/streams/group.test.ts",
  "tests/streams/kafka-interop.test.ts",
  "tests/streams/left-open.test.ts",
  "tests/streams/scaling.test.ts",
  "tests/streams/task.test.ts",
  "tests/trainer/failures.test.ts",
  "tests/trainer/training.test.ts",
  "tests/triton/pack.test.ts",
  "tests/triton/parity.test.ts",
  "tests/triton/real-server.test.ts",
];

interface Suite {
  readonly name: string;
  readonly about: string;
  readonly commands: readonly (readonly string[])[];
}

const vitest = (name: string, ...args: string[]): string[] => [
  bin("vitest"),
  "run",
  "--reporter=default",
  "--reporter=json",
  `--outputFile=${resultFile(name)}`,
  ...args,
];
const resultFile = (name: string) => `${root}.weir/test/${name}.json`;

const suites: readonly Suite[] = [
  {
    name: "static",
    about: "formatter, linter, types",
    commands: [
      [bin("biome"), "check", "."],
      [bin("tsc"), "--noEmit"],
    ],
  },
  {
    name: "unit",
    about: "rules and properties, no server",
    commands: [
      vitest(
        "unit",
        // By itself vitest leaves one core free, which of two is half.
        "--maxWorkers=100%",
        "--exclude=tests/e2e/**",
        "--exclude=tests/system/**",
        ...components.map((file) => `--exclude=${file}`),
      ),
    ],
  },
  {
    name: "components",
    about: "each part on real components",
    commands: [vitest("components", "--maxWorkers=1", ...components)],
  },
  {
    name: "e2e",
    about: "the whole on the simulated fleet and on recorded machines",
    commands: [vitest("e2e", "--maxWorkers=1", "tests/e2e")],
  },
];

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !suites.some((s) => s.name === name));
if (unknown.length > 0) {
  console.error(
    `There is no suite ${unknown.join(", ")}. Suites: ${suites.map((s) => `${s.name} (${s.about})`).join("; ")}.`,
  );
  process.exit(2);
}

mkdirSync(`${root}.weir/test`, { recursive: true });
const times: string[] = [];
const total = { passed: 0, failed: 0, skipped: 0 };
for (const suite of suites) {
  if (wanted.length > 0 && !wanted.includes(suite.name)) continue;
  console.log(`\n== ${suite.name}: ${suite.about}`);
  rmSync(resultFile(suite.name), { force: true });
  const startedAt = performance.now();
  let ok = true;
  for (const [command, ...args] of suite.commands) {
    ok = spawnSync(command!, args, { cwd: root, stdio: "inherit" }).status === 0 && ok;
  }
  const counted = count(suite.name);
  total.passed += counted ? counted.passed : ok ? 1 : 0;
  total.failed += counted ? Math.max(counted.failed, ok ? 0 : 1) : ok ? 0 : 1;
  total.skipped += counted?.skipped ?? 0;
  times.push(
    `${suite.name.padEnd(12)} ${((performance.now() - startedAt) / 1_000).toFixed(1).padStart(7)} s  ${ok ? "passed" : "FAILED"}${counted ? `  ${counted.passed} tests` : ""}`,
  );
}

console.log(`\n${times.join("\n")}`);
console.log("Not run here: tests that need Debian packages (nginx): npm run test:system.");
console.log(`\n${total.passed} passed, ${total.failed} failed${total.skipped > 0 ? `, ${total.skipped} skipped` : ""}`);
process.exitCode = total.failed === 0 ? 0 : 1;

function count(name: string): { passed: number; failed: number; skipped: number } | undefined {
  try {
    const result = JSON.parse(readFileSync(resultFile(name), "utf8"));
    const suitesThatBroke = result.testResults.filter(
      (r: { status: string; assertionResults: unknown[] }) => r.status === "failed" && r.assertionResults.length === 0,
    ).length;
    return {
      passed: result.numPassedTests,
      failed: result.numFailedTests + suitesThatBroke,
      skipped: result.numPendingTests + result.numTodoTests,
    };
  } catch {
    return undefined; // a suite of other commands, or one that did not come far enough to write it
  }
}
