import type { ShardCheckpoint } from "../../schemas/index.ts";
import { type Broker, WeirError } from "../../streams/index.ts";
import type { CheckpointTable } from "./checkpoint-table.ts";
import { coordinatorProducerId, type StreamId, shardProducerId, sourceIdOf } from "./names.ts";
import { countersOf, cursorOf, type EventCounters, freshCursor, rowOf } from "./shard-cursor.ts";
import { FORGOTTEN, hasWrites, type ListedShard, planShards, type ShardPlan } from "./shard-plan.ts";
import { sourceGap } from "./shard-reader.ts";
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
  readonly nowMs: number;
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
  const { broker, kinesis, wire, table, env } = options;
  const look = async () => {
    const { stream, listed } = await listOneLife(kinesis, options.stream, signal);
    await table.refresh();
    return { stream, plan: planShards(stream, listed, table.ofStream(stream.name)) };
  };
  const ownId = coordinatorProducerId(env, options.stream);
  if (options.isStart) {
    const { stream, listed } = await listOneLife(kinesis, options.stream, signal);
    for (const id of [ownId, ...listed.map((s) => shardProducerId(env, stream, s.shard))])
      await fence(broker, wire, id);
  }
  let { stream, plan } = await look();
  if (plan.lost.length > 0) throw lostUnread(plan.lost);
  if (!hasWrites(plan)) return { stream, plan };

  const producer = broker.producer(ownId);
  const fenced = new Set<string>();
  try {
    await producer.init(wire.written);
    do {
      // Who still reads a shard that is to be closed must not write after the close.
      for (const row of plan.close) {
        if (!fenced.has(rowKey(row))) await fence(broker, wire, producerIdOf(env, row));
        fenced.add(rowKey(row));
      }
      ({ stream, plan } = await look());
    } while (plan.close.some((row) => !fenced.has(rowKey(row))));
    if (hasWrites(plan)) {
      await producer.send(writesOf(options, stream, plan));
      await producer.commit();
      await producer.settle();
      await table.refresh();
    }
  } catch (error) {
    // An open transaction of our own would stand in the way of all who read the checkpoints.
    await fence(broker, wire, ownId).catch(() => {});
    throw error;
  } finally {
    await producer.close().catch(() => {});
  }
  return { stream, plan };
}

/**
 * The shards of one life of the stream: were it deleted and made anew between two calls, shards of the new life would be
 * taken for the old one's.
 */
async function listOneLife(
  kinesis: ShardSource,
  name: string,
  signal: AbortSignal | undefined,
): Promise<{ stream: StreamId; listed: readonly ListedShard[] }> {
  const { createdMs } = await kinesis.describe(name, signal);
  const listed = await kinesis.listShards(name, signal);
  if ((await kinesis.describe(name, signal)).createdMs === createdMs) return { stream: { name, createdMs }, listed };
  throw new WeirError(
    "KINESIS_NOT_FOUND",
    "retry",
    `${name} was made anew while its shards were listed.`,
    "It is listed again.",
  );
}

export const producerIdOf = (env: string, row: ShardCheckpoint): string =>
  shardProducerId(env, { name: row.stream, createdMs: row.streamCreatedMs }, row.shard);

/** Its owner can write no more, and what it had open is aborted. */
export async function fence(broker: Broker, { written }: Wire, transactionalId: string): Promise<void> {
  const producer = broker.producer(transactionalId);
  try {
    await producer.init(written);
  } finally {
    await producer.close().catch(() => {});
  }
}

/** Opens before closes: a child holds the watermark where its parent held it. */
function writesOf({ wire, table, nowMs }: CoordinatorOptions, stream: StreamId, plan: ShardPlan) {
  const sign = (kind: Sign["kind"], source: string, clockMs: number) =>
    wire.sign({ kind, source, clockMs, arrivalMs: 0, sequence: "" });
  const closes = new Map(plan.close.map((row) => [rowKey(row), row.clockMs]));
  for (const shard of plan.open) for (const p of shard.closes) closes.set(sourceIdOf(stream, p), shard.clockMs);
  return [
    ...plan.open.flatMap((s) => sign("open", sourceIdOf(stream, s.shard), s.clockMs)),
    ...[...closes].flatMap(([source, clockMs]) => sign("close", source, clockMs)),
    ...plan.open.map((s) => wire.row(rowOf(stream, s.shard, freshCursor(s.clockMs), s.parents))),
    ...plan.close.map((row) => wire.row(endedRow(row))),
    ...plan.close.map((row) => wire.notice(row, { code: "source_gap", reason: ofEarlierLife(row) }, nowMs)),
    ...forgetting(wire, plan.forget, table.get(sourceIdOf({ name: stream.name, createdMs: 0 }, FORGOTTEN))),
  ];
}

const ofEarlierLife = (row: ShardCheckpoint): string =>
  `The stream was made anew; what its earlier life held behind sequence ${row.sequence || "0"} was not read.`;

/** Their counts go on in one row, so that the sum over all rows stays what has been read. */
function forgetting(wire: Wire, rows: readonly ShardCheckpoint[], known: ShardCheckpoint | undefined) {
  if (rows.length === 0) return [];
  const counters = countersOf(known?.counters ?? {});
  for (const row of rows)
    for (const [name, count] of Object.entries(countersOf(row.counters)))
      counters[name as keyof EventCounters] += count;
  const cursor = { ...freshCursor(0), counters };
  const kept = rowOf({ name: rows[0]!.stream, createdMs: 0 }, FORGOTTEN, cursor, [], { state: "ended", children: [] });
  return [wire.row(kept), ...rows.map((row) => wire.tombstone(row))];
}

function lostUnread(rows: readonly ShardCheckpoint[]): WeirError {
  const row = rows[0]!;
  const more = rows.length > 1 ? ` ${rows.length - 1} more shards are gone likewise.` : "";
  const gap = sourceGap(rowKey(row), row.sequence, Math.max(row.tipMs, row.arrivalMs), "the end of its shard");
  return new WeirError(gap.code, gap.disposition, gap.message + more, gap.nextStep);
}

export const endedRow = (row: ShardCheckpoint): ShardCheckpoint =>
  rowOf({ name: row.stream, createdMs: row.streamCreatedMs }, row.shard, cursorOf(row), row.parents, {
    state: "ended",
    children: row.children,
  });
