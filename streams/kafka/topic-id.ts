import { array, type FlexibleReader, flexibleRequest, NO_TAGS, text } from "./flexible.ts";
import type { KafkaRequest } from "./kafkajs.ts";

const METADATA = { apiKey: 3, apiVersion: 12, apiName: "Metadata" };
const NO_ID = "0".repeat(32);

/** Metadata v12 of one topic, for the id that a topic made anew does not share with its predecessor. */
export const topicIdRequest = (topic: string): KafkaRequest<string | null> =>
  flexibleRequest(
    METADATA,
    [
      array([topic], (name) => Buffer.concat([Buffer.alloc(16), text(name), NO_TAGS])), // by name, not by id
      Buffer.from([0, 0]), // no creation; no authorised operations
    ],
    readTopicId,
  );

/** Null where the broker keeps no ids (metadata older than 3.0) or does not know the topic. */
function readTopicId(answer: FlexibleReader): string | null {
  answer.int32(); // throttle time
  answer.array(() => {
    answer.int32(); // node id
    answer.text(); // host
    answer.int32(); // port
    answer.text(); // rack
    answer.tags();
  });
  answer.text(); // cluster id
  answer.int32(); // controller
  if (answer.varint() - 1 < 1) return null;
  const errorCode = answer.int16();
  answer.text(); // name
  const id = answer.uuid();
  return errorCode !== 0 || id === NO_ID ? null : id;
}
