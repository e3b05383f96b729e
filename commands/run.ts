import { type Config, readConfig } from "../config.ts";
import { type Runnable, WeirError } from "../streams/index.ts";
import { brokerOf } from "./clients.ts";
import { serveHealth } from "./http.ts";
import { connectCodecs, initialise } from "./init.ts";
import { currentLocal } from "./local-options.ts";
import { createRole, type Role, roleNames, roles } from "./roles.ts";

/** Options from the environment, filled in from the local stack where no brokers of one's own are named. */
export function configFor(
  needed: Parameters<typeof readConfig>[1],
  always: Parameters<typeof readConfig>[1] = ["kafkaBrokers", "registryUrl"],
): Config {
  const local = process.env.WEIR_KAFKA_BROKERS ? {} : (currentLocal()?.options ?? {});
  for (const name of ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]) if (local[name]) process.env[name] ??= local[name];
  return readConfig(process.env, [...always, ...needed], local);
}

export async function init(): Promise<void> {
  const config = configFor([]);
  await connectCodecs(config);
  await initialise(config, brokerOf(config));
  process.stdout.write(`Topics, schemas and state of environment ${config.env} are in place.\n`);
}

/** `weir run <role…>`: until a signal, or until a role cannot keep its promise. Returns the exit code. */
export async function run(names: readonly string[]): Promise<number> {
  const wanted = names.includes("all") ? roleNames : (names as Role[]);
  const unknown = wanted.filter((name) => !roleNames.includes(name));
  if (unknown.length > 0)
    throw new WeirError(
      "ROLE_UNKNOWN",
      "fatal",
      `There is no role ${unknown.join(", ")}.`,
      `Name some of ${roleNames.join(", ")}, or all.`,
    );
  const config = configFor(wanted.flatMap((role) => [...roles[role]]));
  const broker = brokerOf(config);
  const codecs = await connectCodecs(config);
  const log = (line: string) => process.stderr.write(`${line}\n`);
  const runnables: Runnable[] = (
    await Promise.all(wanted.map((role) => createRole(role, { config, broker, codecs, log })))
  ).flat();
  const health = await serveHealth(runnables, config.httpHost, config.httpPort);
  const stopped = new Promise<void>((resolve) => {
    process.once("SIGTERM", resolve);
    process.once("SIGINT", resolve);
  });
  try {
    const failed = Promise.race(runnables.map((r) => r.failed));
    await Promise.race([Promise.all(runnables.map((r) => r.start())), failed, stopped]);
    log(`${wanted.join(", ")} running; ${health.url}/healthz and /metrics`);
    await Promise.race([stopped, failed]);
    return 0;
  } finally {
    await Promise.all(runnables.map((r) => r.stop()));
    await health.close();
  }
}
