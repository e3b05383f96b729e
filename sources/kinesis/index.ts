export { type BridgeOptions, createBridge } from "./bridge.ts";
export * from "./decode.ts";
export {
  defaultEntityRules,
  type EntityOf,
  type EntityOptions,
  type EntityRule,
  emfDimension,
  entityOf,
  entityOfStream,
} from "./entity.ts";
export { kinesisClient, kinesisShards, recordAt } from "./kinesis-shards.ts";
export { acceptGap, type Decision, excludeSource, type OperateOptions } from "./operate.ts";
export type { ListedShard } from "./shard-plan.ts";
export type { ShardPage, ShardSource, StreamFacts } from "./shard-source.ts";
export type { BridgeStep } from "./shard-writer.ts";
export { type Piece, type PieceContext, type ShardRecord, type Span, toPieces } from "./to-log-batches.ts";
export { type BridgeTuning, defaultTuning } from "./tuning.ts";
export type { BridgeCodecs, BridgeTopics } from "./wire.ts";
