import type { FeatureContribution, Severity } from "../../schemas/index.ts";

export const incidentTypes = ["cpu", "memory", "network", "disk", "errors", "silence", "mixed"] as const;
export type IncidentType = (typeof incidentTypes)[number];

/** What a feature is about, by its name; the first rule that fits. Calendar and unknown columns tell nothing. */
const rules: readonly (readonly [RegExp, IncidentType])[] = [
  [/error|warn|critical|fatal|exception|timeouts?_count|log_count|5xx|template/i, "errors"],
  [/cpu|(^|_)load(_|$)|steal|iowait/i, "cpu"],
  [/mem|swap|heap|(^|_)s[io](_|$)/i, "memory"],
  [/disk|filesystem|inode|(^|_)fs(_|$)/i, "disk"],
  [/net|eth\d|tcp|udp|segs|opens|estab|retrans|listen|rsts|in_errs/i, "network"],
];

export function aspectOf(featureName: string): IncidentType | null {
  // SMD's interface counters carry "errs" and "timeouts" in their names, but count packets.
  if (/tcp|udp|segs|in_errs/i.test(featureName)) return "network";
  return rules.find(([pattern]) => pattern.test(featureName))?.[1] ?? null;
}

/** Adds a row's upward contributions (log-odds) to the sums per aspect. Contributions that speak against count nothing. */
export function addContributions(
  sums: Readonly<Record<string, number>>,
  features: readonly FeatureContribution[],
): Record<string, number> {
  const next = { ...sums };
  for (const f of features) {
    const aspect = aspectOf(f.name);
    if (aspect && f.contribution > 0) next[aspect] = (next[aspect] ?? 0) + f.contribution;
  }
  return next;
}

/** The aspect that holds at least half of what contributed; without one the incident is mixed. */
export function typeOf(sums: Readonly<Record<string, number>>): IncidentType {
  const total = Object.values(sums).reduce((a, b) => a + b, 0);
  const found = incidentTypes.find((type) => (sums[type] ?? 0) * 2 >= total);
  return total > 0 && found ? found : "mixed";
}

/**
 * What the deduplication key holds of the type: coarse, so that one trouble that shows first in the CPU and next time
 * in memory is the same trouble to those who are paged.
 */
export function familyOf(type: IncidentType): "resources" | "errors" | "silence" {
  return type === "errors" || type === "silence" ? type : "resources";
}

export const severities: readonly Severity[] = ["low", "medium", "high", "critical"];

/**
 * One step up each for a score far over the operating point (0.85), for three members and for half an hour. A silent
 * machine is at least medium: it may be gone.
 */
export function severityOf(incident: {
  readonly maxScore: number;
  readonly members: number;
  readonly durationMs: number;
  readonly silent: boolean;
}): Severity {
  const steps =
    (incident.maxScore >= 0.95 ? 1 : 0) +
    (incident.members >= 3 ? 1 : 0) +
    (incident.durationMs >= 30 * 60_000 ? 1 : 0);
  return severities[Math.max(steps, incident.silent ? 1 : 0)]!;
}
