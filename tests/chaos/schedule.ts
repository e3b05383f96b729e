import { type ApiName, apiKeys, type ReplyFault } from "./broker-proxy.ts";

/** Processes of the disturbed run, and the stages that run in each. */
export const crew = {
  bridge: ["bridge"],
  features: ["features"],
  score: ["score"],
  incidents: ["incidents"],
  explain: ["explain"],
  control: ["measure", "control"],
  lake: ["lake-features", "lake-raw"],
} as const;
export type Member = keyof typeof crew;
export const members = Object.keys(crew) as Member[];
/** What `weir run` is told to be. */
export const rolesOf: Readonly<Record<Member, readonly string[]>> = {
  bridge: ["bridge"],
  features: ["features"],
  score: ["score"],
  incidents: ["incidents"],
  explain: ["explain"],
  control: ["control"],
  lake: ["lake"],
};

const takeOver = ["T1", "T2", "T3", "T4", "T5", "T6"] as const;
const commit = ["C1", "C2", "C3", "C4", "C5", "C6"] as const;
const taskSteps: readonly string[] = [...takeOver, ...commit];
/**
 * Named points by stage. `SHARD_END` is passed only where a shard ends: its fault brings a split or a merge. C4 comes
 * every five seconds of a task's life.
 */
export const pointsOf: Readonly<Record<string, readonly string[]>> = {
  bridge: ["READ", "SEND", "COMMIT", "COMMITTED", "SHARD_END"],
  features: taskSteps,
  score: taskSteps,
  incidents: taskSteps,
  explain: taskSteps,
  measure: taskSteps,
  control: taskSteps,
  "lake-features": ["UPLOAD", "UPLOADED"],
  "lake-raw": ["UPLOAD", "UPLOADED"],
};

export type Fault =
  | {
      readonly kind: "point";
      readonly member: Member;
      readonly stage: string;
      readonly step: string;
      readonly passes: number;
    }
  | { readonly kind: "kill"; readonly member: Member }
  | { readonly kind: "reply"; readonly api: ApiName; readonly fault: ReplyFault; readonly delayMs: number }
  | { readonly kind: "broker" }
  /** Stopped for longer than a transaction lives, then woken up: while another took over, or as the rightful owner. */
  | { readonly kind: "zombie"; readonly member: Member; readonly replaced: boolean }
  | { readonly kind: "reshard"; readonly how: "split" | "merge" }
  | { readonly kind: "scale"; readonly member: Member }
  /** Killed and started again: connections are refused. Frozen: they hang. */
  | { readonly kind: "outage"; readonly component: Outside; readonly how: "killed" | "frozen"; readonly forMs: number };
export type Outside = "registry" | "s3" | "triton";
export type Kind = Fault["kind"];

/** In a hundred faults. At least half stand at named points. */
const shares: Readonly<Record<Kind, number>> = {
  point: 59,
  kill: 20,
  reply: 10,
  reshard: 4,
  broker: 1,
  outage: 3,
  scale: 2,
  zombie: 1,
};
export const kinds = Object.keys(shares) as Kind[];

/** A swallowed one costs its task twelve seconds, in which it meets no other fault. */
const replyFaults: readonly ReplyFault[] = ["cut", "cut", "delay", "delay", "swallow"];

/** mulberry32: public domain, by Tommy Ettinger. */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * The faults of a run, all from the seed. Their kinds follow the shares exactly, as far as whole numbers allow, so that
 * short runs too see at least half of their faults at named points; which and in what order is drawn.
 */
export function draw(seed: number, count: number, only: readonly Kind[] = kinds): Fault[] {
  const random = randomFrom(seed);
  const pick = <T>(of: readonly T[]): T => of[Math.floor(random() * of.length)]!;
  const total = only.reduce((sum, kind) => sum + shares[kind], 0);
  const wanted: Kind[] = [];
  let sum = 0;
  for (const kind of only) {
    sum += shares[kind];
    while (wanted.length < Math.round((sum / total) * count)) wanted.push(kind);
  }
  for (let i = wanted.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [wanted[i], wanted[j]] = [wanted[j]!, wanted[i]!];
  }
  // Points take turns, so that a hundred and fifty faults meet them all.
  const points = members.flatMap((member) =>
    crew[member].flatMap((stage) => pointsOf[stage]!.map((step) => ({ member, stage, step }))),
  );
  const bag: (typeof points)[number][] = [];
  const nextPoint = () => {
    if (bag.length === 0) bag.push(...points);
    return bag.splice(Math.floor(random() * bag.length), 1)[0]!;
  };
  const faultOf = (kind: Kind): Fault => {
    switch (kind) {
      case "point":
        return pointFault(nextPoint(), random);
      case "kill":
        return { kind, member: pick(members) };
      case "zombie":
        return { kind, member: pick(members), replaced: random() < 0.5 };
      case "scale":
        return { kind, member: pick(members.filter((member) => member !== "bridge")) };
      case "reply":
        return {
          kind,
          api: pick(Object.keys(apiKeys) as ApiName[]),
          fault: pick(replyFaults),
          delayMs: 200 + Math.floor(random() * 1_500),
        };
      case "broker":
        return { kind };
      case "reshard":
        return { kind, how: pick(["split", "merge"]) };
      case "outage":
        return {
          kind,
          component: pick(["registry", "s3", "triton"]),
          how: pick(["killed", "frozen"]),
          forMs: 1_000 + Math.floor(random() * 4_000),
        };
    }
  };
  return wanted.map(faultOf);
}

/** Rare steps are met at the first pass, as are the commits of a stage that seldom has any; the others at one of the first three. */
function pointFault(point: { member: Member; stage: string; step: string }, random: () => number): Fault {
  const { stage, step } = point;
  const rare = ["C4", "SHARD_END", "UPLOAD", "UPLOADED"].includes(step) || (stage === "explain" && !isOfTakeOver(step));
  return { kind: "point", ...point, passes: rare ? 1 : 1 + Math.floor(random() * 3) };
}

/** So far ahead faults other than points are taken: without a bound, kinds that strike at once would all come first. */
const AHEAD = 24;

/** All that a run may meet: the faults of its seed, then as many more of the kinds that were not met as are asked for. */
export class Deck {
  readonly #seed: number;
  readonly #left: Fault[];
  #drawn = 0;

  constructor(seed: number, count: number, only?: readonly Kind[]) {
    this.#seed = seed;
    this.#left = draw(seed, count, only);
  }

  /** The next fault that `fits`; undefined if there is none yet. */
  next(fits: (fault: Fault) => boolean): Fault | undefined {
    const at = this.#left.findIndex((fault, i) => (fault.kind === "point" || i < AHEAD) && fits(fault));
    return at < 0 ? undefined : this.#left.splice(at, 1)[0];
  }

  /** Another one of its kind instead of one that was not met. */
  replace({ kind }: Fault): void {
    this.#left.push(...draw(this.#seed + 1_000_003 * ++this.#drawn, 1, [kind]));
  }
}

/** Whether a step is passed only while a task is being taken over: the process has to be started anew to meet it. */
export const isOfTakeOver = (step: string): boolean => (takeOver as readonly string[]).includes(step);
