import type { RoutingConfig } from "../schemas/index.ts";
import { murmur3 } from "./murmur3.ts";

/** Weights are percent, so a bucket is a hundredth of one. */
export const BUCKETS = 10_000;

/**
 * Two arms at most. With two, a share is a prefix of the buckets: a change of weights moves exactly as many buckets as
 * it must, there and back. With three, no rule without memory can do that.
 */
const MAX_ARMS = 2;

export function bucketOf(salt: string, entity: string): number {
  return murmur3(entity, murmur3(salt, 0)) % BUCKETS;
}

/**
 * The arm whose verdict counts for an entity, as an index into `config.arms`.
 *
 * split, canary: by bucket; the first arm has the lowest buckets. shadow: the first arm, the second is only recorded.
 * off: the first arm and nothing else; this is the kill switch of an experiment.
 */
export function armChooser(config: RoutingConfig): (entity: string) => number {
  if (config.mode === "off" || config.mode === "shadow" || config.arms.length < 2) return () => 0;
  const seed = murmur3(config.salt, 0);
  const firstArmBuckets = (config.arms[0]!.weight * BUCKETS) / 100;
  return (entity) => (murmur3(entity, seed) % BUCKETS < firstArmBuckets ? 0 : 1);
}

/** The version in force at a window's end: the greatest `effectiveFromMs` not after it, then the greatest version. */
export function routingFor(windowEndMs: number, versions: readonly RoutingConfig[]): RoutingConfig | null {
  let best: RoutingConfig | null = null;
  for (const v of versions) {
    if (v.effectiveFromMs > windowEndMs) continue;
    const newer = v.effectiveFromMs - (best?.effectiveFromMs ?? -1) || v.version - (best?.version ?? -1);
    if (newer > 0) best = v;
  }
  return best;
}

/** Everything that is wrong with a routing record; empty if it may be used. */
export function validateRouting(
  config: RoutingConfig,
  isKnown: (model: string, version: string) => boolean,
): readonly string[] {
  const faults: string[] = [];
  const { arms } = config;
  if (!Number.isInteger(config.version) || config.version < 0)
    faults.push(`version ${config.version} is no number ≥ 0`);
  if (!Number.isSafeInteger(config.effectiveFromMs) || config.effectiveFromMs < 0)
    faults.push(`effectiveFromMs ${config.effectiveFromMs} is no time`);
  if (config.salt === "") faults.push("salt is empty");
  if (arms.length < 1 || arms.length > MAX_ARMS) faults.push(`${arms.length} arms; 1 or ${MAX_ARMS} are possible`);
  if (config.mode === "shadow" && arms.length !== 2) faults.push("mode shadow needs a second arm");
  const sum = arms.reduce((total, arm) => total + arm.weight, 0);
  if (sum !== 100) faults.push(`weights add up to ${sum}, not 100`);
  for (const arm of arms) {
    const name = `${arm.model} version ${arm.modelVersion || "(none)"}`;
    if (!Number.isInteger(arm.weight) || arm.weight < 0) faults.push(`${name}: weight ${arm.weight} is no share`);
    if (arm.modelVersion === "" || !isKnown(arm.model, arm.modelVersion)) faults.push(`${name} is not known`);
  }
  if (new Set(arms.map((arm) => `${arm.model}/${arm.modelVersion}`)).size < arms.length)
    faults.push("both arms are the same model version");
  return faults;
}

/** The routing versions of one family that were found good. A bad record changes nothing: the last good ones stay. */
export class RoutingTable {
  readonly family: string;
  readonly #isKnown: (model: string, version: string) => boolean;
  readonly #versions = new Map<number, RoutingConfig>();

  constructor(family: string, isKnown: (model: string, version: string) => boolean) {
    this.family = family;
    this.#isKnown = isKnown;
  }

  /** Takes a record of the routing topic. Returns what is wrong with it; empty: accepted, or of another family. */
  offer(config: RoutingConfig): readonly string[] {
    if (config.family !== this.family) return [];
    const faults = [...validateRouting(config, this.#isKnown)];
    const before = this.#versions.get(config.version);
    if (before && JSON.stringify(before) !== JSON.stringify(config))
      faults.push(`version ${config.version} exists already and is never changed`);
    if (faults.length === 0) this.#versions.set(config.version, config);
    return faults;
  }

  versions(): readonly RoutingConfig[] {
    return [...this.#versions.values()].sort((a, b) => a.version - b.version);
  }

  routingFor(windowEndMs: number, versions: readonly RoutingConfig[]): RoutingConfig | null {
    return routingFor(windowEndMs, versions);
  }

  armChooser(config: RoutingConfig): (entity: string) => number {
    return armChooser(config);
  }
}
