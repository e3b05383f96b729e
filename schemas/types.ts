// Generated from avro/*.avsc by `npm run generate`. Do not edit.

export type EdgeKind = "anomaly" | "tick";

/** The anomalies topic re-keyed by entity group, with the clocks of its writers. Internal. */
export interface AnomalyEdge {
  kind: EdgeKind;
  /** score/<partition>. */
  source: string;
  clockMs: number;
  anomaly: null | Anomaly;
}

export type AnomalyKind = "model" | "telemetry_silent";

export interface FeatureContribution {
  name: string;
  value: number;
  /** Share of this feature in the model's margin, log-odds. */
  contribution: number;
}

export interface Evidence {
  entity: string;
  windowEndMs: number;
  topic: string;
  partition: number;
  /** -1 where no record stands behind the row. */
  firstOffset: number;
  lastOffset: number;
}

/** One row over the threshold, or one entity that fell silent. */
export interface Anomaly {
  /** entity/windowEndMs/kind: the same on every replay. */
  anomalyId: string;
  kind: AnomalyKind;
  entity: string;
  entityGroup: string;
  windowStartMs: number;
  windowEndMs: number;
  featureSet: string;
  model: string;
  modelVersion: string;
  routingVersion: number;
  score: number;
  probability: number;
  threshold: number;
  topFeatures: FeatureContribution[];
  evidence: Evidence;
}

/** Input that a stage could not use (<topic>.dead) or that came after its window closed (<topic>.late), with where it came from. */
export interface DeadLetter {
  code: string;
  reason: string;
  stage: string;
  originTopic: string;
  /** A Kafka partition or a Kinesis shard. */
  originPartition: string;
  /** A Kafka offset or a Kinesis sequence number. */
  originOffset: string;
  /** Empty where the bytes could not be taken apart. */
  eventId: string;
  timestampMs: number;
  entity: string;
  /** The input, cut at 900,000 bytes. */
  bytes: Buffer;
}

export type DecisionKind = "started" | "refused" | "ladder" | "verdict" | "operator" | "interrupted";

/** One decision about an experiment, with all it rests on. */
export interface Decision {
  experiment: string;
  /** Counts up from 0 within the experiment. */
  number: number;
  family: string;
  kind: DecisionKind;
  /** What was done: start, refuse, hold, advance, complete, rollback, continue, promote, keep, inconclusive, stop. */
  action: string;
  reasons: string[];
  /** Event time of the look. */
  atMs: number;
  /** The routing version in force after it. */
  routingVersion: number;
  /** The experiment is over with this decision. */
  ended: boolean;
  /** control, or the person whose command it was. */
  author: string;
  /** Id of the command that this answers; empty: none. */
  request: string;
  /** JSON: everything the decision was made from, enough to make it again. */
  record: string;
}

export type ExperimentEventKind = "report" | "command";

export interface RowSums {
  clusters: number;
  rows: number;
  hits: number;
  rowsSquared: number;
  rowsTimesHits: number;
  hitsSquared: number;
}

export interface ArmTally {
  /** Entities that routing gave to the arm. */
  entities: number;
  /** Rows that routing gave to the arm. */
  rows: number;
  /** Of these, rows that the arm's model did not score on the model server. */
  errors: number;
  requests: number;
  slowRequests: number;
  /** Scored rows by score, 10 bins of 0.1. */
  histogram: number[];
  /** Rows over the threshold, by entity. */
  flagged: RowSums;
  /** Labelled rows whose verdict was right, by entity. */
  right: RowSums;
}

/** One partition's rows under one routing version, from its first row on. */
export interface VersionTally {
  version: number;
  /** Champion, challenger. */
  arms: ArmTally[];
  /** Labelled rows that both arms scored; a hit is +1 where the challenger alone was right, -1 where the champion alone was. */
  paired: RowSums;
  championOnly: number;
  challengerOnly: number;
  unlabelled: number;
}

/** What the control stage hears: tallies of scored rows, with the clocks of their writers, and commands. Internal. */
export interface ExperimentEvent {
  kind: ExperimentEventKind;
  family: string;
  /** measure/<partition>; of a command its author. */
  source: string;
  /** Of a report: the writer's clock. Of a command 0. */
  clockMs: number;
  tallies: VersionTally[];
  /** JSON of a command; empty in a report. */
  command: string;
}

export type ExplanationMode = "template" | "model";

export interface Citation {
  /** E1, E2, … */
  id: string;
  entity: string;
  timestampMs: number;
  topic: string;
  partition: number;
  offset: number;
  text: string;
  similarity: number;
}

export interface ExplanationTimings {
  embeddingMs: number;
  searchMs: number;
  promptMs: number;
  generationMs: number;
  totalMs: number;
}

/** Why an incident happened, as far as the evidence tells. A later record of the same key replaces the earlier one. */
export interface Explanation {
  incidentId: string;
  incidentRevision: number;
  mode: ExplanationMode;
  /** Name of the language model; empty for a template. */
  model: string;
  rootCause: string;
  impact: string;
  actions: string;
  prevention: string;
  citations: Citation[];
  /** Share of sentences whose numbers, hosts and codes stand in the cited evidence. */
  groundedness: number;
  createdAtMs: number;
  timings: ExplanationTimings;
}

/** Feature rows of one closed minute of one partition, sorted by entity, at most 512 rows. Every closed minute has at least one batch, empty if need be: it carries the watermark. */
export interface FeatureBatch {
  featureSet: string;
  featureSetHash: string;
  /** End (exclusive) of the windows these rows describe. */
  windowEndMs: number;
  /** The writer's clock: no later batch has a windowEndMs below it. */
  watermarkMs: number;
  /** 0-based number of this batch within its minute. */
  chunk: number;
  chunks: number;
  entities: string[];
  columns: number;
  /** float32, little-endian, row-major, entities × columns; missing is NaN. */
  matrix: Buffer;
  /** float32 per row, 0 to 1. */
  quality: Buffer;
  /** Per row: first logs.raw offset of its newest minute with data; -1 if none. */
  firstOffset: number[];
  lastOffset: number[];
  /** Entities that fell silent with this minute. */
  silent: string[];
}

export type IncidentState = "open" | "update" | "resolved";

export type Severity = "low" | "medium" | "high" | "critical";

/** What people work on: anomalies of one entity group, joined over time. A later record of the same key replaces the earlier one. */
export interface Incident {
  incidentId: string;
  /** Holds no timestamp: the same trouble of the same group has the same key. */
  dedupKey: string;
  state: IncidentState;
  revision: number;
  entityGroup: string;
  members: string[];
  severity: Severity;
  /** cpu, memory, network, disk, errors, silence or mixed. */
  type: string;
  openedAtMs: number;
  updatedAtMs: number;
  resolvedAtMs: null | number;
  /** Why this record was written: opened, member, escalated, recovered, silence. */
  reason: string;
  maxScore: number;
  anomalyCount: number;
  topFeatures: FeatureContribution[];
  evidence: Evidence[];
}

/** What a person says about one window of one entity. A later record of the same key replaces it. */
export interface Label {
  entity: string;
  windowEndMs: number;
  anomalous: boolean;
  /** From when on the label was known, in event time. */
  knownAtMs: number;
  author: string;
  /** Where it was given: command, console, slack, review. */
  source: string;
  /** model/version whose verdict the person saw; empty: none. */
  modelVersion: string;
  note: string;
}

export type SourceSign = "events" | "tick" | "open" | "close" | "idle";

export interface LogEvent {
  id: string;
  timestampMs: number;
  message: string;
}

/** Log events of one entity out of one source record, or a sign of life of the source itself (no events, empty entity). */
export interface LogBatch {
  kind: SourceSign;
  /** The writer into this partition whose clock this is: <stream>@<created>/<shard>. */
  source: string;
  /** The source's clock when it came to this record: an event of it that lies below, by more than the grace, is late. */
  clockMs: number;
  /** When the source record arrived at the stream. */
  arrivalMs: number;
  /** Where in the source it stood. */
  sequence: string;
  account: string;
  logGroup: string;
  logStream: string;
  entity: string;
  events: LogEvent[];
}

export interface ModelRef {
  name: string;
  /** The version that answered. */
  version: string;
  /** triton; built-in when the fallback scored; failed when an experiment's challenger gave no answer. */
  evaluator: string;
  /** How long the request took that scored these rows; -1: not known. Not repeated by a replay. */
  latencyMs: number;
}

/** Scores of the rows of one FeatureBatch, in its order. Rows no routing version covers are left out; the watermark is forwarded all the same. */
export interface PredictionBatch {
  featureSet: string;
  windowEndMs: number;
  watermarkMs: number;
  chunk: number;
  chunks: number;
  routingFamily: string;
  /** -1 where no routing version was in force. */
  routingVersion: number;
  models: ModelRef[];
  entities: string[];
  /** uint8 per row: index into models. */
  arm: Buffer;
  /** float32 per row, calibrated: 0.85 is the operating point. */
  score: Buffer;
  /** float32 per row, calibrated probability of an anomaly. */
  probability: Buffer;
  /** float32 per row, what the model answered. */
  raw: Buffer;
  /** float32 per row: calibrated score of the other arm; NaN where it was not asked. */
  shadow: Buffer;
}

export type RoutingMode = "split" | "shadow" | "canary" | "off";

export interface RoutingArm {
  model: string;
  modelVersion: string;
  /** Percent; all arms add up to 100. */
  weight: number;
}

/** One version of how rows of a model family are spread over arms. Kept for ever. */
export interface RoutingConfig {
  family: string;
  version: number;
  mode: RoutingMode;
  salt: string;
  /** Window ends at or after this are routed by this version. */
  effectiveFromMs: number;
  arms: RoutingArm[];
  author: string;
  createdAtMs: number;
  /** The experiment whose rows this version makes; empty: none. The first arm is its champion, the second its challenger. */
  experiment: string;
  /** Verdicts on windows before this are kept to be compared with labels; 0: none are. */
  labelledUntilMs: number;
}

export type ShardState = "active" | "ended";

/** How far one shard of one stream has been read, written in the transaction of its records. */
export interface ShardCheckpoint {
  stream: string;
  /** A recreated stream reuses shard ids; its creation time tells them apart. */
  streamCreatedMs: number;
  shard: string;
  state: ShardState;
  /** Last sequence number read; empty: start at the trim horizon. */
  sequence: string;
  subSequence: number;
  /** Events of the record after `sequence` already written, where one record spans transactions. */
  eventIndex: number;
  parents: string[];
  children: string[];
  clockMs: number;
  arrivalMs: number;
  /** When the shard was last read to its tip: whatever had arrived by then has been read. */
  tipMs: number;
  /** The last sign of this source was idle: it does not hold the watermark. */
  idle: boolean;
  /** events, control, dead, records since the shard was opened. */
  counters: Record<string, number>;
}
