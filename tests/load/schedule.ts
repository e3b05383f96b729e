import { setTimeout as sleep } from "node:timers/promises";
import { uniform } from "../experiments/simulation.ts";

/** So many users over so many seconds; with `ramp` they come one after the other over the first two thirds. */
export interface Phase {
  readonly name: string;
  readonly users: number;
  readonly seconds: number;
  readonly ramp: boolean;
  /** Of each user: 2.77, so that ten make the 27.7 a second asked for. */
  readonly requestsPerSecond: number;
}

export interface Arrival {
  readonly atMs: number;
  readonly user: number;
}

/**
 * When each request is due, fixed beforehand: an open loop. Whether earlier ones have been answered plays no part, so that a
 * server which stands still for a second is seen by all requests of that second. Each user's first one is drawn by seed.
 */
export function arrivals({ users, seconds, ramp, requestsPerSecond }: Phase, seed = 1): Arrival[] {
  const random = uniform(seed);
  const everyMs = 1_000 / requestsPerSecond;
  const all: Arrival[] = [];
  for (let user = 0; user < users; user++) {
    const beginMs = ramp ? ((seconds * 1_000 * 2) / 3) * (user / users) : 0;
    for (let atMs = beginMs + random() * everyMs; atMs < seconds * 1_000; atMs += everyMs) all.push({ atMs, user });
  }
  return all.sort((a, b) => a.atMs - b.atMs || a.user - b.user);
}

export interface Sample {
  readonly dueMs: number;
  /** From the moment it was due, not from when it was sent: what waited here counts too. */
  readonly latencyMs: number;
  /** Null: answered as it should be. */
  readonly fault: string | null;
}

/** Sends each request when it is due and waits for all. A request that throws counts with the time it took and its fault. */
export async function drive(due: readonly Arrival[], send: (user: number) => Promise<void>): Promise<Sample[]> {
  const startedAt = performance.now();
  const samples: Promise<Sample>[] = [];
  for (const { atMs, user } of due) {
    const waitMs = startedAt + atMs - performance.now();
    if (waitMs > 0) await sleep(waitMs);
    const done = (fault: string | null): Sample => ({
      dueMs: atMs,
      latencyMs: performance.now() - startedAt - atMs,
      fault,
    });
    samples.push(
      send(user).then(
        () => done(null),
        (error: Error) => done((error as { code?: string }).code ?? error.message),
      ),
    );
  }
  return await Promise.all(samples);
}

export interface Figures {
  readonly requests: number;
  readonly failed: number;
  readonly errorPercent: number;
  readonly requestsPerSecond: number;
  readonly meanMs: number;
  readonly p50Ms: number;
  readonly p95Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  readonly faults: Readonly<Record<string, number>>;
  /** By second of the phase. */
  readonly series: readonly {
    readonly second: number;
    readonly requests: number;
    readonly p50Ms: number;
    readonly p95Ms: number;
  }[];
}

/** By nearest rank. */
export const percentile = (sorted: readonly number[], share: number): number =>
  sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0;

const round = (value: number): number => Math.round(value * 100) / 100;

export function figuresOf(samples: readonly Sample[], seconds: number): Figures {
  const latencies = samples.map((s) => s.latencyMs).sort((a, b) => a - b);
  const failed = samples.filter((s) => s.fault !== null);
  const faults: Record<string, number> = {};
  for (const { fault } of failed) faults[fault!] = (faults[fault!] ?? 0) + 1;
  const bySecond = Map.groupBy(samples, (s) => Math.floor(s.dueMs / 1_000));
  const at = (share: number) => round(percentile(latencies, share));
  return {
    requests: samples.length,
    failed: failed.length,
    errorPercent: round((100 * failed.length) / Math.max(1, samples.length)),
    requestsPerSecond: round(samples.length / seconds),
    meanMs: round(latencies.reduce((sum, ms) => sum + ms, 0) / Math.max(1, latencies.length)),
    p50Ms: at(0.5),
    p95Ms: at(0.95),
    p99Ms: at(0.99),
    maxMs: at(1),
    faults,
    series: [...bySecond].map(([second, own]) => {
      const sorted = own.map((s) => s.latencyMs).sort((a, b) => a - b);
      return {
        second,
        requests: own.length,
        p50Ms: round(percentile(sorted, 0.5)),
        p95Ms: round(percentile(sorted, 0.95)),
      };
    }),
  };
}
