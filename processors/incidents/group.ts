import type { Anomaly, Evidence, FeatureContribution, Incident, IncidentState } from "../../schemas/index.ts";
import { addContributions, familyOf, type IncidentType, severities, severityOf, typeOf } from "./classify.ts";

/** When anomalies make an incident and when it ends. Event time throughout. */
export interface IncidentRules {
  /** Distance of two windows of one entity. */
  readonly hopMs: number;
  /** Opened (and joined) by an entity with `of` anomalous windows among its last `last`. */
  readonly open: { readonly of: number; readonly last: number };
  /** Resolved when no member has held it for so long. */
  readonly quietMs: number;
}

export const rulesForHop = (hopMs: number): IncidentRules =>
  hopMs <= 60_000
    ? { hopMs, open: { of: 3, last: 5 }, quietMs: 15 * 60_000 }
    : { hopMs, open: { of: 1, last: 1 }, quietMs: 3 * hopMs };

/** New members alone do not make more than one record in this time. */
const UPDATE_EVERY_MS = 5 * 60_000;
const MAX_MEMBERS = 200;
const MAX_EVIDENCE = 20;
const MAX_FEATURES = 10;

/** An anomaly as far as an incident needs it. */
export interface Seen {
  readonly kind: Anomaly["kind"];
  readonly windowEndMs: number;
  readonly score: number;
  readonly topFeatures: readonly FeatureContribution[];
  readonly evidence: Evidence;
}

/** The open incident of an entity group. */
export interface OpenIncident {
  readonly incident: Incident;
  /** The newest window of a member that was anomalous often enough to hold the incident. */
  readonly heldAtMs: number;
  /** What held it last was silence, not a row of features. */
  readonly heldBySilence: boolean;
  /** Sum of contributions per aspect. */
  readonly sums: Readonly<Record<string, number>>;
  /** Members that joined since the last record. */
  readonly unsaid: boolean;
}

const windowsIn = (seen: readonly Seen[], atMs: number, rules: IncidentRules): number =>
  new Set(seen.filter((s) => !isExpired(s, atMs, rules)).map((s) => s.windowEndMs)).size;

/** True once the window no longer counts among the last windows of its entity. */
export const isExpired = (seen: { readonly windowEndMs: number }, atMs: number, rules: IncidentRules): boolean =>
  seen.windowEndMs <= atMs - rules.open.last * rules.hopMs;

const isSilent = (seen: readonly Seen[]): boolean => seen.at(-1)?.kind === "telemetry_silent";

/** True if the entity opens an incident, or joins the open one, with its newest anomaly at `atMs`. */
export const opens = (seen: readonly Seen[], atMs: number, rules: IncidentRules): boolean =>
  isSilent(seen) || windowsIn(seen, atMs, rules) >= rules.open.of;

/** True if a member keeps its incident open: half as often as it takes to open one, so that it does not flap. */
export const holds = (seen: readonly Seen[], atMs: number, rules: IncidentRules): boolean =>
  isSilent(seen) || windowsIn(seen, atMs, rules) >= Math.ceil(rules.open.of / 2);

/** The incident that `entity` opens. Its anomalies are then added with `join`. */
export function openIncident(entityGroup: string, seen: readonly Seen[], atMs: number): OpenIncident {
  const type = isSilent(seen) ? "silence" : typeOf(sumsOf(seen));
  const dedupKey = `${entityGroup}/${familyOf(type)}`;
  const incident: Incident = {
    incidentId: `${dedupKey}/${atMs}`,
    dedupKey,
    state: "open",
    revision: 0,
    entityGroup,
    members: [],
    severity: "low",
    type,
    openedAtMs: atMs,
    updatedAtMs: atMs,
    resolvedAtMs: null,
    reason: "opened",
    maxScore: 0,
    anomalyCount: 0,
    topFeatures: [],
    evidence: [],
  };
  return { incident, heldAtMs: atMs, heldBySilence: false, sums: {}, unsaid: false };
}

const sumsOf = (seen: readonly Seen[]): Record<string, number> =>
  seen.reduce<Record<string, number>>((sums, s) => addContributions(sums, s.topFeatures), {});

/** Adds anomalies of one member. */
export function join(open: OpenIncident, entity: string, seen: readonly Seen[]): OpenIncident {
  const { incident } = open;
  const isNew = !incident.members.includes(entity) && incident.members.length < MAX_MEMBERS;
  return {
    ...open,
    sums: seen.reduce((sums, s) => addContributions(sums, s.topFeatures), { ...open.sums }),
    unsaid: open.unsaid || isNew,
    incident: {
      ...incident,
      members: isNew ? [...incident.members, entity] : incident.members,
      maxScore: Math.max(incident.maxScore, ...seen.map((s) => s.score)),
      anomalyCount: incident.anomalyCount + seen.length,
      topFeatures: strongest([...incident.topFeatures, ...seen.flatMap((s) => s.topFeatures)]),
      evidence: ends([...incident.evidence, ...seen.map((s) => s.evidence)]),
    },
  };
}

/** Each feature with its largest contribution, the largest first. */
function strongest(features: readonly FeatureContribution[]): FeatureContribution[] {
  const best = new Map<string, FeatureContribution>();
  for (const f of features) {
    const known = best.get(f.name);
    if (!known || f.contribution > known.contribution) best.set(f.name, f);
  }
  return [...best.values()]
    .sort((a, b) => b.contribution - a.contribution || (a.name < b.name ? -1 : 1))
    .slice(0, MAX_FEATURES);
}

/** How it began and how it goes on: the middle is what can be spared. */
const ends = (evidence: readonly Evidence[]): Evidence[] =>
  evidence.length <= MAX_EVIDENCE
    ? [...evidence]
    : [...evidence.slice(0, MAX_EVIDENCE / 2), ...evidence.slice(-MAX_EVIDENCE / 2)];

/** The incident's type now: a type once told only ever widens to mixed, so that it changes at most once. */
function typeNow({ incident, sums, heldBySilence }: OpenIncident): IncidentType {
  const told = incident.type as IncidentType;
  if (incident.revision === 0) return told;
  const hasRows = Object.keys(sums).length > 0;
  const same = told === "silence" ? !hasRows : !heldBySilence && (!hasRows || typeOf(sums) === told);
  return same ? told : "mixed";
}

/**
 * The record to write at `atMs`, or null: at the opening, when severity or type changed, and for new members at most
 * each five minutes.
 */
export function report(open: OpenIncident, atMs: number): OpenIncident | null {
  const before = open.incident;
  const severity = severityOf({
    maxScore: before.maxScore,
    members: before.members.length,
    durationMs: atMs - before.openedAtMs,
    silent: open.heldBySilence,
  });
  const escalated = severities.indexOf(severity) > severities.indexOf(before.severity);
  const type = typeNow(open);
  const reason =
    before.revision === 0
      ? "opened"
      : escalated
        ? "escalated"
        : type !== before.type
          ? "type"
          : open.unsaid && atMs >= before.updatedAtMs + UPDATE_EVERY_MS
            ? "member"
            : null;
  if (reason === null) return null;
  const told = escalated ? severity : before.severity;
  return {
    ...open,
    unsaid: false,
    incident: write(before, reason === "opened" ? "open" : "update", atMs, reason, { severity: told, type }),
  };
}

const write = (
  before: Incident,
  state: IncidentState,
  updatedAtMs: number,
  reason: string,
  more: Partial<Incident>,
): Incident => ({ ...before, ...more, state, updatedAtMs, reason, revision: before.revision + 1 });

/** When an open incident acts by itself: it ends, or tells of members that joined. */
export function nextDeadlineMs(open: OpenIncident, rules: IncidentRules): number {
  const endMs = open.heldAtMs + rules.quietMs;
  return open.unsaid ? Math.min(endMs, open.incident.updatedAtMs + UPDATE_EVERY_MS) : endMs;
}

export const isOver = (open: OpenIncident, atMs: number, rules: IncidentRules): boolean =>
  open.heldAtMs + rules.quietMs <= atMs;

export function resolve(open: OpenIncident, rules: IncidentRules): Incident {
  const resolvedAtMs = open.heldAtMs + rules.quietMs;
  return write(open.incident, "resolved", resolvedAtMs, open.heldBySilence ? "silence" : "recovered", { resolvedAtMs });
}
