/** How many of each fault a run holds, spread over it by the seed. What does not fit into a short run is left out. */
export interface Injection {
  /** Extra events, at least ten minutes below the clock their shard has already announced. */
  readonly late: number;
  /** Records or events that nobody can use: each must become one dead letter. */
  readonly malformed: number;
  /** Events sent a second time in the same round under the same partition key. */
  readonly duplicate: number;
  /** Events that are in the ledger and are never sent: a loss on purpose, to see that the audit finds it. */
  readonly drop: number;
}

export const defaultInjection: Injection = { late: 20, malformed: 10, duplicate: 30, drop: 0 };
export const noInjection: Injection = { late: 0, malformed: 0, duplicate: 0, drop: 0 };

export interface FleetOptions {
  readonly seed: number;
  /** EC2 instances; services, databases and functions follow from it. */
  readonly instances: number;
  /** Simulated time, whole minutes; the end is exclusive. */
  readonly startMs: number;
  readonly endMs: number;
  readonly inject: Injection;
}

/** One Kinesis record as CloudWatch would put it. */
export interface StreamRecord {
  readonly partitionKey: string;
  readonly data: Buffer;
  /** Ids the ledger must hold for it: its events', or the record's own (see `recordId`) where it is malformed. */
  readonly eventIds: readonly string[];
}

/** What is delivered at once. After it, every event below `clockMs` has been delivered, late ones apart. */
export interface TelemetryRound {
  readonly clockMs: number;
  readonly records: readonly StreamRecord[];
  readonly injected: Injection;
}

/**
 * One stretch of trouble of one entity, `endMs` exclusive. Trouble that touches several entities (a lock storm) has one
 * entry for each of them, with the same kind, group and times.
 */
export interface TruthIncident {
  readonly entity: string;
  readonly entityGroup: string;
  readonly kind: string;
  readonly startMs: number;
  readonly endMs: number;
}

/** Entity → entity group. */
export type Topology = Readonly<Record<string, string>>;

export const minuteMs = 60_000;
export const dayMs = 86_400_000;
