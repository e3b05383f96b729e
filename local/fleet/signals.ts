import { bell, drift, hash, uniform } from "./noise.ts";
import type { Happening, Instance } from "./plan.ts";
import { minuteMs } from "./types.ts";

/** What one instance does in one minute. */
export interface MinuteState {
  /** Percent. */
  cpu: number;
  memory: number;
  /** Bytes in the minute. */
  networkIn: number;
  networkOut: number;
  /** Operations in the minute. */
  diskRead: number;
  diskWrite: number;
  /** Expected log lines in the minute. */
  infoRate: number;
  warnRate: number;
  errorRate: number;
  /** Of a request. */
  latencyMs: number;
  /** Trouble or everyday event that speaks out of the log lines. */
  cause: Happening["kind"] | null;
}

const mix = (from: number, to: number, share: number) => from + (to - from) * share;

/** Demand on a service, 0 to 1: the rhythm of the day with a second rise in the evening, quieter weekends. */
export function demand(seed: number, service: number, atMs: number): number {
  const hour = ((atMs / 3_600_000) % 24) + 2 * uniform(seed, service, 0, 21) - 1;
  const bump = (centre: number, width: number) => {
    const away = ((hour - centre + 36) % 24) - 12;
    return Math.exp(-(away * away) / (2 * width * width));
  };
  const day = 0.18 + 0.62 * bump(13.5, 3.5) + 0.35 * bump(20, 2);
  const weekday = (Math.floor(atMs / 86_400_000) + 4) % 7;
  const weekend = weekday === 0 || weekday === 6 ? 0.72 : 1;
  return Math.min(1, day * weekend * (1 + 0.08 * drift(20, seed, service + 500_000, atMs / minuteMs)));
}

/** The instance in the minute that begins at `atMs`, or null while it says nothing at all. */
export function minuteState(seed: number, instance: Instance, atMs: number): MinuteState | null {
  const n = instance.number;
  const minute = Math.floor(atMs / minuteMs);
  const trait = (what: number, low: number, high: number) => mix(low, high, uniform(seed, n, 1_000 + what));
  const noise = (what: number) => bell(seed, n, minute, what);
  const load = demand(seed, instance.service, atMs);
  const busy = load * (1 + 0.1 * drift(6, seed, n + 10_000, minute));

  // Nightly backup: ten minutes of disk traffic at the instance's own hour.
  const backupAt = Math.floor(trait(0, 60, 240));
  const backup = backupAt <= minute % 1440 && minute % 1440 < backupAt + 10;
  const state: MinuteState = {
    cpu: trait(1, 6, 16) + trait(2, 25, 45) * busy + 2 * noise(1),
    memory: trait(3, 35, 55) + 7 * load + 2.5 * drift(180, seed, n + 20_000, minute) + 0.5 * noise(2),
    networkIn: trait(4, 15e6, 60e6) * (0.05 + busy) * Math.exp(0.08 * noise(3)),
    networkOut: trait(5, 20e6, 120e6) * (0.05 + busy) * Math.exp(0.08 * noise(4)),
    diskRead: trait(6, 80, 500) * (0.4 + 0.6 * busy) * Math.exp(0.22 * noise(5)) * (backup ? 3 : 1),
    diskWrite: trait(7, 150, 700) * (0.4 + 0.6 * busy) * Math.exp(0.18 * noise(6)) * (backup ? 1.6 : 1),
    infoRate: 1.4 + 1.6 * load,
    warnRate: 0.05,
    errorRate: 0.012,
    latencyMs: trait(8, 15, 60) * (0.8 + 0.5 * busy),
    cause: null,
  };
  for (const happening of instance.happenings) {
    if (happening.startMs > atMs || atMs >= happening.endMs) continue;
    if (!apply(state, happening, atMs, 1 + 0.5 * drift(4, seed, n + 30_000, minute), uniform(seed, n, minute, 7)))
      return null;
  }
  state.cpu = Math.min(100, Math.max(0.5, state.cpu));
  state.memory = Math.min(99.5, Math.max(1, state.memory));
  return state;
}

/**
 * Bends the minute to what happens in it; false: nothing is heard of the instance. `wave` swings slowly about 1, `u` is
 * the minute's own chance.
 */
function apply(s: MinuteState, h: Happening, atMs: number, wave: number, u: number): boolean {
  const minutesIn = (atMs - h.startMs) / minuteMs;
  const progress = (atMs - h.startMs) / (h.endMs - h.startMs);
  const rising = (minutes: number) => Math.min(1, (minutesIn + 1) / minutes) * h.severity;
  s.cause = h.kind;
  switch (h.kind) {
    case "restart":
      if (minutesIn < 2) return false;
      s.cpu = mix(s.cpu, 60, 1 - (minutesIn - 2) / 4);
      s.memory *= 0.8;
      s.networkIn *= 0.5;
      s.networkOut *= 0.5;
      s.diskRead *= 2;
      return true;
    case "deploy":
      s.cpu += 22 * (1 - minutesIn / 3);
      s.memory *= 0.9;
      s.diskRead *= 1.8;
      s.diskWrite *= 1.5;
      s.warnRate += 0.6;
      return true;
    case "cpu-saturation":
      s.cpu = mix(s.cpu, 100, rising(4) * (0.86 + 0.12 * wave * (0.6 + 0.4 * u)));
      s.networkOut *= 1 - 0.3 * rising(4);
      s.latencyMs *= 1 + 5 * rising(4) * wave;
      s.warnRate += 2 * rising(4) * wave;
      s.errorRate += 0.6 * rising(6);
      return true;
    case "memory-leak":
      s.memory = mix(s.memory, 98, h.severity * Math.min(1, 0.06 + progress ** 0.9));
      s.cpu += 25 * Math.max(0, progress - 0.5) * wave;
      s.latencyMs *= 1 + 2 * progress;
      s.warnRate += 2 * progress * wave;
      s.errorRate += progress > 0.75 ? 2.5 * wave : 0;
      return true;
    case "disk-filling":
      s.diskWrite *= 1 + 7 * rising(3) * wave;
      s.diskRead *= 1 + 0.5 * rising(5) * wave;
      s.cpu += 7 * rising(3) * wave;
      s.warnRate += 1.2 * rising(5);
      s.errorRate += progress > 0.35 ? 4 * progress * wave : 0;
      return true;
    case "error-burst":
      s.cpu += minutesIn < 3 ? 22 : 6 * wave;
      s.errorRate += 9 * rising(2) * wave * (1 - 0.45 * progress);
      s.warnRate += 1.5 * wave;
      s.networkOut *= 0.75;
      s.latencyMs *= 1.6;
      return true;
    case "lock-storm":
      s.cpu *= 1 - 0.45 * rising(3);
      s.memory += 5 * rising(8) * wave;
      s.networkIn *= 1 - 0.35 * rising(3);
      s.networkOut *= 1 - 0.6 * rising(3);
      s.latencyMs *= 1 + 40 * rising(3) * wave;
      s.warnRate += 2.5 * rising(2) * wave;
      s.errorRate += 4 * rising(3) * wave;
      return true;
    case "network-loss": {
      // The link flaps: now and then a minute gets through.
      const through = u < 0.12 ? 0.45 : 0.03 + 0.08 * u * wave;
      s.networkIn *= mix(1, through, h.severity);
      s.networkOut *= mix(1, through, h.severity);
      s.cpu *= 0.65;
      s.latencyMs *= 20;
      s.infoRate *= 0.6;
      s.warnRate += 1.5 * wave;
      s.errorRate += 2.5 * rising(2) * wave;
      return true;
    }
    case "silent-host":
      return false;
  }
}

/** Random words of a log line: stable for the line, whatever else is generated. */
export const lineSeed = (seed: number, source: number, minute: number, index: number): number =>
  hash(seed, source, minute, 40 + index);
