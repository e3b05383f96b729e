import { createRequire } from "node:module";
import { crc32c } from "./crc32c.ts";

/**
 * Produce requests written once into one buffer of the right size. kafkajs builds a record in a buffer, copies it into
 * its batch, that into its partition, topic, request and frame, each of them zeroed and grown by doubling, and computes
 * the checksum byte by byte: more than half of the bridge's time. Its own encoder still serves what is not written here
 * (compression, headers). This module must be loaded before kafkajs, whose connection keeps what it finds; loaded later
 * it costs two copies, nothing else.
 */
const require = createRequire(import.meta.url);

interface Message {
  readonly key: string | Buffer | null;
  readonly value: Buffer | null;
  readonly timestamp?: string;
  readonly headers?: object;
}

export interface ProduceRequest {
  readonly acks: number;
  readonly timeout: number;
  readonly transactionalId?: string | null;
  readonly producerId?: unknown;
  readonly producerEpoch?: number;
  readonly compression?: number;
  readonly topicData: readonly {
    readonly topic: string;
    readonly partitions: readonly {
      readonly partition: number;
      readonly firstSequence?: number;
      readonly messages: readonly Message[];
    }[];
  }[];
}

interface Request {
  readonly apiKey: number;
  readonly apiVersion: number;
  encode(): Promise<{ readonly buffer: Buffer }>;
}
interface Encoder {
  buf: Buffer;
  offset: number;
  readonly buffer: Buffer;
}
type CreateRequest = (context: { correlationId: number; clientId: string; request: Request }) => Promise<unknown>;

/** Left free in front of a request, for the frame's length and kafkajs's header with its client id. */
const HEADROOM = 512;
const BATCH_HEADER = 61;
const CRC_AT = 17;
const CRC_FROM = 21;
const TRANSACTIONAL = 16;

const writtenHere = new WeakMap<object, Buffer>();

/** Takes the place of kafkajs's own encoder for Produce v3 and later, and of the frame around requests made here. */
function install(): void {
  const EncoderClass = require("kafkajs/src/protocol/encoder") as new (size: number) => Encoder;
  const produce = require.resolve("kafkajs/src/protocol/requests/produce/v3/request");
  const theirs = require(produce) as (data: ProduceRequest) => Request;
  const ours = (data: ProduceRequest): Request => {
    const request = theirs(data);
    if (!isPlain(data)) return request;
    const encode = async (): Promise<Encoder> => {
      const whole = encodeProduce(data, HEADROOM);
      const encoder = new EncoderClass(0);
      encoder.buf = whole.subarray(HEADROOM);
      encoder.offset = encoder.buf.length;
      writtenHere.set(encoder, whole);
      return encoder;
    };
    return { ...request, encode };
  };
  require.cache[produce]!.exports = ours;

  const frame = require.resolve("kafkajs/src/protocol/request");
  const theirFrame = require(frame) as CreateRequest;
  const ourFrame: CreateRequest = async (context) => {
    const { request, correlationId, clientId } = context;
    const payload = await request.encode();
    const whole = writtenHere.get(payload);
    const id = Buffer.from(clientId ?? "");
    const start = HEADROOM - 14 - id.length;
    if (!whole || start < 0) return theirFrame({ ...context, request: { ...request, encode: async () => payload } });
    const bytes = whole.subarray(start);
    bytes.writeInt32BE(bytes.length - 4, 0);
    bytes.writeInt16BE(request.apiKey, 4);
    bytes.writeInt16BE(request.apiVersion, 6);
    bytes.writeInt32BE(correlationId, 8);
    bytes.writeInt16BE(id.length, 12);
    id.copy(bytes, 14);
    return { buffer: bytes };
  };
  require.cache[frame]!.exports = ourFrame;
}

const isPlain = ({ compression, topicData }: ProduceRequest): boolean =>
  !compression && topicData.every((t) => t.partitions.every((p) => p.messages.every((m) => !m.headers)));

/** The body of a Produce request, version 3 to 7, behind `headroom` free bytes. */
export function encodeProduce(data: ProduceRequest, headroom: number): Buffer {
  const { acks, timeout, transactionalId = null, topicData } = data;
  let size = headroom + 2 + (transactionalId === null ? 0 : Buffer.byteLength(transactionalId)) + 2 + 4 + 4;
  const batches: BatchPlan[] = [];
  for (const { topic, partitions } of topicData) {
    size += 2 + Buffer.byteLength(topic) + 4;
    for (const { messages } of partitions) {
      const plan = planBatch(messages);
      batches.push(plan);
      size += 8 + plan.size;
    }
  }
  const out = Buffer.allocUnsafe(size);
  let at = writeString(out, transactionalId, headroom);
  at = out.writeInt16BE(acks, at);
  at = out.writeInt32BE(timeout, at);
  at = out.writeInt32BE(topicData.length, at);
  let next = 0;
  for (const { topic, partitions } of topicData) {
    at = writeString(out, topic, at);
    at = out.writeInt32BE(partitions.length, at);
    for (const { partition, messages, firstSequence = 0 } of partitions) {
      const plan = batches[next++]!;
      at = out.writeInt32BE(partition, at);
      at = out.writeInt32BE(plan.size, at);
      writeBatch(out, at, messages, plan, data, firstSequence);
      at += plan.size;
    }
  }
  return out;
}

interface BatchPlan {
  readonly size: number;
  readonly firstTimestampMs: number;
  readonly maxTimestampMs: number;
  readonly timestampsMs: readonly number[];
  /** Of each record without its own length. */
  readonly bodies: readonly number[];
}

function planBatch(messages: readonly Message[]): BatchPlan {
  const nowMs = Date.now();
  const timestampsMs = messages.map((m) => (m.timestamp === undefined ? nowMs : Number(m.timestamp)));
  const firstTimestampMs = timestampsMs.reduce((min, t) => Math.min(min, t), Number.POSITIVE_INFINITY);
  const maxTimestampMs = timestampsMs.reduce((max, t) => Math.max(max, t), 0);
  let size = BATCH_HEADER;
  const bodies = messages.map(({ key, value }, i) => {
    const body =
      1 +
      sizeOfVarint(timestampsMs[i]! - firstTimestampMs) +
      sizeOfVarint(i) +
      sizeOfBytes(key) +
      sizeOfBytes(value) +
      1;
    size += sizeOfVarint(body) + body;
    return body;
  });
  return { size, firstTimestampMs, maxTimestampMs, timestampsMs, bodies };
}

function writeBatch(
  out: Buffer,
  start: number,
  messages: readonly Message[],
  plan: BatchPlan,
  { transactionalId, producerId, producerEpoch = 0 }: ProduceRequest,
  firstSequence: number,
): void {
  let at = out.writeBigInt64BE(0n, start);
  at = out.writeInt32BE(plan.size - 12, at);
  at = out.writeInt32BE(0, at); // leader epoch
  at = out.writeInt8(2, at);
  at += 4; // checksum
  at = out.writeInt16BE(transactionalId ? TRANSACTIONAL : 0, at);
  at = out.writeInt32BE(messages.length - 1, at);
  at = out.writeBigInt64BE(BigInt(plan.firstTimestampMs), at);
  at = out.writeBigInt64BE(BigInt(plan.maxTimestampMs), at);
  at = out.writeBigInt64BE(BigInt(String(producerId ?? -1)), at);
  at = out.writeInt16BE(producerEpoch, at);
  at = out.writeInt32BE(firstSequence, at);
  at = out.writeInt32BE(messages.length, at);
  for (const [i, { key, value }] of messages.entries()) {
    at = writeVarint(out, plan.bodies[i]!, at);
    out[at++] = 0;
    at = writeVarint(out, plan.timestampsMs[i]! - plan.firstTimestampMs, at);
    at = writeVarint(out, i, at);
    at = writeBytes(out, key, at);
    at = writeBytes(out, value, at);
    out[at++] = 0; // headers
  }
  out.writeUInt32BE(crc32c(out, start + CRC_FROM, start + plan.size), start + CRC_AT);
}

const lengthOf = (bytes: string | Buffer): number =>
  typeof bytes === "string" ? Buffer.byteLength(bytes) : bytes.length;

/** Zig-zag varints; exact up to 2^52, which neither lengths nor spans of time reach. */
function sizeOfVarint(value: number): number {
  let rest = value < 0 ? -2 * value - 1 : 2 * value;
  let size = 1;
  for (; rest >= 128; rest = Math.floor(rest / 128)) size++;
  return size;
}

function sizeOfBytes(bytes: string | Buffer | null): number {
  if (bytes === null) return 1;
  const length = lengthOf(bytes);
  return sizeOfVarint(length) + length;
}

function writeVarint(out: Buffer, value: number, start: number): number {
  let rest = value < 0 ? -2 * value - 1 : 2 * value;
  let at = start;
  for (; rest >= 128; rest = Math.floor(rest / 128)) out[at++] = (rest % 128) | 0x80;
  out[at++] = rest;
  return at;
}

function writeBytes(out: Buffer, bytes: string | Buffer | null, start: number): number {
  if (bytes === null) return writeVarint(out, -1, start);
  const at = writeVarint(out, lengthOf(bytes), start);
  return at + (typeof bytes === "string" ? out.write(bytes, at) : bytes.copy(out, at));
}

function writeString(out: Buffer, text: string | null, start: number): number {
  if (text === null) return out.writeInt16BE(-1, start);
  const at = out.writeInt16BE(Buffer.byteLength(text), start);
  return at + out.write(text, at);
}

install();
