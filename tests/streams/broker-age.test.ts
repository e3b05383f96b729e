import { expect, test } from "vitest";
import { refusal } from "../../streams/kafka/broker-age.ts";

test.each([
  ["Kafka 3.6 or later", { addPartitionsToTxn: 4, verification: "true" }, undefined],
  [
    "Kafka 3.4, which knows no such request",
    { addPartitionsToTxn: 3, verification: undefined },
    "older than Kafka 3.6",
  ],
  ["Kafka 3.5, which has no such setting", { addPartitionsToTxn: 4, verification: null }, "older than Kafka 3.6"],
  ["one where it is switched off", { addPartitionsToTxn: 5, verification: "false" }, "is false"],
  ["one whose settings we may not read", { addPartitionsToTxn: 5, verification: undefined }, undefined],
])("transactions on %s", (_, facts, why) => {
  const said = refusal(facts);
  if (why === undefined) expect(said).toBeUndefined();
  else expect(said).toContain(why);
});
