import { fileURLToPath } from "node:url";
import { type Config, readConfig } from "../config.ts";
import { type Runnable, WeirError } from "../streams/index.ts";
import { brokerOf } from "./clients.ts";
import { createRole, type Role, roleNames, roles, stageRoles } from "./roles.ts";
import { fixedSharing, groupSharing, type Sharing } from "./sharing.ts";

/** Options from the environment, filled in from the local stack where no brokers of one's own are named. */
export async function configFor(
  needed: Parameters<typeof readConfig>[1],
  always: Parameters<typeof readConfig>[1] = ["kafkaBrokers", "registryUrl"],
): Promise<Config> {
  // The stack's code is loaded only where it is asked: a production process does without.
  const { currentLocal } = process.env.WEIR_KAFKA_BROKERS
    ? { currentLocal: () => undefined }
    : await import("./local-options.ts");
  const local = currentLocal()?.options ?? {};
  for (const name of ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]) if (local[name]) process.env[name] ??= local[name];
  return readConfig(process.env, [...always, ...needed], local);
}

export async function init(): Promise<void> {
  const { connectCodecs, initialise } = await import("./init.ts");
  const config = await configFor([]);
  await connectCodecs(config);
  await initialise(config, brokerOf(config));
  process.stdout.write(`Topics, schemas and state of environment ${config.env} are in place.\n`);
}

export interface RunOptions {
  readonly ordinal?: number;
  readonly of?: number;
  readonly epoch?: number;
  readonly processes?: number;
  /** This process was started by another one with `processes`. */
  readonly child?: boolean;
}

/** `weir run <role…>`: until a signal, or until a role cannot keep its promise. Returns the exit code. */
export async function run(names: readonly string[], options: RunOptions): Promise<number> {
  const wanted = rolesNamed(names);
  if (options.ordinal !== undefined) process.env.WEIR_ORDINAL = `${options.ordinal}/${options.of ?? 1}`;
  if (options.epoch !== undefined) process.env.WEIR_EPOCH = String(options.epoch);
  const config = await configFor(wanted.flatMap((role) => [...roles[role].needs]));
  if (options.child) return await runChild(wanted, config);
  const runnables = options.processes
    ? [await processesOf(wanted, config, options.processes)]
    : await runnablesOf(wanted, config, sharingOf(config));
  const { serveHealth } = await import("./http.ts");
  const health = await serveHealth(runnables, config.httpHost, config.httpPort);
  try {
    await until(stopSignal(), runnables, () => log(`${wanted.join(", ")} running; ${health.url}/healthz and /metrics`));
    return 0;
  } finally {
    await Promise.all(runnables.map((r) => r.stop()));
    await health.close();
  }
}

async function runChild(wanted: readonly Role[], config: Config): Promise<number> {
  const { Parent } = await import("./child.ts");
  const parent = new Parent();
  const stopped = Promise.race([stopSignal(), parent.gone]);
  const runnables = await runnablesOf(wanted, config, parent.sharing);
  const reported = parent.report(runnables);
  parent.ready();
  try {
    await until(stopped, runnables);
    return 0;
  } finally {
    reported();
    await Promise.all(runnables.map((r) => r.stop()));
  }
}

function rolesNamed(names: readonly string[]): readonly Role[] {
  const wanted = names.includes("all") ? stageRoles : (names as Role[]);
  const unknown = wanted.filter((name) => !roleNames.includes(name));
  if (unknown.length > 0)
    throw new WeirError(
      "ROLE_UNKNOWN",
      "fatal",
      `There is no role ${unknown.join(", ")}.`,
      `Name some of ${roleNames.join(", ")}, or all.`,
    );
  return wanted;
}

function sharingOf(config: Config): Sharing {
  if (config.ordinal === "") return groupSharing(brokerOf(config), config.env);
  const [ordinal, processes] = config.ordinal.split("/").map(Number) as [number, number];
  return fixedSharing(config.partitions, ordinal, processes, config.epoch);
}

async function runnablesOf(wanted: readonly Role[], config: Config, sharing: Sharing): Promise<Runnable[]> {
  const { connectCodecs } = await import("./init.ts");
  const [codecs] = await Promise.all([connectCodecs(config), ...wanted.map((role) => roles[role].load())]);
  const context = { config, broker: brokerOf(config), codecs, sharing, log };
  return (await Promise.all(wanted.map((role) => createRole(role, context)))).flat();
}

async function processesOf(wanted: readonly Role[], config: Config, count: number): Promise<Runnable> {
  const { Processes } = await import("./processes.ts");
  const file = fileURLToPath(new URL("../main.ts", import.meta.url));
  return new Processes({
    command: { file, args: ["run", ...wanted, "--child"] },
    count,
    stages: wanted.flatMap((role) => [...roles[role].stages]),
    sharing: sharingOf(config),
    log,
  });
}

/** Starts them; resolves when told to stop, rejects when one fails. */
async function until(stopped: Promise<void>, runnables: readonly Runnable[], started?: () => void): Promise<void> {
  const failed = Promise.race(runnables.map((r) => r.failed));
  const starting = Promise.all(runnables.map((r) => r.start())).then(started);
  await Promise.race([starting, failed, stopped]);
  await Promise.race([stopped, failed]);
}

const stopSignal = (): Promise<void> =>
  new Promise((resolve) => {
    process.once("SIGTERM", () => resolve());
    process.once("SIGINT", () => resolve());
  });

const log = (line: string): void => void process.stderr.write(`${line}\n`);
