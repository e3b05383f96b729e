import type { ChaosOptions } from "./harness.ts";
import { Deck, type Fault, members, randomFrom } from "./schedule.ts";
import { strike } from "./strike.ts";
import type { World } from "./world.ts";

export interface Struck {
  readonly fault: Fault;
  /** Since the first fault. */
  readonly atMs: number;
  readonly tookMs: number;
}

/**
 * Faults side by side: what befalls different members, the brokers, and the rest of the world does not wait for one
 * another; what befalls one of them comes in turn.
 */
const laneOf = (fault: Fault): string => {
  if (fault.kind === "point" || fault.kind === "kill") return fault.member;
  return fault.kind === "reply" || fault.kind === "broker" ? "network" : "world";
};
const lanes: readonly string[] = [...members, "network", "world"];

/** Named points take longer to be met than other faults: these wait, so that a run that ends early keeps half of them. */
const AHEAD_OF_POINTS = 2;

/**
 * Lets `count` faults strike, or as many as begin within `limitMs`; only what was met counts, and what was not is made
 * up for by another of its kind.
 */
export async function disturb(
  world: World,
  { seed, faults: count, limitMs, kinds }: Pick<ChaosOptions, "seed" | "faults" | "limitMs" | "kinds">,
  say: (line: string, struck?: Struck) => void,
): Promise<readonly Struck[]> {
  const deck = new Deck(seed, count, kinds);
  const struck: Struck[] = [];
  const beganAt = performance.now();
  let open = count;
  let points = 0;
  let others = 0;
  const hasPoints = kinds.includes("point");
  const runLane = async (lane: string, random: () => number) => {
    while (open > 0 && performance.now() < beganAt + limitMs) {
      const fault = deck.next(
        (f) => laneOf(f) === lane && (f.kind === "point" || !hasPoints || others < points + AHEAD_OF_POINTS),
      );
      if (!fault) {
        // Its next one may come up when others have struck.
        await new Promise((resolve) => setTimeout(resolve, 50));
        continue;
      }
      if (fault.kind !== "point") others++;
      const startedAt = performance.now();
      const isMet = await strike(world, fault, random);
      if (!isMet) {
        if (fault.kind !== "point") others--;
        deck.replace(fault);
        say(`not met: ${textOf(fault)}`);
        continue;
      }
      open--;
      if (fault.kind === "point") points++;
      const one = { fault, atMs: Math.round(startedAt - beganAt), tookMs: Math.round(performance.now() - startedAt) };
      struck.push(one);
      say(`${struck.length}/${count} ${textOf(fault)}, ${(one.tookMs / 1_000).toFixed(1)} s`, one);
    }
  };
  await Promise.all(lanes.map((lane, i) => runLane(lane, randomFrom(seed * 31 + i))));
  return struck;
}

/** Faults by kind, and those at named points by stage and step. */
export function tally(struck: readonly Struck[]): { kinds: Record<string, number>; points: Record<string, number> } {
  const kinds: Record<string, number> = {};
  const points: Record<string, number> = {};
  for (const { fault } of struck) {
    kinds[fault.kind] = (kinds[fault.kind] ?? 0) + 1;
    if (fault.kind !== "point") continue;
    const point = `${fault.stage} ${fault.step}`;
    points[point] = (points[point] ?? 0) + 1;
  }
  return { kinds, points };
}

export const textOf = ({ kind, ...what }: Fault): string => [kind, ...Object.values(what)].join(" ");
