import { connectCodecs, initialise } from "../../../commands/init.ts";
import { readConfig } from "../../../config.ts";
import type { Stack } from "../../../local/index.ts";
import { brokerOf } from "../../support/kafka.ts";

/** A stack with broker and registry as Weir's environment `bench`: its variables for processes, its topics created. */
export async function benchEnvironment(stack: Stack, partitions: number, commitIntervalMs: number) {
  const env = {
    WEIR_ENV: "bench",
    WEIR_KAFKA_BROKERS: stack.endpoints.kafka.join(","),
    WEIR_REGISTRY_URL: stack.endpoints.registry,
    WEIR_PARTITIONS: String(partitions),
    WEIR_ORDINAL: "0/1",
    WEIR_COMMIT_INTERVAL_MS: String(commitIntervalMs),
  };
  const config = readConfig(env, []);
  const broker = brokerOf(stack);
  const codecs = await connectCodecs(config);
  await initialise(config, broker);
  return { env, broker, codecs };
}
