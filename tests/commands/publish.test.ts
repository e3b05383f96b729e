import { expect, test } from "vitest";
import { publishRecord } from "../../commands/publish.ts";
import { readTopic } from "../../ops/index.ts";
import type { Codecs } from "../../schemas/index.ts";
import { topicName } from "../../streams/index.ts";
import { SimulatedBroker, VirtualTime } from "../../streams/testing/index.ts";

const topic = topicName("labels");
const codecs = { encode: (_: string, value: object) => Buffer.from(JSON.stringify(value)) } as unknown as Codecs;

test("what a command has written can be read once it returns, however late the broker's marker comes", async () => {
  const broker = new SimulatedBroker({ time: new VirtualTime({ auto: true }), seed: 2, maxMarkerLatencyMs: 400 });
  broker.createTopic(topic, 1);
  for (const key of ["a", "b", "c"]) {
    await publishRecord(broker, codecs, { env: "test" }, { topic, partition: 0, key, value: {}, timestampMs: 0 });
    const keys: string[] = [];
    for await (const record of readTopic(broker, topic)) keys.push(String(record.key));
    expect(keys.at(-1)).toBe(key);
  }
});
