import { createRequire } from "node:module";
import type { KafkaEncoder, KafkaRequest } from "./kafkajs.ts";

/**
 * Produce requests of ready-made batches, written once into one buffer that has room for the frame in front. kafkajs
 * copies a request twice into frames of its own, each zeroed and grown by doubling. This module must be loaded before
 * kafkajs, whose connection keeps what it finds; loaded later it costs those copies, nothing else.
 */
const require = createRequire(import.meta.url);

const PRODUCE = 0;
const ALL_REPLICAS = -1;
const TIMEOUT_MS = 10_000;
/** Left free in front of a request, for the frame's length and kafkajs's header with its client id. */
const HEADROOM = 512;

export interface PartitionBatch {
  readonly topic: string;
  readonly partition: number;
  readonly bytes: Buffer;
}

export interface ProduceResult {
  readonly topic: string;
  readonly partition: number;
  readonly errorCode: number;
}

/** Produce v7, one batch a partition. */
export const produceRequest = (
  transactionalId: string,
  batches: readonly PartitionBatch[],
): KafkaRequest<ProduceResult[]> => ({
  request: {
    apiKey: PRODUCE,
    apiVersion: 7,
    apiName: "Produce",
    encode: async () => framable(encodeProduce(transactionalId, batches, HEADROOM)),
  },
  response: { decode: async (raw) => decodeProduced(raw), parse: async (decoded) => decoded },
  logResponseError: false,
});

/** The body of the request, behind `headroom` free bytes. */
export function encodeProduce(transactionalId: string, batches: readonly PartitionBatch[], headroom: number): Buffer {
  const topics = Map.groupBy(batches, (b) => b.topic);
  let size = headroom + 2 + Buffer.byteLength(transactionalId) + 10;
  for (const topic of topics.keys()) size += 6 + Buffer.byteLength(topic);
  for (const { bytes } of batches) size += 8 + bytes.length;
  const out = Buffer.allocUnsafe(size);
  let at = writeString(out, transactionalId, headroom);
  at = out.writeInt16BE(ALL_REPLICAS, at);
  at = out.writeInt32BE(TIMEOUT_MS, at);
  at = out.writeInt32BE(topics.size, at);
  for (const [topic, own] of topics) {
    at = writeString(out, topic, at);
    at = out.writeInt32BE(own.length, at);
    for (const { partition, bytes } of own) {
      at = out.writeInt32BE(partition, at);
      at = out.writeInt32BE(bytes.length, at);
      at += bytes.copy(out, at);
    }
  }
  return out;
}

function writeString(out: Buffer, text: string, start: number): number {
  const at = out.writeInt16BE(Buffer.byteLength(text), start);
  return at + out.write(text, at);
}

/** What became of each partition's batch. */
export function decodeProduced(raw: Buffer): ProduceResult[] {
  const results: ProduceResult[] = [];
  let at = 4;
  for (let topics = raw.readInt32BE(0); topics > 0; topics--) {
    const end = at + 2 + raw.readInt16BE(at);
    const topic = raw.toString("utf8", at + 2, end);
    at = end + 4;
    for (let partitions = raw.readInt32BE(end); partitions > 0; partitions--, at += 30) {
      results.push({ topic, partition: raw.readInt32BE(at), errorCode: raw.readInt16BE(at + 4) });
    }
  }
  return results;
}

interface Encoder extends KafkaEncoder {
  buf: Buffer;
  offset: number;
}
interface Request {
  readonly apiKey: number;
  readonly apiVersion: number;
  encode(): Promise<KafkaEncoder>;
}
type CreateRequest = (context: { correlationId: number; clientId: string; request: Request }) => Promise<unknown>;

const withRoom = new WeakMap<object, Buffer>();

/** A body as kafkajs takes it; the buffer with the room in front is remembered for the frame. */
function framable(whole: Buffer): KafkaEncoder {
  const EncoderClass = require("kafkajs/src/protocol/encoder") as new (size: number) => Encoder;
  const encoder = new EncoderClass(0);
  encoder.buf = whole.subarray(HEADROOM);
  encoder.offset = encoder.buf.length;
  withRoom.set(encoder, whole);
  return encoder;
}

/** Takes the place of kafkajs's frame around requests that were made here. */
function install(): void {
  const frame = require.resolve("kafkajs/src/protocol/request");
  const theirs = require(frame) as CreateRequest;
  const ours: CreateRequest = async (context) => {
    const { request, correlationId, clientId } = context;
    const payload = await request.encode();
    const whole = withRoom.get(payload);
    const id = Buffer.from(clientId ?? "");
    const start = HEADROOM - 14 - id.length;
    if (!whole || start < 0) return theirs({ ...context, request: { ...request, encode: async () => payload } });
    const bytes = whole.subarray(start);
    bytes.writeInt32BE(bytes.length - 4, 0);
    bytes.writeInt16BE(request.apiKey, 4);
    bytes.writeInt16BE(request.apiVersion, 6);
    bytes.writeInt32BE(correlationId, 8);
    bytes.writeInt16BE(id.length, 12);
    id.copy(bytes, 14);
    return { buffer: bytes };
  };
  require.cache[frame]!.exports = ours;
}

install();
