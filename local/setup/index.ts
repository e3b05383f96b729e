import path from "node:path";
import { fileURLToPath } from "node:url";
import { WeirError } from "../../streams/index.ts";
import type { ComponentName } from "../components/index.ts";
import { type Progress, silentProgress } from "../progress.ts";
import { isDone, runSteps } from "./run-steps.ts";
import { oldKafka, type StepName, steps } from "./steps.ts";

const stepsOf: Record<ComponentName, readonly StepName[]> = {
  kafka: ["kafka"],
  registry: ["registry"],
  s3: ["s3"],
  kinesis: [],
  triton: ["serve"],
  qdrant: ["tools"],
  ai: ["tools", "models", "ai"],
  moto: ["tools"],
};

/** `.weir/` in the project, or where WEIR_CACHE says. */
export function defaultCacheDir(): string {
  return path.resolve(process.env.WEIR_CACHE ?? fileURLToPath(new URL("../../.weir", import.meta.url)));
}

export interface SetUpOptions {
  readonly cacheDir?: string;
  /** What will be started; everything by default. */
  readonly components?: readonly ComponentName[];
  readonly progress?: Progress;
  readonly signal?: AbortSignal;
}

/**
 * Installs what the components need into the cache: only what is missing or was made from other inputs. Says nothing
 * when there is nothing to do.
 *
 * @throws WeirError SETUP_NO_JAVA, SETUP_NO_MAVEN, SETUP_NO_PYTHON, SETUP_NO_LIBPYTHON, SETUP_NO_NETWORK,
 *   SETUP_DISK_FULL, SETUP_STEP_FAILED, SETUP_PLATFORM
 */
export async function setUp(options: SetUpOptions = {}): Promise<void> {
  if (process.platform !== "linux" || process.arch !== "x64") {
    throw new WeirError(
      "SETUP_PLATFORM",
      "fatal",
      `The native stack runs on Linux x64; this is ${process.platform} ${process.arch}.`,
      "Use `--infra docker` on a machine with Docker.",
    );
  }
  const cacheDir = options.cacheDir ?? defaultCacheDir();
  const components = options.components ?? (Object.keys(stepsOf) as ComponentName[]);
  const names = new Set(components.flatMap((component) => stepsOf[component]));
  const run = {
    cacheDir,
    progress: options.progress ?? silentProgress,
    ...(options.signal ? { signal: options.signal } : {}),
  };
  await runSteps(
    Object.values(steps).filter((step) => names.has(step.name as StepName)),
    run,
  );
  // Where versitygw can't be built, moto takes its place.
  if (names.has("s3") && !isDone(steps.s3, cacheDir)) await runSteps([steps.tools], run);
}

/** Installs the oldest supported broker for tests; returns where its jars lie. */
export async function setUpOldKafka(options: Pick<SetUpOptions, "cacheDir"> = {}): Promise<string> {
  const cacheDir = options.cacheDir ?? defaultCacheDir();
  await runSteps([oldKafka], { cacheDir, progress: silentProgress });
  return path.join(cacheDir, oldKafka.name);
}
