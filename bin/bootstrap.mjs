#!/usr/bin/env node
// What `npm start` and `npm test` run, under whatever Node is there and with no package installed yet: installs the
// locked packages if that has not been done, then hands over to the pinned Node.
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import { delimiter } from "node:path";
import { fileURLToPath } from "node:url";
import { flags } from "./flags.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const pinned = `${root}node_modules/node/bin/node`;
const stamp = `${root}node_modules/.weir-stamp`;
/** Programs of each command, run one after the other while they end well. The last one gets the arguments. */
const programs = {
  start: [["main.ts", "start"]],
  setup: [["local/setup/main.ts"]],
  test: [["local/setup/main.ts"], ["tests/run.ts"]],
};

function fail(code, message, nextStep) {
  console.error(`${code}: ${message} Next step: ${nextStep}`);
  process.exit(1);
}

const [command, ...args] = process.argv.slice(2);
const chain = programs[command];
if (chain === undefined) {
  fail("BOOTSTRAP_COMMAND", `There is no "${command ?? ""}".`, `Use one of ${Object.keys(programs).join(", ")}.`);
}
if (Number(process.versions.node.split(".")[0]) < 20) {
  fail(
    "BOOTSTRAP_NODE",
    `Node ${process.versions.node} is too old.`,
    "Install Node 20 or later; newer ones install their own.",
  );
}

const lock = createHash("sha256")
  .update(readFileSync(`${root}package-lock.json`))
  .digest("hex");
// An `npm ci` by hand leaves npm's own list behind, newer than the lock file.
const ownList = `${root}node_modules/.package-lock.json`;
const stamped = existsSync(stamp)
  ? readFileSync(stamp, "utf8") === lock
  : existsSync(ownList) && statSync(ownList).mtimeMs > statSync(`${root}package-lock.json`).mtimeMs;
const installed = stamped && existsSync(pinned);
if (!installed) {
  console.error("Installing the locked npm packages");
  // The stamp lies in the folder that npm ci deletes first, so an install that was cut short is done again.
  const { status, error } = spawnSync("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"], {
    cwd: root,
    stdio: ["ignore", 2, 2],
  });
  if (error)
    fail("BOOTSTRAP_NO_NPM", `npm does not run: ${error.message}.`, "Install Node 20 or later together with npm.");
  if (status !== 0) {
    fail(
      "BOOTSTRAP_INSTALL",
      `\`npm ci\` failed (exit ${status}).`,
      "Read the lines above, mend it, and run the same command again.",
    );
  }
  if (!existsSync(pinned)) {
    fail(
      "BOOTSTRAP_INSTALL",
      "`npm ci` left no pinned Node behind.",
      "Allow the install script of the package `node` and run the same command again.",
    );
  }
  writeFileSync(stamp, lock);
}

// What it starts by the name of `node` is the pinned one too.
const env = { ...process.env, PATH: `${root}node_modules/node/bin${delimiter}${process.env.PATH}` };
let child;
// A terminal's Ctrl-C reaches the child by itself; a plain kill reaches only this process.
process.on("SIGINT", () => {});
for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, () => child?.kill(signal));

/** Exit code of a program of ours; that of the shell for one ended by a signal. */
function run(program) {
  child = spawn(pinned, [...flags, `${root}${program[0]}`, ...program.slice(1)], { stdio: "inherit", env });
  return new Promise((resolve) => {
    child.once("error", (error) =>
      fail("BOOTSTRAP_NODE", `${pinned} does not run: ${error.message}.`, "Run `npm ci`."),
    );
    child.once("exit", (code, signal) => resolve(code ?? 128 + constants.signals[signal]));
  });
}

for (const [i, program] of chain.entries()) {
  const code = await run(i === chain.length - 1 ? [...program, ...args] : program);
  if (code !== 0) process.exit(code);
}
