import type { TaskStep } from "../../streams/task/binding.ts";
import { type CallFault, type CallName, SeededRandom } from "../../streams/testing/index.ts";

/** One named point in the life of a slot's newest process: the `nth` time it comes there, over all its processes. */
export interface Point {
  readonly slot: number;
  readonly step: TaskStep;
  readonly nth: number;
}

/**
 * What happens to a run. A slot is one stage on some partitions; its process is replaced when it dies.
 *
 *   kill     the process dies right before the step has its effect; another starts after `downMs`
 *   pause    it stands still for `forMs`; if `replaceMs` is a number, another is started then, and the first is a zombie
 *   twin     a second process starts on the same slot while the first still works: an unclean rebalance
 *   stop     the process is asked to stop, another starts after `downMs`
 *   call     one call to the broker goes wrong
 *   move     the transaction coordinator is away for a while
 *   compact  the cleaner runs over the changelogs
 *   unmarked transactions that end for a while leave no marker anywhere
 *   hold     a stranger's transaction stands open on the changelogs for a while, then aborts
 */
export type Fault =
  | ({ readonly kind: "kill"; readonly downMs: number } & Point)
  | ({ readonly kind: "pause"; readonly forMs: number; readonly replaceMs: number | null } & Point)
  | { readonly kind: "twin"; readonly slot: number; readonly atMs: number }
  | { readonly kind: "stop"; readonly slot: number; readonly atMs: number; readonly downMs: number }
  | {
      readonly kind: "call";
      readonly slot: number;
      readonly call: CallName;
      readonly nth: number;
      readonly fault: CallFault;
    }
  | { readonly kind: "move"; readonly atMs: number; readonly forMs: number }
  | { readonly kind: "compact"; readonly atMs: number }
  | { readonly kind: "unmarked"; readonly atMs: number; readonly forMs: number }
  | { readonly kind: "hold"; readonly atMs: number; readonly forMs: number };

export interface Schedule {
  readonly seed: number;
  readonly faults: readonly Fault[];
}

const takeOverSteps = ["T1", "T2", "T3", "T4", "T5", "T6"] as const;
const commitSteps = ["C1", "C2", "C3", "C4", "C5", "C6"] as const;
/** How often a call is made in an undisturbed run, roughly: a fault beyond it would never strike. */
const callsUpTo: Readonly<Partial<Record<CallName, number>>> = {
  "list-offsets": 6,
  fetch: 40,
  init: 2,
  "describe-transaction": 4,
  "describe-producers": 12,
  "add-partitions": 12,
  produce: 40,
  commit: 12,
  join: 2,
  heartbeat: 6,
};
const calls = Object.keys(callsUpTo) as CallName[];
const MAX_FAULTS = 6;
/** Longer than the transaction timeout of ten seconds. */
const LONG_MS = 15_000;

/** A schedule out of a seed. `spanMs`: how long an undisturbed run takes. */
export function scheduleOf(seed: number, slots: number, spanMs: number): Schedule {
  const random = new SeededRandom(seed);
  const count = random.between(1, MAX_FAULTS);
  return { seed, faults: Array.from({ length: count }, () => faultOf(random, slots, spanMs)) };
}

function faultOf(random: SeededRandom, slots: number, spanMs: number): Fault {
  const slot = random.between(0, slots - 1);
  const atMs = random.between(0, spanMs);
  const point = (): Point => {
    const taking = random.next() < 0.35;
    if (taking) return { slot, step: random.pick(takeOverSteps), nth: random.between(0, 3) };
    const step = random.pick(commitSteps);
    return { slot, step, nth: random.between(0, step === "C4" ? 0 : 12) };
  };
  const shortOrLongMs = () => (random.next() < 0.7 ? random.between(1, 200) : random.between(1_000, LONG_MS));
  const kind = random.pick([
    "kill",
    "kill",
    "pause",
    "call",
    "call",
    "call",
    "twin",
    "stop",
    "move",
    "compact",
    "unmarked",
    "hold",
  ] as const);
  switch (kind) {
    case "kill":
      return { kind: "kill", ...point(), downMs: random.between(0, 300) };
    case "pause":
      return {
        kind: "pause",
        ...point(),
        forMs: shortOrLongMs(),
        replaceMs: random.next() < 0.7 ? random.between(0, 300) : null,
      };
    case "twin":
      return { kind: "twin", slot, atMs };
    case "stop":
      return { kind: "stop", slot, atMs, downMs: random.between(0, 100) };
    case "move":
    case "unmarked":
    case "hold":
      return { kind, atMs, forMs: shortOrLongMs() };
    case "compact":
      return { kind: "compact", atMs };
    case "call": {
      const call = random.pick(calls);
      const nth = random.between(0, callsUpTo[call]!);
      const fault = random.pick(["lose-request", "late-request", "lose-reply", "delay-reply"] as const);
      return { kind: "call", slot, call, nth, fault: { kind: fault, ms: shortOrLongMs() } };
    }
  }
}

/** The smallest schedule that still fails: faults are left out one by one, then their times made short. */
export async function shrink(schedule: Schedule, fails: (candidate: Schedule) => Promise<boolean>): Promise<Schedule> {
  let { faults } = schedule;
  const attempt = async (candidate: readonly Fault[]): Promise<boolean> => {
    if (!(await fails({ ...schedule, faults: candidate }))) return false;
    faults = candidate;
    return true;
  };
  for (let i = 0; i < faults.length; ) if (!(await attempt(faults.filter((_, j) => j !== i)))) i++;
  for (let i = 0; i < faults.length; i++)
    for (const simpler of simplerThan(faults[i]!)) if (await attempt(faults.with(i, simpler))) break;
  return { ...schedule, faults };
}

function simplerThan(fault: Fault): Fault[] {
  if (fault.kind === "call") return [1, 100].map((ms) => ({ ...fault, fault: { ...fault.fault, ms } }));
  if (fault.kind === "kill" || fault.kind === "stop") return [{ ...fault, downMs: 0 }];
  if (fault.kind === "pause") return [50, 11_000].map((forMs) => ({ ...fault, forMs }));
  if (fault.kind === "move" || fault.kind === "unmarked" || fault.kind === "hold") return [{ ...fault, forMs: 50 }];
  return [];
}
