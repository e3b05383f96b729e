import { execFileSync } from "node:child_process";
import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Outcome } from "./harness.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const head = `| when | seed | brokers | commit | faults | kinds | points | in | out | lost | duplicated | different | seconds | log |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
`;

/** One line a run, at the end of the file. */
export function appendRecord(
  file: string,
  { report, seed, brokers, logDigest }: Outcome & { readonly seed: number; readonly brokers: number },
): void {
  const counts = (of: Readonly<Record<string, number>>) =>
    Object.entries(of)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, count]) => `${name} ${count}`)
      .join(", ");
  const when = new Date().toISOString().slice(0, 16);
  const cells = [when, seed, brokers, commit(), report.faults, counts(report.kinds), counts(report.points)];
  cells.push(report.in, report.out, report.lost, report.duplicated, report.different, report.seconds);
  if (!existsSync(file) || !readFileSync(file, "utf8").includes("| when | seed |"))
    writeFileSync(file, `${existsSync(file) ? readFileSync(file, "utf8") : ""}${head}`);
  appendFileSync(file, `| ${[...cells, logDigest.slice(0, 16)].join(" | ")} |\n`);
}

/** Of the product: a `+` says that files differed from it. */
function commit(): string {
  const git = (...args: string[]) => execFileSync("git", args, { cwd: root, encoding: "utf8" }).trim();
  try {
    const dirty = git("status", "--porcelain", "--untracked-files=no", "--", ":!tests/bench/chaos.md") !== "";
    return git("rev-parse", "--short=10", "HEAD") + (dirty ? "+" : "");
  } catch {
    return "unknown";
  }
}
