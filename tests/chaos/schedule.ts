import { type ApiName, apiKeys, type ReplyFault } from "./broker-proxy.ts";

/** Processes of the disturbed run, and the stages that run in each. */
export const crew = {
  bridge: ["bridge"],
  features: ["features"],
  score: ["score", "incidents"],
  lake: ["lake-features", "lake-raw"],
} as const;
export type Member = keyof typeof crew;
export const members = Object.keys(crew) as Member[];

const takeOver = ["T1", "T2", "T3", "T4", "T5", "T6"] as const;
const commit = ["C1", "C2", "C3", "C5", "C6"] as const;
const taskSteps: readonly string[] = [...takeOver, ...commit];
/** Named points by stage. `SHARD_END` is passed only where a shard ends: its fault brings a split. */
export const pointsOf: Readonly<Record<string, readonly string[]>> = {
  bridge: ["READ", "SEND", "COMMIT", "COMMITTED", "SHARD_END"],
  features: taskSteps,
  score: taskSteps,
  incidents: taskSteps,
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
  | { readonly kind: "zombie"; readonly member: Member }
  | { readonly kind: "reshard"; readonly how: "split" | "merge" }
  | { readonly kind: "scale"; readonly member: Member }
  | { readonly kind: "outage"; readonly component: "registry" | "s3" | "triton" };
export type Kind = Fault["kind"];

/** In a hundred faults. At least half stand at named points. */
const shares: Readonly<Record<Kind, number>> = {
  point: 58,
  kill: 20,
  reply: 10,
  reshard: 4,
  broker: 2,
  outage: 3,
  scale: 2,
  zombie: 1,
};
export const kinds = Object.keys(shares) as Kind[];

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
  // Points take turns, so that a hundred faults meet them all.
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
        return { kind, ...nextPoint(), passes: 1 + Math.floor(random() * 3) };
      case "kill":
      case "zombie":
        return { kind, member: pick(members) };
      case "scale":
        return { kind, member: pick(["features", "score"]) };
      case "reply":
        return {
          kind,
          api: pick(Object.keys(apiKeys) as ApiName[]),
          fault: pick(["cut", "swallow", "delay"] as const),
          delayMs: 200 + Math.floor(random() * 1_500),
        };
      case "broker":
        return { kind };
      case "reshard":
        return { kind, how: pick(["split", "merge"]) };
      case "outage":
        return { kind, component: pick(["registry", "s3", "triton"]) };
    }
  };
  return wanted.map(faultOf);
}

/** Whether a step is passed only while a task is being taken over: the process has to be started anew to meet it. */
export const isOfTakeOver = (step: string): boolean => (takeOver as readonly string[]).includes(step);
