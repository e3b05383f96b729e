import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

const page = new URL("../../docs/guarantees.md", import.meta.url);

test("every test that docs/guarantees.md names is there, and every line of its tables names one", () => {
  const text = readFileSync(page, "utf8");
  const named = [...text.matchAll(/\]\((\.\.\/tests\/[^)]+)\)\s+"([^"]+)"/g)].map(([, file, title]) => ({
    file: file!,
    title: title!.replaceAll(/\s+/g, " "),
  }));
  expect(named.length).toBeGreaterThan(30);
  const missing = named.filter(({ file, title }) => !readFileSync(new URL(file, page), "utf8").includes(title));
  expect(missing).toEqual([]);
  const rows = text.split("\n").filter((line) => line.startsWith("| ") && !/^\| (fault|---)/.test(line));
  expect(rows.filter((row) => !/\]\(\.\.\/tests\/[^)]+\) "/.test(row))).toEqual([]);
});
