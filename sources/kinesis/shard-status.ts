import { type Counters, noCounters, stageName, type TaskStatus } from "../../streams/index.ts";
import type { ShardCursor } from "./shard-cursor.ts";

/** What a reading task knows beside its committed cursor. */
export interface ShardHealth {
  /** Behind the shard's tip at the last page; Infinity before it. */
  readonly behindMs: number;
  /** When the service gave the last page. */
  readonly answeredMs: number;
  /** When the committed clock last moved. */
  readonly movedMs: number;
}

/** A page may take so long without anything being wrong: the slowest poll, a throttled call or two. */
const PATIENCE_MS = 10_000;

const bridgeStage = stageName("bridge");

/**
 * The status line of a shard. While the service does not answer, the lag grows with the time: nobody knows better.
 * Without `health` nobody here reads the shard.
 */
export function shardStatus(
  partition: string,
  state: TaskStatus["state"],
  at: Pick<ShardCursor, "clockMs" | "arrivalMs" | "idle" | "counters">,
  nowMs: number,
  health?: ShardHealth,
): TaskStatus {
  const { events, control, dead, out } = at.counters;
  const counters: Counters = { ...noCounters(), in: events + control + dead, accepted: events, control, dead, out };
  const isReading = state === "starting" || state === "running";
  const silentMs = health && isReading ? Math.max(0, nowMs - health.answeredMs - PATIENCE_MS) : 0;
  const unread = isReading ? Number.POSITIVE_INFINITY : 0;
  return {
    stage: bridgeStage,
    partition,
    state,
    lag: health ? health.behindMs + silentMs : unread,
    watermarkMs: at.clockMs,
    counters,
    stateBytes: 0,
    source: {
      ageMs: at.arrivalMs === 0 ? 0 : Math.max(0, nowMs - at.arrivalMs),
      stalledMs: health && isReading && !at.idle ? Math.max(0, nowMs - health.movedMs) : 0,
    },
  };
}
