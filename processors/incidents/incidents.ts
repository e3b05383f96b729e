import type { Anomaly, AnomalyEdge } from "../../schemas/index.ts";
import {
  type InputRecord,
  KeyValueStore,
  type Output,
  type Processor,
  SourceClocks,
  type SourceClocksSnapshot,
  type TopicName,
  WeirError,
} from "../../streams/index.ts";
import {
  holds,
  type IncidentRules,
  isExpired,
  isOver,
  join,
  nextDeadlineMs,
  type OpenIncident,
  openIncident,
  opens,
  report,
  resolve,
  type Seen,
} from "./group.ts";

export interface IncidentsOptions {
  readonly output: TopicName;
  readonly rules: IncidentRules;
  /** Every writer of the re-keyed edge, `score/0` … : time does not pass before each has spoken. */
  readonly sources: readonly string[];
}

interface Held {
  readonly source: string;
  readonly offset: number;
  readonly anomaly: Anomaly;
}

/** What an entity did in its last windows; `joined` of them have been added to the open incident. */
interface Recent {
  readonly entity: string;
  readonly entityGroup: string;
  readonly seen: readonly Seen[];
  readonly joined: number;
}

/** A source that stands still holds back the others' anomalies: this many, and the stage says so and stops. */
const MAX_HELD = 50_000;

/**
 * Joins anomalies into incidents, one open incident an entity group.
 *
 * Anomalies wait until every source's clock has passed their window and are then taken in (window end, entity, source,
 * offset) order, so that the records written do not depend on how the sources interleave. Between two windows the
 * open incidents' own deadlines come due, in (time, group) order.
 */
export class IncidentsProcessor implements Processor<AnomalyEdge> {
  readonly #clockStore = new KeyValueStore<SourceClocksSnapshot>("clocks");
  readonly #held = new KeyValueStore<Held>("held");
  readonly #recent = new KeyValueStore<Recent>("recent");
  readonly #open = new KeyValueStore<OpenIncident>("open");
  readonly stores = [this.#clockStore, this.#held, this.#recent, this.#open];
  readonly #options: IncidentsOptions;
  #clocks: SourceClocks | null = null;
  #takenToMs = -1;

  constructor(options: IncidentsOptions) {
    this.#options = options;
  }

  process(record: InputRecord<AnomalyEdge>, out: Output): void {
    const { kind, source, clockMs, anomaly } = record.value;
    const clocks = this.#restoredClocks();
    if (kind === "tick" || !anomaly) {
      clocks.advance(source, clockMs);
      out.count("control", 1);
    } else {
      if (anomaly.windowEndMs < clocks.clockOf(source)) {
        out.reject(rejectionOf(anomaly, source, clocks.clockOf(source)));
        return;
      }
      // An anomaly moves time to its own window only: others of the same window may follow it.
      clocks.advance(source, Math.min(clockMs, anomaly.windowEndMs));
      this.#hold({ source, offset: record.offset, anomaly });
      out.count("accepted", 1);
    }
    this.#clockStore.put("clocks", clocks.snapshot());
    if (clocks.watermarkMs === this.#takenToMs) return;
    this.#advance(clocks.watermarkMs, out);
    this.#takenToMs = clocks.watermarkMs;
  }

  reset(): void {
    this.#clocks = null;
    this.#takenToMs = -1;
  }

  standing() {
    const [held, recent, open] = [this.#held.size.keys, this.#recent.size.keys, this.#open.size.keys];
    return { clocks: this.#restoredClocks().snapshot(), held, recent, open };
  }

  #restoredClocks(): SourceClocks {
    if (!this.#clocks) {
      this.#clocks = new SourceClocks(this.#clockStore.get("clocks"));
      for (const source of this.#options.sources) this.#clocks.open(source, 0);
    }
    return this.#clocks;
  }

  #hold(held: Held): void {
    if (this.#held.size.keys >= MAX_HELD)
      throw new WeirError(
        "INCIDENTS_HELD_BACK",
        "fatal",
        `${MAX_HELD} anomalies wait because a scoring task's clock stands still.`,
        "Look for the scoring task with the lowest watermark in the status view and start it again.",
      );
    this.#held.put(`${held.source}@${held.offset}`, held);
  }

  /** Takes every window that is complete. A clock says that nothing below it will come: its own minute may. */
  #advance(watermarkMs: number, out: Output): void {
    const ready = [...this.#held.entries()].filter(([, h]) => h.anomaly.windowEndMs < watermarkMs);
    ready.sort(([, a], [, b]) => inOrder(a, b));
    for (let i = 0; i < ready.length; ) {
      const atMs = ready[i]![1].anomaly.windowEndMs;
      this.#deadlines(atMs, out);
      const groups = new Set<string>();
      for (; i < ready.length && ready[i]![1].anomaly.windowEndMs === atMs; i++) {
        const [key, { anomaly }] = ready[i]!;
        this.#held.delete(key);
        this.#take(anomaly);
        groups.add(anomaly.entityGroup);
      }
      for (const group of [...groups].sort()) this.#report(group, atMs, out);
    }
    this.#deadlines(watermarkMs, out);
    for (const [key, recent] of [...this.#recent.entries()])
      if (recent.seen.every((s) => isExpired(s, watermarkMs, this.#options.rules))) this.#recent.delete(key);
  }

  #take(anomaly: Anomaly): void {
    const { rules } = this.#options;
    const { entity, entityGroup, windowEndMs: atMs } = anomaly;
    const known = this.#recent.get(entity) ?? { entity, entityGroup, seen: [], joined: 0 };
    const fresh = known.seen.filter((s) => !isExpired(s, atMs, rules));
    const seen = [...fresh, seenOf(anomaly)];
    let joined = Math.max(0, known.joined - (known.seen.length - fresh.length));
    let open = this.#open.get(entityGroup);
    if (!open && opens(seen, atMs, rules)) open = openIncident(entityGroup, seen.slice(joined), atMs);
    if (open && (open.incident.members.includes(entity) || opens(seen, atMs, rules))) {
      open = join(open, entity, seen.slice(joined));
      if (holds(seen, atMs, rules))
        open = { ...open, heldAtMs: atMs, heldBySilence: anomaly.kind === "telemetry_silent" };
      this.#open.put(entityGroup, open);
      joined = seen.length;
    }
    this.#recent.put(entity, { entity, entityGroup, seen, joined });
  }

  #report(group: string, atMs: number, out: Output): void {
    const open = this.#open.get(group);
    const told = open && report(open, atMs);
    if (!told) return;
    this.#open.put(group, told);
    this.#send(told.incident, out);
  }

  /** What open incidents do by themselves up to and including `untilMs`. */
  #deadlines(untilMs: number, out: Output): void {
    const { rules } = this.#options;
    for (;;) {
      const due = [...this.#open.entries()]
        .map(([group, open]) => ({ group, open, atMs: nextDeadlineMs(open, rules) }))
        .filter((d) => d.atMs <= untilMs)
        .sort((a, b) => a.atMs - b.atMs || (a.group < b.group ? -1 : 1));
      if (due.length === 0) return;
      const { group, open, atMs } = due[0]!;
      if (isOver(open, atMs, rules)) {
        this.#open.delete(group);
        this.#send(resolve(open, rules), out);
      } else this.#report(group, atMs, out);
    }
  }

  #send(incident: OpenIncident["incident"], out: Output): void {
    out.send(this.#options.output, incident.incidentId, incident, incident.updatedAtMs);
  }
}

const text = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

const inOrder = (a: Held, b: Held): number =>
  a.anomaly.windowEndMs - b.anomaly.windowEndMs ||
  text(a.anomaly.entity, b.anomaly.entity) ||
  text(a.source, b.source) ||
  a.offset - b.offset;

const seenOf = ({ kind, windowEndMs, score, topFeatures, evidence }: Anomaly): Seen => ({
  kind,
  windowEndMs,
  score,
  topFeatures: topFeatures.slice(0, 5),
  evidence,
});

const rejectionOf = (anomaly: Anomaly, source: string, clockMs: number) => ({
  code: "below_source_clock",
  reason: `The window ends at ${anomaly.windowEndMs}, but ${source} said before that nothing below ${clockMs} would come.`,
  eventId: anomaly.anomalyId,
  timestampMs: anomaly.windowEndMs,
  entity: anomaly.entity,
  bytes: Buffer.from(JSON.stringify(anomaly)),
});
