import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, test } from "vitest";

/** A project of its own with this bootstrap, programs that tell their arguments, and an npm that makes what ours makes. */
let root: string;
const inRoot = (...parts: string[]) => path.join(root, ...parts);
beforeEach(() => {
  root = mkdtempSync(path.join(os.tmpdir(), "weir-bootstrap-"));
  for (const folder of ["bin", "tests", "local/setup", "path"]) mkdirSync(inRoot(folder), { recursive: true });
  for (const file of ["bootstrap.mjs", "flags.mjs"])
    copyFileSync(fileURLToPath(new URL(`../../bin/${file}`, import.meta.url)), inRoot("bin", file));
  writeFileSync(inRoot("package.json"), '{"type":"module"}');
  writeFileSync(inRoot("package-lock.json"), "{}");
  const tell = (name: string) =>
    `console.log("${name}", ...process.argv.slice(2)); process.exitCode = Number(process.env.CODE ?? 0);`;
  writeFileSync(
    inRoot("main.ts"),
    `if (process.argv.includes("wait")) {
      process.on("SIGTERM", () => process.exit(7));
      setInterval(() => {}, 1000);
    }
    ${tell("main")}`,
  );
  writeFileSync(inRoot("tests/run.ts"), tell("tests"));
  writeFileSync(
    inRoot("local/setup/main.ts"),
    'console.log("set-up"); process.exitCode = Number(process.env.SETUP_CODE ?? 0);',
  );
  npm(
    `echo installed >> ${inRoot("installs")}; rm -rf node_modules; mkdir -p node_modules/node/bin; ln -s ${process.execPath} node_modules/node/bin/node`,
  );
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function npm(script: string): void {
  writeFileSync(inRoot("path/npm"), `#!/bin/sh\n${script}\n`);
  chmodSync(inRoot("path/npm"), 0o755);
}
const installs = () =>
  existsSync(inRoot("installs")) ? readFileSync(inRoot("installs"), "utf8").split("\n").length - 1 : 0;

async function bootstrap(args: string[], env: NodeJS.ProcessEnv = {}, onOutput?: (kill: () => void) => void) {
  const child = spawn(process.execPath, [inRoot("bin/bootstrap.mjs"), ...args], {
    env: { ...process.env, PATH: `${inRoot("path")}:${process.env.PATH}`, ...env },
  });
  let out = "";
  let err = "";
  child.stdout.on("data", (chunk) => {
    out += chunk;
    onOutput?.(() => child.kill("SIGTERM"));
  });
  child.stderr.on("data", (chunk) => {
    err += chunk;
  });
  const [code] = await once(child, "close");
  return { code, out: out.trim().split("\n"), err };
}

test("packages are installed once, and again when the lock file changes", async () => {
  expect((await bootstrap(["start", "--once"])).out).toEqual(["main start --once"]);
  await bootstrap(["start"]);
  expect(installs()).toBe(1);
  writeFileSync(inRoot("package-lock.json"), '{"changed":true}');
  await bootstrap(["start"]);
  expect(installs()).toBe(2);
});

test("an install by hand is good enough, unless the lock file is newer", async () => {
  mkdirSync(inRoot("node_modules/node/bin"), { recursive: true });
  symlinkSync(process.execPath, inRoot("node_modules/node/bin/node"));
  writeFileSync(inRoot("node_modules/.package-lock.json"), "{}");
  utimesSync(inRoot("package-lock.json"), 1, 1);
  await bootstrap(["start"]);
  expect(installs()).toBe(0);
  utimesSync(inRoot("node_modules/.package-lock.json"), 0, 0);
  await bootstrap(["start"]);
  expect(installs()).toBe(1);
});

test("an install that fails is told and tried again the next time", async () => {
  const good = readFileSync(inRoot("path/npm"), "utf8");
  npm("mkdir -p node_modules/node/bin; echo broken >&2; exit 9");
  const failed = await bootstrap(["start"]);
  expect(failed.code).toBe(1);
  expect(failed.err).toMatch(/broken[\s\S]*BOOTSTRAP_INSTALL: .*exit 9.* Next step: /);
  writeFileSync(inRoot("path/npm"), good);
  expect((await bootstrap(["start"])).code).toBe(0);
});

test("a test run is the set-up, then the tests with the arguments", async () => {
  expect((await bootstrap(["test", "a", "--b"])).out).toEqual(["set-up", "tests a --b"]);
});

test("tests do not run after a set-up that failed", async () => {
  const { code, out } = await bootstrap(["test"], { SETUP_CODE: "4" });
  expect([code, out]).toEqual([4, ["set-up"]]);
});

test("the exit code is the program's", async () => {
  expect((await bootstrap(["start"], { CODE: "3" })).code).toBe(3);
});

test("SIGTERM reaches the program, which ends as it likes", async () => {
  const { code } = await bootstrap(["start", "wait"], {}, (kill) => kill());
  expect(code).toBe(7);
});

test("an unknown command is refused", async () => {
  const { code, err } = await bootstrap(["fly"]);
  expect([code, err]).toEqual([1, expect.stringMatching(/^BOOTSTRAP_COMMAND: .*start, setup, test/)]);
});
