import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { applyBreak } from "./apply.ts";
import { breaks } from "./breaks.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));

test.each(breaks.map((b) => [b.name, b] as const))("%s: the break fits the code, and its tests are there", (_, b) => {
  const text = readFileSync(root + b.file, "utf8");
  expect(applyBreak(b, text)).not.toBe(text);
  expect(b.tests.filter((file) => !existsSync(root + file))).toEqual([]);
});

test("each break has a name of its own", () => {
  expect(new Set(breaks.map((b) => b.name)).size).toBe(breaks.length);
});
