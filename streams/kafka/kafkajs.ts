// First of all: kafkajs keeps what it finds when it is loaded.
import "./produce-request.ts";
import { createRequire } from "node:module";
import { Kafka, type KafkaConfig, logLevel } from "kafkajs";
import type { Compression } from "./batch-encoder.ts";
import { type Security, securityOf } from "./security.ts";

/**
 * The inside of kafkajs 2.2.4 that the ports need and its public surface does not give: requests of our own over its
 * connections, offsets by isolation level, the calls of coordinators. The version is pinned for this file's sake.
 */
const require = createRequire(import.meta.url);
const Encoder = require("kafkajs/src/protocol/encoder") as new () => KafkaEncoder;

export interface KafkaEncoder {
  writeInt8(value: number): KafkaEncoder;
  writeInt16(value: number): KafkaEncoder;
  writeInt32(value: number): KafkaEncoder;
  writeInt64(value: number): KafkaEncoder;
  writeString(value: string): KafkaEncoder;
  writeBufferInternal(value: Buffer): void;
  writeArray(values: readonly unknown[]): KafkaEncoder;
}
export const encoder = (): KafkaEncoder => new Encoder();

export interface KafkaRequest<T> {
  readonly request: { apiKey: number; apiVersion: number; apiName: string; encode(): Promise<KafkaEncoder> };
  readonly response: { decode(raw: Buffer): Promise<T>; parse(decoded: T): Promise<T> };
  readonly requestTimeout?: number;
  readonly logResponseError?: boolean;
}

export interface KafkaBroker {
  readonly nodeId: number;
  /** By API key. */
  readonly versions: Readonly<Record<number, { readonly maxVersion: number }>>;
  readonly connectionPool: { send<T>(request: KafkaRequest<T>): Promise<T> };
  disconnect(): Promise<void>;
  describeConfigs(request: {
    resources: { type: number; name: string; configNames: string[] }[];
  }): Promise<{ resources: { configEntries: { configName: string; configValue: string }[] }[] }>;
  listOffsets(request: {
    isolationLevel: 0 | 1;
    topics: { topic: string; partitions: { partition: number; timestamp: number }[] }[];
  }): Promise<{ responses: { partitions: { offset: string }[] }[] }>;
}

interface JoinedGroup {
  readonly generationId: number;
  readonly memberId: string;
  readonly leaderId: string;
  /** Given to the leader only. */
  readonly members: readonly { readonly memberId: string; readonly memberMetadata: Buffer }[];
}

export interface KafkaCoordinator {
  joinGroup(request: {
    groupId: string;
    memberId: string;
    sessionTimeout: number;
    rebalanceTimeout: number;
    groupProtocols: { name: string; metadata: Buffer }[];
  }): Promise<JoinedGroup>;
  syncGroup(request: {
    groupId: string;
    generationId: number;
    memberId: string;
    groupAssignment: { memberId: string; memberAssignment: Buffer }[];
  }): Promise<{ memberAssignment: Buffer }>;
  heartbeat(request: { groupId: string; groupGenerationId: number; memberId: string }): Promise<unknown>;
  leaveGroup(request: { groupId: string; memberId: string }): Promise<unknown>;
  initProducerId(request: {
    transactionalId: string;
    transactionTimeout: number;
  }): Promise<{ producerId: string; producerEpoch: number }>;
  addPartitionsToTxn(request: Identity & { topics: { topic: string; partitions: number[] }[] }): Promise<unknown>;
  addOffsetsToTxn(request: Identity & { groupId: string }): Promise<unknown>;
  txnOffsetCommit(
    request: Identity & {
      groupId: string;
      topics: { topic: string; partitions: { partition: number; offset: string }[] }[];
    },
  ): Promise<unknown>;
  endTxn(request: Identity & { transactionResult: boolean }): Promise<unknown>;
}

interface Identity {
  readonly transactionalId: string;
  readonly producerId: string;
  readonly producerEpoch: number;
}

export interface KafkaCluster {
  connect(): Promise<void>;
  disconnect(): Promise<void>;
  addTargetTopic(topic: string): Promise<void>;
  addMultipleTargetTopics(topics: readonly string[]): Promise<void>;
  refreshMetadata(): Promise<void>;
  refreshMetadataIfNecessary(): Promise<void>;
  findControllerBroker(): Promise<KafkaBroker>;
  findTopicPartitionMetadata(topic: string): { partitionId: number; leader: number }[];
  findBroker(node: { nodeId: number }): Promise<KafkaBroker>;
  findGroupCoordinator(request: { groupId: string; coordinatorType?: number }): Promise<KafkaBroker & KafkaCoordinator>;
}

/** Of connections and look-ups: short, many pauses. kafkajs's own first one is 300 ms, and each is twice the last. */
const retry = { initialRetryTime: 5, multiplier: 1.3, factor: 0.2, maxRetryTime: 100, retries: 40 };

/**
 * Longer than a transaction lives (10 s) and than a group shares anew: an answer that comes later is of no use to whoever
 * waits, and until then a lost one looks like a slow one.
 */
export const REQUEST_TIMEOUT_MS = 12_000;

export interface Connection extends Security {
  /** host:port */
  readonly brokers: readonly string[];
  readonly clientId: string;
  /** Of what is written; all codecs are read. Default: zstd. */
  readonly compression?: Compression;
}

/** One set of connection options; every reader and producer made from it has connections of its own. */
export class KafkaClient {
  readonly kafka: Kafka;
  readonly compression: Compression;
  readonly #createCluster: (options: object) => KafkaCluster;

  constructor({ brokers, clientId, compression = "zstd", ...security }: Connection) {
    this.compression = compression;
    process.env.KAFKAJS_NO_PARTITIONER_WARNING = "1";
    // kafkajs logs each of its own retries as an error; what matters reaches the caller as an exception.
    this.kafka = new Kafka({
      brokers: [...brokers],
      clientId,
      ...securityOf(security),
      retry,
      connectionTimeout: 5_000,
      requestTimeout: REQUEST_TIMEOUT_MS,
      logLevel: logLevel.NOTHING,
    } as KafkaConfig);
    const inside = this.kafka as unknown as Record<symbol, never>;
    const symbolOf = (text: string) => Object.getOwnPropertySymbols(inside).find((s) => s.description === text)!;
    this.#createCluster = inside[symbolOf("private:Kafka:createCluster")]!;
  }

  cluster(): KafkaCluster {
    return this.#createCluster({ metadataMaxAge: 300_000, allowAutoTopicCreation: false, maxInFlightRequests: 1 });
  }
}
