import { below, shuffled, uniform } from "./noise.ts";
import { type FleetOptions, minuteMs } from "./types.ts";

/** The trouble a fleet can get into. */
export const incidentKinds = [
  "cpu-saturation",
  "memory-leak",
  "disk-filling",
  "error-burst",
  "network-loss",
  "silent-host",
  "lock-storm",
] as const;
export type IncidentKind = (typeof incidentKinds)[number];

export interface Incident {
  readonly kind: IncidentKind;
  /** Numbers of the instances it touches. */
  readonly instances: readonly number[];
  /** The service hit, where it is a lock storm: its database suffers too. */
  readonly service: number | null;
  readonly startMs: number;
  readonly endMs: number;
  /** 0.8 to 1: how hard it hits. */
  readonly severity: number;
}

/** The quiet before the first incident. */
const leadMinutes = 30;
/** Each kind comes once in so many minutes for every 60 instances; lead + one cycle is a run of three hours. */
const cycleMinutes = 150;
/** Incidents end so long before their cycle does, so that a run that ends with the cycle can still see them. */
const tailMinutes = 10;

/**
 * All incidents that begin before `endMs`. They depend on the seed and on the start, not on the end: a run that is
 * prolonged later meets the same ones.
 */
export function scheduleIncidents(
  options: FleetOptions,
  services: readonly (readonly number[])[],
  hasDatabase: (service: number) => boolean,
): Incident[] {
  const seed = (options.seed ^ Math.floor(options.startMs / minuteMs)) | 0;
  const incidents: Incident[] = [];
  const firstMs = options.startMs + leadMinutes * minuteMs;
  for (let cycle = 0; firstMs + cycle * cycleMinutes * minuteMs < options.endMs; cycle++) {
    const taken = new Set<number>();
    // Half of a small fleet stays well, so that normal remains normal; the kinds then take turns.
    const room = Math.max(1, Math.floor(options.instances / 2));
    const order = shuffled(options.instances, seed, cycle);
    const sets = Math.max(1, Math.round(options.instances / 60));
    for (let n = 0; n < sets * incidentKinds.length && taken.size < room; n++) {
      const kind = incidentKinds[(n + (room < incidentKinds.length ? cycle * room : 0)) % incidentKinds.length]!;
      const free = order.filter((i) => !taken.has(i));
      const storm = kind === "lock-storm" ? stormed(free, services, hasDatabase) : null;
      const instances = (storm?.instances ?? free.slice(0, 1)).slice(0, room - taken.size);
      for (const i of instances) taken.add(i);
      const shortest = kind === "silent-host" ? 25 : kind === "memory-leak" ? 20 : 15;
      const minutes = shortest + below(46 - shortest, seed, cycle, n, 1);
      const offset = cycle * cycleMinutes + below(cycleMinutes - tailMinutes - minutes, seed, cycle, n, 2);
      const startMs = firstMs + offset * minuteMs;
      if (startMs >= options.endMs) continue;
      const severity = 0.8 + 0.2 * uniform(seed, cycle, n, 3);
      incidents.push({
        kind,
        instances,
        service: storm?.service ?? null,
        startMs,
        endMs: startMs + minutes * minuteMs,
        severity,
      });
    }
  }
  return incidents;
}

/** The first free instance's service, or the next that has a database, and its free instances. */
function stormed(
  free: readonly number[],
  services: readonly (readonly number[])[],
  hasDatabase: (service: number) => boolean,
): { service: number; instances: number[] } {
  const candidates = free.map((i) => services.findIndex((members) => members.includes(i)));
  const service = candidates.find(hasDatabase) ?? candidates[0]!;
  return { service, instances: services[service]!.filter((i) => free.includes(i)) };
}
