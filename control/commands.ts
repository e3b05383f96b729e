import { type LadderName, ladders } from "../trainer/index.ts";

/** `model/version`, as people write an arm. */
export interface ModelVersion {
  readonly model: string;
  readonly version: string;
}

export const modelVersionText = ({ model, version }: ModelVersion): string => `${model}/${version}`;

export function parseModelVersion(text: string): ModelVersion | null {
  const [, model, version] = /^([A-Za-z0-9_.-]+)\/([1-9]\d*)$/.exec(text) ?? [];
  return model !== undefined && version !== undefined ? { model, version } : null;
}

interface Asked {
  /** Names the command in the decision that answers it. */
  readonly id: string;
  readonly experiment: string;
  readonly author: string;
}

/** A canary that climbs a ladder (R44): looked at each minute, withdrawn on harm. */
export interface StartCanary extends Asked {
  readonly action: "start-canary";
  readonly challenger: string;
  /** Null: the arm with the largest share in force. */
  readonly champion: string | null;
  readonly ladder: LadderName;
}

/** A comparison at a held weight, judged by labels (R45). */
export interface StartComparison extends Asked {
  readonly action: "start-comparison";
  readonly challenger: string;
  readonly champion: string | null;
  readonly compare: "split" | "paired";
  readonly weightPercent: number;
  readonly durationMs: number;
  readonly labelDelayMs: number;
  readonly leastRows: number;
  readonly leastEntities: number;
  readonly leastGain: number;
  /** Labelled rows of the challenger that are hoped for: they set where the early test is sharpest, nothing else. */
  readonly expectedRows: number;
}

/** A person's verdict ends the experiment: the challenger gets all, or what was before comes back. */
export interface Decide extends Asked {
  readonly action: "promote" | "keep";
  readonly reason: string;
}

/** An alert that concerns the challenger began or ended; a firing one withdraws it at the next look. */
export interface Alert extends Asked {
  readonly action: "alert";
  readonly alert: string;
  readonly firing: boolean;
}

export type Command = StartCanary | StartComparison | Decide | Alert;

const isText = (value: unknown): value is string =>
  typeof value === "string" && value.length > 0 && value.length <= 200;
const isWhole = (value: unknown, least: number): boolean => Number.isSafeInteger(value) && (value as number) >= least;
const isShare = (value: unknown): boolean => typeof value === "number" && value >= 0 && value < 1;
const isArm = (value: unknown): boolean => typeof value === "string" && parseModelVersion(value) !== null;

/** A command from its JSON, or everything that is wrong with it. */
export function parseCommand(json: string): { readonly command: Command } | { readonly faults: readonly string[] } {
  let given: Record<string, unknown>;
  try {
    given = JSON.parse(json) as Record<string, unknown>;
  } catch (error) {
    return { faults: [`it is no JSON: ${(error as Error).message}`] };
  }
  if (typeof given !== "object" || given === null) return { faults: ["it is no object"] };
  const faults: string[] = [];
  const need = (holds: boolean, fault: string) => {
    if (!holds) faults.push(fault);
  };
  need(isText(given.id), "id is no text");
  need(isText(given.author), "author is no text");
  need(
    typeof given.experiment === "string" && /^[a-z0-9][a-z0-9-]{0,62}$/.test(given.experiment),
    "experiment must be small letters, digits and hyphens, at most 63",
  );
  if (given.action === "start-canary" || given.action === "start-comparison") {
    need(isArm(given.challenger), "challenger must be model/version");
    need(given.champion === null || isArm(given.champion), "champion must be model/version or null");
  }
  if (given.action === "start-canary")
    need(typeof given.ladder === "string" && Object.hasOwn(ladders, given.ladder), "ladder is normal or emergency");
  else if (given.action === "start-comparison") {
    need(given.compare === "split" || given.compare === "paired", "compare is split or paired");
    need(isWhole(given.weightPercent, 1) && (given.weightPercent as number) < 100, "weightPercent is 1 to 99");
    need(isWhole(given.durationMs, 60_000), "durationMs is at least a minute");
    need(isWhole(given.labelDelayMs, 0), "labelDelayMs is at least 0");
    need(isWhole(given.leastRows, 1) && isWhole(given.expectedRows, 1), "leastRows and expectedRows are at least 1");
    need(isWhole(given.leastEntities, 2), "leastEntities is at least 2");
    need(isShare(given.leastGain), "leastGain is a share");
  } else if (given.action === "alert")
    need(isText(given.alert) && typeof given.firing === "boolean", "alert needs a name and whether it fires");
  else if (given.action === "promote" || given.action === "keep")
    need(typeof given.reason === "string" && given.reason.length <= 2_000, "reason is a text");
  else faults.push(`action ${JSON.stringify(given.action)} is unknown`);
  return faults.length > 0 ? { faults } : { command: given as unknown as Command };
}
