import { expect, test } from "vitest";
import { options, readConfig } from "../../config.ts";
import type { WeirError } from "../../streams/index.ts";

const good = { WEIR_KAFKA_BROKERS: "a:9092,b:9092", WEIR_REGISTRY_URL: "http://r:8081/" };

test("all faults are reported together, each with the variable and its rule", () => {
  try {
    readConfig({ WEIR_KAFKA_BROKERS: "nowhere", WEIR_PARTITIONS: "0", WEIR_ORDINAL: "3/3" }, [
      "registryUrl",
      "kafkaBrokers",
    ]);
    expect.unreachable();
  } catch (error) {
    expect(error).toMatchObject({ code: "CONFIG_INVALID", disposition: "fatal" });
    for (const name of ["WEIR_KAFKA_BROKERS", "WEIR_PARTITIONS", "WEIR_ORDINAL", "WEIR_REGISTRY_URL"])
      expect((error as WeirError).message).toContain(name);
  }
});

test("passwords and keys are marked as secret, so that no message repeats them", () => {
  const secrets = Object.values(options).filter((o) => "secret" in o && o.secret);
  expect(secrets.map((o) => o.name)).toEqual(["WEIR_KAFKA_PASSWORD", "WEIR_LLM_API_KEY", "WEIR_API_TOKENS"]);
});

test("the environment wins over the local stack, which wins over the default", () => {
  const local = { WEIR_ENV: "local", WEIR_PARTITIONS: "8", ...good };
  expect(readConfig({ WEIR_PARTITIONS: "16" }, [], local)).toMatchObject({
    env: "local",
    partitions: 16,
    graceMs: 60_000,
    kafkaBrokers: good.WEIR_KAFKA_BROKERS,
  });
});
