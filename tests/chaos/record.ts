import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { ChaosOptions, Outcome } from "./harness.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const columns = [
  ...["when (UTC)", "seed", "brokers", "commit", "faults", "kinds", "points", "in", "out"],
  ...["lost", "duplicated", "different", "seconds", "log"],
] as const;
type Row = Record<(typeof columns)[number], string>;

const intro = `# Chaos

Each run of \`npm run chaos\` adds a line here; a \`+\` behind the commit says that files differed from it, and \`log\` begins the SHA-256 over
the run's faults and what its processes said. [Guarantees](../../docs/guarantees.md#chaos) says what is done and what is compared.
`;

const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;

/** Adds a run, and sums up all there are. */
export function appendRecord(
  file: string,
  { report, seed, brokers, groups, logDigest }: Outcome & Pick<ChaosOptions, "seed" | "brokers" | "groups">,
): void {
  const { faults, kinds, points, lost, duplicated, different, seconds } = report;
  const row: Row = {
    "when (UTC)": new Date().toISOString().slice(0, 16),
    seed: String(seed),
    brokers: `${brokers}${groups ? ", groups" : ""}`,
    commit: commit(),
    faults: String(faults),
    kinds: textOf(kinds),
    points: textOf(points),
    in: String(report.in),
    out: String(report.out),
    lost: String(lost),
    duplicated: String(duplicated),
    different: String(different),
    seconds: String(seconds),
    log: logDigest.slice(0, 16),
  };
  const rows = [...rowsOf(existsSync(file) ? readFileSync(file, "utf8") : ""), row];
  const notes = existsSync(file) ? notesOf(readFileSync(file, "utf8")) : "";
  const table = [line(columns), line(columns.map(() => "---")), ...rows.map((r) => line(columns.map((c) => r[c])))];
  writeFileSync(file, `${intro}\n${sums(rows)}\n${notes}## Runs\n\n${table.join("\n")}\n`);
}

/** The lines of the table. */
export function rowsOf(text: string): Row[] {
  const cells = text
    .split("\n")
    .filter((l) => /^\| \d{4}-/.test(l))
    .map((l) => l.slice(2, -2).split(" | "));
  return cells.map((of) => Object.fromEntries(columns.map((column, i) => [column, of[i] ?? ""])) as Row);
}

/** What a person wrote about runs stays. */
const notesOf = (text: string): string => /^## Notes\n[\s\S]*?(?=^## Runs)/m.exec(text)?.[0] ?? "";

function sums(rows: readonly Row[]): string {
  const total = (of: keyof Row) => rows.reduce((sum, row) => sum + Number(row[of]), 0);
  const byName = (of: keyof Row) => {
    const counts: Record<string, number> = {};
    for (const row of rows)
      for (const part of row[of].split(", ").filter(Boolean)) {
        const [, name, count] = /^(.*) (\d+)$/.exec(part)!;
        counts[name!] = (counts[name!] ?? 0) + Number(count);
      }
    return textOf(counts);
  };
  const losses = `${total("lost")} lost, ${total("duplicated")} duplicated, ${total("different")} different`;
  return `**All runs: ${total("faults")} faults in ${rows.length} runs, ${total("in")} events in, ${total("out")} out; ${losses}.**

By kind: ${byName("kinds")}.

At points: ${byName("points")}.
`;
}

const textOf = (of: Readonly<Record<string, number>>): string =>
  Object.entries(of)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, count]) => `${name} ${count}`)
    .join(", ");

function commit(): string {
  const git = (...args: string[]) => execFileSync("git", args, { cwd: root, encoding: "utf8" }).trim();
  try {
    const dirty = git("status", "--porcelain", "--untracked-files=no", "--", ":!tests/bench/chaos.md") !== "";
    return git("rev-parse", "--short=10", "HEAD") + (dirty ? "+" : "");
  } catch {
    return "unknown";
  }
}
