import type { ShardCheckpoint } from "../../schemas/index.ts";
import type { Broker } from "../../streams/index.ts";
import type { CheckpointTable } from "./checkpoint-table.ts";
import { coordinatorProducerId, type StreamId, shardProducerId, sourceIdOf } from "./names.ts";
import { cursorOf, freshCursor, rowOf } from "./shard-cursor.ts";
import { hasWrites, planShards, type ShardPlan } from "./shard-plan.ts";
import type { ShardSource } from "./shard-source.ts";
import { rowKey, type Sign, type Wire } from "./wire.ts";

export interface CoordinatorOptions {
  readonly broker: Broker;
  readonly kinesis: ShardSource;
  readonly wire: Wire;
  readonly table: CheckpointTable;
  readonly stream: string;
  readonly env: string;
  /**
   * First call of a process: a predecessor that was killed may have left transactions open, and the checkpoints cannot
   * be read past them before they time out. Initialising all producers ends them at once.
   */
  readonly isStart: boolean;
}

/**
 * Compares the shards there are with the checkpoints and writes what is missing, in one transaction, so that every
 * source stands open in every partition before any shard is read. May be repeated at any time and by several processes:
 * its own producer id lets one at a time through, and it decides on what was committed before it came.
 */
export async function coordinate(
  options: CoordinatorOptions,
  signal?: AbortSignal,
): Promise<{ stream: StreamId; plan: ShardPlan }> {
  const { broker, kinesis, table, env } = options;
  const stream = { name: options.stream, createdMs: await kinesis.createdMs(options.stream, signal) };
  const look = async () => {
    const listed = await kinesis.listShards(stream.name, signal);
    await table.refresh();
    return planShards(stream, listed, table.ofStream(stream.name));
  };
  const ownId = coordinatorProducerId(env, stream.name);
  if (options.isStart) {
    const listed = await kinesis.listShards(stream.name, signal);
    for (const id of [ownId, ...listed.map((s) => shardProducerId(env, stream, s.shard))]) await fence(broker, id);
  }
  let plan = await look();
  if (!hasWrites(plan)) return { stream, plan };

  const producer = broker.producer(ownId);
  const fenced = new Set<string>();
  try {
    await producer.init();
    do {
      // Who still reads a shard that is to be closed must not write after the close.
      for (const row of plan.close) {
        if (!fenced.has(rowKey(row))) await fence(broker, producerIdOf(env, row));
        fenced.add(rowKey(row));
      }
      plan = await look();
    } while (plan.close.some((row) => !fenced.has(rowKey(row))));
    if (hasWrites(plan)) {
      await producer.send(writesOf(options.wire, stream, plan));
      await producer.commit();
      await table.refresh();
    }
  } catch (error) {
    // An open transaction of our own would stand in the way of all who read the checkpoints.
    await fence(broker, ownId).catch(() => {});
    throw error;
  } finally {
    await producer.close().catch(() => {});
  }
  return { stream, plan };
}

const producerIdOf = (env: string, row: ShardCheckpoint): string =>
  shardProducerId(env, { name: row.stream, createdMs: row.streamCreatedMs }, row.shard);

/** Its owner can write no more, and what it had open is aborted. */
async function fence(broker: Broker, transactionalId: string): Promise<void> {
  const producer = broker.producer(transactionalId);
  try {
    await producer.init();
  } finally {
    await producer.close().catch(() => {});
  }
}

/** Opens before closes: a child holds the watermark where its parent held it. */
function writesOf(wire: Wire, stream: StreamId, plan: ShardPlan) {
  const sign = (kind: Sign["kind"], source: string, clockMs: number) =>
    wire.sign({ kind, source, clockMs, arrivalMs: 0, sequence: "" });
  const closes = new Map(plan.close.map((row) => [rowKey(row), row.clockMs]));
  for (const shard of plan.open) for (const p of shard.closes) closes.set(sourceIdOf(stream, p), shard.clockMs);
  return [
    ...plan.open.flatMap((s) => sign("open", sourceIdOf(stream, s.shard), s.clockMs)),
    ...[...closes].flatMap(([source, clockMs]) => sign("close", source, clockMs)),
    ...plan.open.map((s) => wire.row(rowOf(stream, s.shard, freshCursor(s.clockMs), s.parents))),
    ...plan.close.map((row) => wire.row(endedRow(row))),
  ];
}

const endedRow = (row: ShardCheckpoint): ShardCheckpoint =>
  rowOf({ name: row.stream, createdMs: row.streamCreatedMs }, row.shard, cursorOf(row), row.parents, {
    state: "ended",
    children: row.children,
  });
