import type { Citation, Incident } from "../../schemas/index.ts";
import { looksLikeInstruction, nameOf } from "./hostile.ts";
import { type Claim, INCIDENT, type Sections } from "./sections.ts";

const MAX_QUOTE_CHARS = 140;
const round = (value: number): string => String(Number(value.toPrecision(4)));

/** Advice by type. It names no number and no machine: those come from the incident. */
const advice: Readonly<Record<string, { check: string; prevent: string }>> = {
  cpu: {
    check: "Look which process takes the cpu time, compare with the last deploy, and move or shed load.",
    prevent: "Alert on a cpu trend before saturation and review capacity and limits of this service.",
  },
  memory: {
    check: "Look which process grows in memory, take a heap profile, and restart it before it is killed.",
    prevent: "Set memory limits, watch the memory slope after each deploy and find the leak.",
  },
  network: {
    check: "Test the network path to the peers named in the log lines and look for drops and resets.",
    prevent: "Add retries with backoff and watch network errors per peer.",
  },
  disk: {
    check: "Free space on the disk or extend it, and find what writes.",
    prevent: "Rotate and expire files on this disk and alert on the time left until it is full.",
  },
  errors: {
    check:
      "Read the errors cited, compare with the last deploy or configuration change, and roll it back if they began with it.",
    prevent: "Cover the failing path with a test and hold a deploy when its errors rise.",
  },
  silence: {
    check:
      "Check whether the machine runs and can be reached, then its agent and its log delivery: silence of both tells little apart.",
    prevent: "Watch the agent itself and alert on missing telemetry by log group.",
  },
  mixed: {
    check:
      "Several kinds of signals moved together, a mixed picture: begin with the earliest log line cited and the last change.",
    prevent: "Once the cause is known, add a signal that shows it by itself.",
  },
};

/** The words of a log line that may stand in a text: whole words, no links, nothing overlong. */
function quote(text: string): string {
  const words: string[] = [];
  let chars = 0;
  for (const word of text.split(" ")) {
    if (chars + word.length + 1 > MAX_QUOTE_CHARS) break;
    if (word.length > 60 || word.includes("://") || /^www\./i.test(word)) continue;
    words.push(word);
    chars += word.length + 1;
  }
  return words.join(" ");
}

/**
 * An explanation without a language model, out of the incident's own figures and the evidence found. Each of its
 * sentences cites what it says, so it passes the same check as a model's text.
 */
export function templateFor(incident: Incident, citations: readonly Citation[]): Sections {
  const { type, topFeatures } = incident;
  const entityGroup = nameOf(incident.entityGroup);
  const members = incident.members.map(nameOf);
  const own = (text: string): Claim => ({ text, evidence: [INCIDENT] });
  const machines = members.length === 1 ? `machine ${members[0]}` : `${members.length} machines of ${entityGroup}`;
  const strongest = topFeatures.slice(0, 3).map((f) => `${f.name} = ${round(f.value)}`);
  const what =
    type === "silence"
      ? `An incident of type silence: ${machines} stopped sending telemetry.`
      : `An incident of type ${type} on ${machines}.${strongest.length ? ` What deviated most: ${strongest.join(", ")}.` : ""}`;
  const told = citations
    .filter((c) => !looksLikeInstruction(c.text) && quote(c.text) !== "")
    .slice(0, 2)
    .map((c): Claim => ({ text: `The log of ${nameOf(c.entity)} says: “${quote(c.text)}”.`, evidence: [c.id] }));
  const { check, prevent } = advice[type] ?? advice.mixed!;
  const names = members.slice(0, 5).join(", ") + (members.length > 5 ? " and others" : "");
  return {
    rootCause: [
      own(what),
      ...(told.length ? told : [own("No log line near it tells the cause: the evidence is insufficient.")]),
    ],
    impact: [
      own(`Affected is service ${entityGroup} with severity ${incident.severity}: ${names}.`),
      own(`Anomalous windows: ${incident.anomalyCount}, highest score ${round(incident.maxScore)}.`),
    ],
    actions: [own(check)],
    prevention: [own(prevent)],
  };
}
