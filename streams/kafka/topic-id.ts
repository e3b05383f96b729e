import { encoder, type KafkaRequest } from "./kafkajs.ts";

const METADATA = 3;
const NO_ID = "0".repeat(32);

/**
 * Metadata v12 of one topic, for the id that a topic made anew does not share with its predecessor; kafkajs ends at v6.
 * From v9 on the protocol is "flexible": lengths are varints of length + 1, and each structure ends in a count of tagged
 * fields, the headers of request and response too (their count is the first byte here).
 */
export const topicIdRequest = (topic: string): KafkaRequest<string | null> => ({
  request: {
    apiKey: METADATA,
    apiVersion: 12,
    apiName: "Metadata",
    encode: async () => {
      const name = Buffer.from(topic);
      const bytes = Buffer.concat([
        Buffer.from([0, 2]), // header's tags; one topic
        Buffer.alloc(16), // asked by name, not by id
        varint(name.length + 1),
        name,
        Buffer.from([0, 0, 0, 0]), // topic's tags; no creation; no authorised operations; request's tags
      ]);
      const encoded = encoder();
      encoded.writeBufferInternal(bytes);
      return encoded;
    },
  },
  response: { decode: async (raw) => decodeTopicId(raw), parse: async (decoded) => decoded },
  logResponseError: false,
});

/** Null where the broker keeps no ids (metadata older than 3.0) or does not know the topic. */
export function decodeTopicId(raw: Buffer): string | null {
  let at = 1 + 4; // header's tags, throttle time
  const readVarint = (): number => {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = raw[at++]!;
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
    }
  };
  const skipText = (): void => {
    const length = readVarint();
    at += Math.max(0, length - 1);
  };
  const skipTags = (): void => {
    for (let tags = readVarint(); tags > 0; tags--) {
      readVarint();
      at += readVarint();
    }
  };
  for (let brokers = readVarint() - 1; brokers > 0; brokers--) {
    at += 4; // node id
    skipText(); // host
    at += 4; // port
    skipText(); // rack
    skipTags();
  }
  skipText(); // cluster id
  at += 4; // controller
  if (readVarint() - 1 < 1) return null;
  const errorCode = raw.readInt16BE(at);
  at += 2;
  skipText(); // name
  const id = raw.toString("hex", at, at + 16);
  return errorCode !== 0 || id === NO_ID ? null : id;
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (let left = value; ; left >>>= 7) {
    if (left < 0x80) return Buffer.from([...bytes, left]);
    bytes.push((left & 0x7f) | 0x80);
  }
}
