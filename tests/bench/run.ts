/** `npm run bench -- <name>`: one benchmark; its last line is one JSON object with figures and conditions. */
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { flags } from "../../bin/flags.mjs";
import { headOf } from "../support/flags.ts";

const here = new URL(".", import.meta.url);
const names = readdirSync(here)
  .filter((file) => file.endsWith(".ts") && file !== "run.ts")
  .map((file) => file.slice(0, -3));
const [name, ...given] = process.argv.slice(2);
// Asked for or not: the last line is JSON.
const args = given.filter((arg) => arg !== "--json");
if (name === undefined || !names.includes(name)) {
  console.error(`Name one of the benchmarks: ${names.join(", ")}.`);
  process.exit(2);
}
if (args.includes("--help")) {
  console.log(headOf(new URL(`${name}.ts`, here).href));
  process.exit(0);
}
// With the flags of Weir's own processes: what runs in this one is to be measured as it runs there.
const command = [...flags, new URL(`${name}.ts`, here).pathname, ...args];
process.exitCode = spawnSync(process.execPath, command, { stdio: "inherit" }).status ?? 1;
