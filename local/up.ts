import path from "node:path";
import { parseArgs } from "node:util";
import { WeirError } from "../streams/index.ts";
import { type ComponentName, componentNames, defaultComponents } from "./components/index.ts";
import { createProgress } from "./progress.ts";
import { setUp } from "./setup/index.ts";
import { endpointsFileOf, startStack } from "./stack.ts";

/** For development: `node local/up.ts --run-dir DIR [--components kafka,s3] [--shards 4]`; ends on SIGINT or SIGTERM. */
const { values } = parseArgs({
  options: {
    "run-dir": { type: "string", default: ".weir/run" },
    components: { type: "string" },
    shards: { type: "string", default: "4" },
  },
});

const isName = (name: string): name is ComponentName => (componentNames as readonly string[]).includes(name);
const asked = values.components?.split(",") ?? [...defaultComponents];
const unknown = asked.filter((name) => !isName(name));
if (unknown.length > 0) {
  console.error(`Unknown components: ${unknown.join(", ")}. There are ${componentNames.join(", ")}.`);
  process.exit(2);
}
const components = asked.filter(isName);
const runDir = path.resolve(values["run-dir"]);
const progress = createProgress();
const interrupt = new AbortController();
const interrupted = new Promise<void>((resolve) => interrupt.signal.addEventListener("abort", () => resolve()));
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => interrupt.abort());

try {
  await setUp({ components, progress, signal: interrupt.signal });
  const stack = await startStack({ runDir, components, shards: Number(values.shards), progress });
  progress.close();
  console.log(endpointsFileOf(runDir));
  const alive = setInterval(() => {}, 60_000);
  await interrupted;
  clearInterval(alive);
  await stack.stop();
} catch (error) {
  progress.close();
  console.error(error instanceof WeirError ? error.toString() : error);
  process.exitCode = 1;
}
