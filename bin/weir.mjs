#!/usr/bin/env node
// Hands over to the pinned Node, which runs the TypeScript sources as they are.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { flags } from "./flags.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const pinned = `${root}node_modules/node/bin/node`;
if (!existsSync(pinned)) {
  console.error("WEIR_NOT_INSTALLED: the pinned Node is missing. Next step: run `npm ci`.");
  process.exit(1);
}
const child = spawn(pinned, [...flags, `${root}main.ts`, ...process.argv.slice(2)], { stdio: "inherit" });
// A terminal's Ctrl-C reaches the child by itself; a plain kill reaches only this process.
process.on("SIGINT", () => {});
process.on("SIGTERM", () => child.kill("SIGTERM"));
child.on("exit", (code, signal) => process.exit(code ?? (signal === "SIGINT" ? 130 : 143)));
