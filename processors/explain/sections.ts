import type { Citation, Incident } from "../../schemas/index.ts";
import { nameOf } from "./hostile.ts";

export const sectionNames = ["rootCause", "impact", "actions", "prevention"] as const;
export type SectionName = (typeof sectionNames)[number];

/** One statement and the ids it rests on: E1 …, or `incident` for the incident's own figures. */
export interface Claim {
  readonly text: string;
  readonly evidence: readonly string[];
}

export type Sections = Readonly<Record<SectionName, readonly Claim[]>>;

/** The id of the incident record itself. */
export const INCIDENT = "incident";

export const MIN_CHARS = 100;
export const MAX_CHARS = 3000;

/** The four texts as people read them: claims with their evidence ids behind them. */
export function written(sections: Sections): Record<SectionName, string> {
  const text = (claims: readonly Claim[]) =>
    claims
      .map((claim) => {
        const ids = claim.evidence.filter((id) => id !== INCIDENT && !claim.text.includes(`[${id}]`));
        return ids.length ? `${claim.text} [${ids.join(", ")}]` : claim.text;
      })
      .join(" ");
  return {
    rootCause: text(sections.rootCause),
    impact: text(sections.impact),
    actions: text(sections.actions),
    prevention: text(sections.prevention),
  };
}

/** Why the texts may not go out, or null: four sections, 100 to 3,000 characters, the incident's type named. */
export function faultOf(texts: Readonly<Record<SectionName, string>>, incident: Incident): string | null {
  const empty = sectionNames.find((name) => texts[name].trim() === "");
  if (empty) return `section ${empty} is empty`;
  const all = sectionNames.map((name) => texts[name]).join("\n");
  if (all.length <= MIN_CHARS) return `${all.length} characters are too few`;
  if (all.length >= MAX_CHARS) return `${all.length} characters are too many`;
  if (!all.toLowerCase().includes(incident.type)) return `the type ${incident.type} is not named`;
  return null;
}

const round = (value: number): string => String(Number(value.toPrecision(4)));
const MINUTE_MS = 60_000;

/** What the incident record itself says, in words: the prompt shows it, and claims may rest on it. */
export function factsOf(incident: Incident): readonly string[] {
  const { members } = incident;
  const minutes = Math.round((incident.updatedAtMs - incident.openedAtMs) / MINUTE_MS);
  return [
    `Type: ${incident.type}. Severity: ${incident.severity}. Service: ${nameOf(incident.entityGroup)}.`,
    `Machines: ${members.length} (${members.slice(0, 5).map(nameOf).join(", ")}).`,
    `Opened at ${timeOf(incident.openedAtMs)}, lasting ${minutes} minutes so far.`,
    `Highest anomaly score: ${round(incident.maxScore)}; anomalous windows: ${incident.anomalyCount}.`,
    ...incident.topFeatures
      .slice(0, 5)
      .map((f) => `${f.name} = ${round(f.value)} (contribution ${round(f.contribution)}).`),
  ];
}

export const timeOf = (ms: number): string => `${new Date(ms).toISOString().slice(0, 16).replace("T", " ")} UTC`;

/** The text a claim with these ids may draw on. */
export function basisOf(ids: readonly string[], citations: readonly Citation[], incident: Incident): string {
  const cited = citations
    .filter((c) => ids.includes(c.id))
    .map((c) => `${nameOf(c.entity)} ${timeOf(c.timestampMs)} ${c.text}`);
  return [...factsOf(incident), ...incident.members.map(nameOf), ...cited].join("\n");
}
