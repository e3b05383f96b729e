import type { ShardCheckpoint } from "../../schemas/index.ts";
import { type Broker, WeirError } from "../../streams/index.ts";
import { CheckpointTable } from "./checkpoint-table.ts";
import { endedRow, fence, producerIdOf } from "./coordinator.ts";
import { coordinatorProducerId } from "./names.ts";
import { cursorOf, rowOf } from "./shard-cursor.ts";
import type { ShardSource } from "./shard-source.ts";
import { systemTime, type Time } from "./time.ts";
import { type BridgeCodecs, type BridgeTopics, type Sign, Wire } from "./wire.ts";

export interface OperateOptions {
  readonly broker: Broker;
  readonly codecs: BridgeCodecs;
  readonly topics: BridgeTopics;
  readonly env: string;
  readonly time?: Time;
}

/** An operator's decision about one source, and for the record who made it and why. */
export interface Decision {
  readonly source: string;
  readonly by: string;
  readonly reason: string;
}

/**
 * Leaves a source out for good: it is closed in every partition, so that it holds no watermark any more, and marked as
 * ended, so that no bridge reads it again; its children are read when they come. A bridge that reads it at the moment is
 * fenced first. A dead letter `source_excluded` says who, why and where it stood.
 *
 * Throws `SOURCE_UNKNOWN` (fatal) if there is no such source, or it has ended.
 */
export const excludeSource = (options: OperateOptions, decision: Decision): Promise<void> =>
  decide(options, decision, (wire, row, nowMs) => {
    const { clockMs, arrivalMs, sequence } = row;
    const what = `${decision.source} was left out at ${sequence || "its beginning"}`;
    const reason = `${what} by ${decision.by}: ${decision.reason}`;
    return [
      ...wire.sign({ kind: "close", source: decision.source, clockMs, arrivalMs, sequence }),
      wire.row(endedRow(row)),
      wire.notice(row, { code: "source_excluded", reason }, nowMs),
    ];
  });

/**
 * Lets a source go on although the stream dropped records before they were read: at the oldest record there is, or, if
 * the whole shard is gone, with its children. A dead letter `source_gap` names the gap. Throws as `excludeSource` does.
 */
export async function acceptGap(options: OperateOptions, kinesis: ShardSource, decision: Decision): Promise<void> {
  const stream = decision.source.split("@")[0]!;
  const listed = await kinesis.listShards(stream);
  await decide(options, decision, (wire, row, nowMs) => {
    const { clockMs, arrivalMs, sequence } = row;
    const fromMs = Math.max(row.tipMs, arrivalMs);
    const gap = `What arrived behind sequence ${sequence || "0"} since ${new Date(fromMs).toISOString()} may be lost`;
    const reason = `${gap}; accepted by ${decision.by}: ${decision.reason}`;
    const notice = wire.notice(row, { code: "source_gap", reason }, nowMs);
    if (!listed.some((s) => s.shard === row.shard)) {
      // With the opening of its children the coordinator closes it: closed before, the watermark could pass their clock.
      const hasChildren = listed.some((s) => s.parents.includes(row.shard));
      const close: Sign = { kind: "close", source: decision.source, clockMs, arrivalMs, sequence };
      return [...(hasChildren ? [] : wire.sign(close)), wire.row(endedRow(row)), notice];
    }
    const cursor = { ...cursorOf(row), sequence: "", eventIndex: 0, tipMs: nowMs };
    return [
      wire.row(rowOf({ name: row.stream, createdMs: row.streamCreatedMs }, row.shard, cursor, row.parents)),
      notice,
    ];
  });
}

type Records = ReturnType<Wire["sign"]>;

async function decide(
  { broker, codecs, topics, env, time = systemTime }: OperateOptions,
  { source }: Decision,
  recordsOf: (wire: Wire, row: ShardCheckpoint, nowMs: number) => Records,
): Promise<void> {
  const admin = broker.admin();
  const partitions = {
    logsRaw: await admin.partitionsOf(topics.logsRaw),
    checkpoints: await admin.partitionsOf(topics.checkpoints),
    dead: await admin.partitionsOf(topics.dead),
  };
  await admin.close();
  const wire = new Wire(codecs, topics, partitions);
  const topic = topics.checkpoints;
  const table = new CheckpointTable({ broker, codecs, topic, partitions: partitions.checkpoints, time });
  // As a coordinator: one that is at work now is fenced, looks again, and finds what is decided here.
  const producer = broker.producer(coordinatorProducerId(env, source.split("@")[0]!));
  try {
    await producer.init(wire.written);
    const active = async () => {
      await table.refresh();
      const row = table.get(source);
      if (row?.state === "active") return row;
      throw new WeirError(
        "SOURCE_UNKNOWN",
        "fatal",
        row ? `${source} has ended already.` : `There is no source ${source}.`,
        `Name one of: ${[...table.holding()].map((s) => s.source).join(", ") || "(none is active)"}.`,
      );
    };
    await fence(broker, wire, producerIdOf(env, await active()));
    // Read again: its owner may have committed before it was fenced.
    await producer.send(recordsOf(wire, await active(), time.now()));
    await producer.commit();
    await producer.settle();
  } finally {
    await producer.close().catch(() => {});
    await table.close();
  }
}
