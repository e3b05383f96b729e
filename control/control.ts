import type { Decision, ExperimentEvent, RoutingConfig, VersionTally } from "../schemas/index.ts";
import {
  type InputRecord,
  KeyValueStore,
  type Output,
  type Processor,
  SourceClocks,
  type SourceClocksSnapshot,
  type TopicName,
} from "../streams/index.ts";
import { type Command, parseCommand } from "./commands.ts";
import { decide, hear, interrupt, look, type Outcome, type Running, start, startFaults } from "./experiment.ts";
import { tallyOf } from "./facts.ts";

export interface ControlOptions {
  readonly topics: { readonly routing: TopicName; readonly decisions: TopicName };
  /** Every writer of reports, `measure/0` …: time does not pass before each has spoken. */
  readonly sources: readonly string[];
  /** The newest routing version of a family as far as it has been read. */
  readonly newestRouting: (family: string) => RoutingConfig | null;
  /** Whether a model version lies in the repository. */
  readonly isKnown: (model: string, version: string) => boolean;
}

/** The partition of the routing topic, which has one. */
const ROUTING_PARTITION = 0;

/**
 * Runs experiments: hears tallies and commands, writes decisions and the routing versions that carry them out, both in
 * one transaction. One experiment a model family at a time.
 *
 * Time is the lowest clock of the measuring tasks. Every look is written with all it rests on, so that anybody can
 * make the decision again; which reports had come in at that moment is the only thing a replay may find otherwise.
 */
export class ControlProcessor implements Processor<ExperimentEvent> {
  readonly #clocks = new KeyValueStore<SourceClocksSnapshot>("clocks");
  readonly #reports = new KeyValueStore<readonly VersionTally[]>("reports");
  readonly #running = new KeyValueStore<Running>("running");
  /** By experiment how many decisions there are; by family the last routing version written here. */
  readonly #numbers = new KeyValueStore<number>("numbers");
  /** By family the last routing record written here. */
  readonly #written = new KeyValueStore<RoutingConfig>("written");
  readonly stores = [this.#clocks, this.#reports, this.#running, this.#numbers, this.#written];
  readonly #options: ControlOptions;

  constructor(options: ControlOptions) {
    this.#options = options;
  }

  process(record: InputRecord<ExperimentEvent>, out: Output): void {
    const event = record.value;
    if (event.kind === "report") {
      out.count("accepted", 1);
      const clocks = this.#restoredClocks(event.family);
      clocks.advance(event.source, event.clockMs);
      this.#clocks.put(event.family, clocks.snapshot());
      this.#reports.put(`${event.family}/${event.source}`, event.tallies);
      this.#look(event.family, clocks.watermarkMs, out);
      return;
    }
    const parsed = parseCommand(event.command);
    if ("faults" in parsed) {
      const reason = `The command cannot be read: ${parsed.faults.join("; ")}.`;
      const bytes = Buffer.from(event.command);
      out.reject({ code: "command_invalid", reason, eventId: "", timestampMs: record.timestampMs, entity: "", bytes });
      return;
    }
    out.count("accepted", 1);
    this.#obey(parsed.command, event.family, this.#restoredClocks(event.family).watermarkMs, out);
  }

  #restoredClocks(family: string): SourceClocks {
    const clocks = new SourceClocks(this.#clocks.get(family));
    for (const source of this.#options.sources) clocks.open(source, 0);
    return clocks;
  }

  #look(family: string, nowMs: number, out: Output): void {
    const running = this.#running.get(family);
    if (!running) return;
    const newest = this.#newestRouting(family);
    // Of two records of the same version the first stands, and it need not be ours.
    const isOurs = !newest || newest.version < running.version || newest.experiment === running.name;
    if (!isOurs) {
      this.#conclude(running, interrupt(newest), nowMs, "control", "", out);
      return;
    }
    if (nowMs < running.nextLookMs) return;
    const prefix = `${family}/`;
    const reports = [...this.#reports.entries()].filter(([key]) => key.startsWith(prefix)).map(([, report]) => report);
    const tally = tallyOf(running.version, reports);
    this.#conclude(running, look(running, tally, this.#nextVersion(family), nowMs), nowMs, "control", "", out);
  }

  #obey(command: Command, family: string, nowMs: number, out: Output): void {
    const running = this.#running.get(family) ?? null;
    const { id, author, experiment } = command;
    const faults: string[] = [];
    if (command.action === "start-canary" || command.action === "start-comparison") {
      const routing = this.#newestRouting(family);
      faults.push(...startFaults(command, routing, running, nowMs, this.#options.isKnown));
      if (this.#numbers.get(experiment) !== undefined && running?.name !== experiment)
        faults.push(`there was an experiment ${experiment} before; give another name`);
      if (faults.length === 0) {
        const outcome = start(command, family, routing!, this.#nextVersion(family), nowMs);
        this.#conclude(outcome.running!, outcome, nowMs, author, id, out);
      }
    } else if (running?.name !== experiment) faults.push(`experiment ${experiment} is not running`);
    else if (command.action === "alert") this.#conclude(running, hear(running, command, nowMs), nowMs, author, id, out);
    else {
      const outcome = decide(running, command.action, command.reason, this.#nextVersion(family), nowMs);
      this.#conclude(running, outcome, nowMs, author, id, out);
    }
    if (faults.length === 0) return;
    const refused = {
      kind: "refused",
      action: "refuse",
      reasons: faults,
      record: command,
      running,
      routing: null,
    } as const;
    this.#write(experiment, family, refused, nowMs, author, id, false, out);
  }

  #conclude(before: Running, outcome: Outcome, nowMs: number, author: string, request: string, out: Output): void {
    const { family, name } = before;
    if (outcome.running) this.#running.put(family, outcome.running);
    else this.#running.delete(family);
    if (outcome.routing) {
      const { version } = outcome.routing;
      this.#numbers.put(versionKey(family), version);
      this.#written.put(family, outcome.routing);
      out.send(this.#options.topics.routing, `${family}/${version}`, outcome.routing, nowMs, ROUTING_PARTITION);
    }
    this.#write(name, family, outcome, nowMs, author, request, outcome.running === null, out);
  }

  #write(
    experiment: string,
    family: string,
    outcome: Outcome,
    atMs: number,
    author: string,
    request: string,
    ended: boolean,
    out: Output,
  ): void {
    const number = this.#numbers.get(experiment) ?? 0;
    // A refused name was never used: it may be used later.
    const isNew = outcome.kind === "refused" && number === 0;
    if (!isNew) this.#numbers.put(experiment, number + 1);
    const decision: Decision = {
      experiment,
      number,
      family,
      kind: outcome.kind,
      action: outcome.action,
      reasons: [...outcome.reasons],
      atMs,
      routingVersion:
        outcome.routing?.version ?? outcome.running?.version ?? this.#numbers.get(versionKey(family)) ?? -1,
      ended,
      author,
      request,
      record: JSON.stringify(outcome.record),
    };
    out.send(this.#options.topics.decisions, `${experiment}/${number}`, decision, atMs);
  }

  /** What was written here counts at once: the topic is read a moment behind, and an arm withdrawn must not come back. */
  #newestRouting(family: string): RoutingConfig | null {
    const read = this.#options.newestRouting(family);
    const written = this.#written.get(family);
    return written && written.version > (read?.version ?? -1) ? written : read;
  }

  #nextVersion(family: string): number {
    const read = this.#newestRouting(family)?.version ?? 0;
    return Math.max(read, this.#numbers.get(versionKey(family)) ?? 0) + 1;
  }
}

/** No experiment's name holds a slash. */
const versionKey = (family: string): string => `routing/${family}`;
