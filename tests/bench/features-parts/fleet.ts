import {
  createFeaturesProcessor,
  type FeatureSet,
  type FeaturesProcessor,
  MemoryOutput,
} from "../../../processors/features/index.ts";
import { Intake } from "../../../processors/features/intake.ts";
import { paneLayout } from "../../../processors/features/pane-layout.ts";
import { PaneStore } from "../../../processors/features/pane-store.ts";
import { RowBuilder, reachMinutes } from "../../../processors/features/row-builder.ts";
import { extendHash, hashText, newHash, SeenEvents, tieOf } from "../../../processors/features/seen-events.ts";
import { type ParsedEvent, parseEvent } from "../../../processors/parse/index.ts";
import type { FeatureBatch, LogBatch } from "../../../schemas/index.ts";
import { type InputRecord, topicName } from "../../../streams/index.ts";
import { randomOf } from "../../templates/lines.ts";

export const START = Date.UTC(2024, 0, 1) / 60_000;
export const metrics = [
  "CPUUtilization",
  "MemoryUtilization",
  "NetworkIn",
  "NetworkOut",
  "DiskReadOps",
  "DiskWriteOps",
];
const texts = ["GET /api/items/{n} took {n} ms", "user {n} logged in", "cache miss for key {n}", "retry {n} upstream"];
const levels = ["info", "info", "info", "warn", "error"];
const random = randomOf(1);

/** Of the whole process, all of its threads: what others do on the machine is in it only as far as it slows this down. */
export function cpuSecondsOf(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6;
}
export const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1]!;
export const nameOf = (i: number): string => `i-${i.toString(16).padStart(8, "0")}`;

const directive = JSON.stringify([
  { Namespace: "CWAgent", Dimensions: [["InstanceId"]], Metrics: metrics.map((Name) => ({ Name, Unit: "None" })) },
]);
function metricMessage(entity: string, timestampMs: number): string {
  const values = metrics.map((name, i) => `"${name}":${Math.round(random() * 10 ** (2 + i))}`).join(",");
  const head = `{"_aws":{"Timestamp":${timestampMs},"CloudWatchMetrics":${directive}}`;
  return `${head},"InstanceId":"${entity}",${values}}`;
}

function lineMessage(): string {
  const text = texts[Math.floor(random() * texts.length)]!;
  const message = text.replaceAll("{n}", () => String(Math.floor(random() * 1e5)));
  return JSON.stringify({ level: levels[Math.floor(random() * levels.length)], message });
}

/** A fleet's minutes through the whole stage, a commit after each. Every machine sends its metrics and some lines. */
export class Fleet {
  readonly processor: FeaturesProcessor;
  /** Of what came in (texts, ids, times), of what went to the changelog (keys and values), and of both stages' work. */
  readonly sum = { rows: 0, events: 0, inBytes: 0, logBytes: 0, closeSeconds: 0 };
  /** Of the last minute. */
  rows = 0;
  readonly #instances: number;
  readonly #lines: number;
  readonly #commits: number;
  readonly #output = new MemoryOutput();
  #minute = START;
  #offset = 0;

  /** `commits`: how often a minute is committed. */
  constructor(set: FeatureSet, instances: number, lines: number, commits = 1) {
    this.processor = createFeaturesProcessor({
      featureSet: set,
      topic: topicName("features"),
      partition: 0,
      partitions: 1,
    });
    this.#instances = instances;
    this.#lines = lines;
    this.#commits = commits;
  }

  /** One minute's records, then the tick that closes it; only the latter is timed. */
  run(minutes: number): void {
    for (const end = this.#minute + minutes; this.#minute < end; this.#minute++) {
      for (let i = 0; i < this.#instances; i++) {
        this.processor.process(this.#record(nameOf(i)), this.#output);
        if ((i + 1) % Math.ceil(this.#instances / this.#commits) === 0) this.#commit();
      }
      const tick = this.#wrap({ kind: "tick", clockMs: (this.#minute + 2) * 60_000, entity: "", events: [] });
      this.sum.closeSeconds += cpuSecondsOf(() => this.processor.process(tick, this.#output));
      this.rows = 0;
      for (const { value } of this.#output.sent.splice(0)) this.rows += (value as FeatureBatch).entities.length;
      this.sum.rows += this.rows;
      this.#commit();
    }
  }

  #record(entity: string): InputRecord<LogBatch> {
    const timestampMs = this.#minute * 60_000;
    const events = Array.from({ length: 1 + this.#lines }, (_, i) => ({
      id: `3${String(timestampMs).padStart(20, "0")}${String(i).padStart(10, "0")}${entity.slice(2)}`.padEnd(56, "7"),
      timestampMs: timestampMs + i * 100,
      message: i === 0 ? metricMessage(entity, timestampMs) : lineMessage(),
    }));
    for (const { message, id } of events) this.sum.inBytes += message.length + id.length + 8;
    this.sum.events += events.length;
    return this.#wrap({ kind: "events", clockMs: timestampMs, entity, events });
  }

  #wrap(of: Pick<LogBatch, "kind" | "clockMs" | "entity" | "events">): InputRecord<LogBatch> {
    const rest = { source: "s", arrivalMs: of.clockMs, sequence: "", account: "1", logGroup: "/application/logs" };
    const value: LogBatch = { ...rest, logStream: of.entity, ...of };
    const place = { topic: topicName("logs.raw"), partition: 0, offset: this.#offset++ };
    return { ...place, timestampMs: of.clockMs, key: of.entity, value };
  }

  #commit(): void {
    for (const store of this.processor.stores) {
      store.flush((key, value) => {
        this.sum.logBytes += key.length + (value?.length ?? 0);
      });
      store.merge?.();
    }
  }
}

/** The stage without its records and its parser: what counting values and making rows cost by themselves. */
export class BareStage {
  readonly panes: PaneStore;
  /** Entities of the rows made last, in their order. */
  alive: string[] = [];
  readonly #set: FeatureSet;
  readonly #seen = new SeenEvents("seen");
  readonly #intake: Intake;
  readonly #rows: RowBuilder;
  readonly #quality = new Float32Array(200_000);
  readonly #hash = newHash();

  constructor(set: FeatureSet) {
    this.#set = set;
    const limits = { minutes: reachMinutes(set) + 240, entities: 200_000, silenceStepMinutes: 1, keptMinutes: 1_440 };
    this.panes = new PaneStore("panes", paneLayout(set), limits);
    this.#intake = new Intake(set, this.panes, null);
    this.#rows = new RowBuilder(set, this.panes, null);
  }

  add(entity: string, minute: number, id: string, offset: number, parsed: ParsedEvent): void {
    if (!this.#seen.add(minute, extendHash(hashText(entity), id, this.#hash))) return;
    const slot = this.panes.slotOf(entity) ?? this.panes.takeSlot(entity, minute - 1)!;
    this.#intake.add({ slot, minute, offset, tie: tieOf(this.#hash) }, parsed, false);
  }

  /** Values in columns, of an event that is known to be new. */
  addValues(
    entity: string,
    minute: number,
    offset: number,
    signals: Int32Array,
    of: Float64Array,
    count: number,
  ): void {
    const slot = this.panes.slotOf(entity) ?? this.panes.takeSlot(entity, minute - 1)!;
    this.#intake.addValues({ slot, minute, offset, tie: 0 }, minute * 60_000, signals, of, count);
  }

  /** The same, unless the event was there before; it can be taken back, as a record of the stage can. */
  addUnseen(
    entity: string,
    minute: number,
    id: string,
    offset: number,
    signals: Int32Array,
    of: Float64Array,
    count: number,
  ): void {
    this.panes.savepoint();
    this.#seen.savepoint();
    if (!this.#seen.add(minute, extendHash(hashText(entity), id, this.#hash))) return;
    this.addValues(entity, minute, offset, signals, of, count);
  }

  commit(): void {
    for (const store of [this.panes, this.#seen]) {
      store.flush(() => {});
      store.merge();
    }
  }

  /** Closes the minute and makes all rows that end with it; returns their number. */
  close(minute: number, matrix: Float32Array): number {
    this.panes.closeBelow(minute + 1);
    this.#rows.atEnd(minute + 1);
    const slots: number[] = [];
    this.alive = [];
    for (const [entity, slot] of this.panes.entities()) {
      if (this.#rows.activityOf(slot) !== "alive") continue;
      this.alive.push(entity);
      slots.push(slot);
    }
    this.#rows.build(slots, matrix, this.#quality);
    this.panes.evictBelow(minute + 2 - reachMinutes(this.#set), minute + 2 - reachMinutes(this.#set));
    this.#seen.evictBelow(minute + 1);
    return slots.length;
  }
}

/** One metric event of each machine, parsed and as text. */
export function minuteOfEvents(
  instances: number,
  minute: number,
): { entity: string; message: string; parsed: ParsedEvent }[] {
  return Array.from({ length: instances }, (_, i) => {
    const entity = nameOf(i);
    const message = metricMessage(entity, minute * 60_000);
    return { entity, message, parsed: parseEvent("/application/logs", entity, message, minute * 60_000) };
  });
}
