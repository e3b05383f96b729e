import type { Incident } from "../schemas/index.ts";

/** A stretch of trouble that is known to have happened. */
export interface TruthIncident {
  readonly entity: string;
  readonly entityGroup: string;
  readonly kind: string;
  readonly startMs: number;
  /** Exclusive. */
  readonly endMs: number;
}

export interface TruthReport {
  readonly incidents: number;
  readonly found: number;
  /** Weir's incidents that overlap no known trouble of their group. */
  readonly falseAlerts: number;
  readonly falseAlertsPerMachineDay: number;
  /** From the start of the trouble to the opening of the incident that found it; null if none was found. */
  readonly medianDelayMs: number | null;
  readonly perKind: Readonly<Record<string, { readonly incidents: number; readonly found: number }>>;
}

/** A window looks back 15 minutes, so trouble may show that much later. */
export const truthSlackMs = 15 * 60_000;

type Judged = Pick<
  Incident,
  "incidentId" | "revision" | "entityGroup" | "members" | "openedAtMs" | "updatedAtMs" | "resolvedAtMs"
>;

/**
 * Holds Weir's incidents (all revisions, in any order) against what is known to have happened. Trouble is found by an
 * incident that overlaps [start, end + slack] and has the entity as a member or, failing that, is of its group.
 *
 * `machineDays`: machines watched times days watched.
 */
export function evaluateTruth(
  revisions: readonly Judged[],
  truth: readonly TruthIncident[],
  machineDays: number,
): TruthReport {
  const incidents = lastRevisions(revisions);
  const delays: number[] = [];
  const perKind: Record<string, { incidents: number; found: number }> = {};
  for (const trouble of truth) {
    const kind = perKind[trouble.kind] ?? { incidents: 0, found: 0 };
    perKind[trouble.kind] = kind;
    kind.incidents++;
    const near = incidents.filter((i) => overlaps(i, trouble));
    const ofEntity = near.filter((i) => i.members.includes(trouble.entity));
    const hits = ofEntity.length > 0 ? ofEntity : near.filter((i) => i.entityGroup === trouble.entityGroup);
    if (hits.length === 0) continue;
    kind.found++;
    delays.push(Math.max(0, Math.min(...hits.map((i) => i.openedAtMs)) - trouble.startMs));
  }
  const falseAlerts = incidents.filter(
    (i) => !truth.some((t) => t.entityGroup === i.entityGroup && overlaps(i, t)),
  ).length;
  return {
    incidents: truth.length,
    found: delays.length,
    falseAlerts,
    falseAlertsPerMachineDay: machineDays > 0 ? falseAlerts / machineDays : 0,
    medianDelayMs: median(delays),
    perKind,
  };
}

/** An incident not yet resolved is taken to end with its last update. */
const overlaps = (incident: Judged, trouble: TruthIncident): boolean =>
  incident.openedAtMs <= trouble.endMs + truthSlackMs &&
  (incident.resolvedAtMs ?? incident.updatedAtMs) >= trouble.startMs;

function lastRevisions(revisions: readonly Judged[]): Judged[] {
  const last = new Map<string, Judged>();
  for (const incident of revisions)
    if (incident.revision >= (last.get(incident.incidentId)?.revision ?? 0)) last.set(incident.incidentId, incident);
  return [...last.values()];
}

function median(values: number[]): number | null {
  if (values.length === 0) return null;
  values.sort((a, b) => a - b);
  const middle = values.length >> 1;
  return values.length % 2 === 1 ? values[middle]! : (values[middle - 1]! + values[middle]!) / 2;
}
