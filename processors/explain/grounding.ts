import type { Citation, Incident } from "../../schemas/index.ts";
import { looksLikeInstruction, neutralise } from "./hostile.ts";
import { basisOf, type Claim, INCIDENT, type Sections, sectionNames } from "./sections.ts";

/**
 * The check that a text keeps to its evidence. It knows no meaning: it holds every number, host, path and code of a
 * claim against the evidence that the claim cites and the incident record, and drops the claim where one is missing.
 */

/** Words in capitals or with a hyphen that name nothing in particular. */
const common = new Set(
  "api apis aws cpu dns http https i/o io ip jvm ram sla slo sql sre ssh tcp tls udp url utc and/or follow-up long-term root-cause short-term real-time time-out up-to-date".split(
    " ",
  ),
);

const tokenPattern = /[\p{L}\p{N}_$/.~-](?:[\p{L}\p{N}_$/.:@%~+-]|(?<=\d),(?=\d{3}))*/gu;
const numberPattern = /^[-+~]?(\d+(?:,\d{3})*(?:\.\d+)?)(%|[a-zµ]{0,3}|minutes?|seconds?|hours?)$/iu;

const tokensOf = (text: string): string[] =>
  (text.match(tokenPattern) ?? []).map((t) => t.replace(/^[.:~-]+(?=\p{L})|[.:@+~/-]+$/gu, "")).filter(Boolean);

interface Quantity {
  readonly value: number;
  readonly decimals: number;
  readonly percent: boolean;
}

function quantityOf(token: string): Quantity | null {
  const match = numberPattern.exec(token);
  if (!match) return null;
  const digits = match[1]!.replaceAll(",", "");
  return { value: Number(digits), decimals: (digits.split(".")[1] ?? "").length, percent: match[2] === "%" };
}

/** A name, code, path or address: something a reader would look up. Plain words are not. */
const isIdentifier = (token: string): boolean =>
  !common.has(token.toLowerCase()) &&
  (/\d/.test(token) ||
    /[\p{L}\p{N}][_/.:@$-][\p{L}\p{N}]/u.test(token) ||
    /^[/$]/.test(token) ||
    /^[A-Z][A-Z0-9_]{2,}$/.test(token) ||
    /\p{Ll}\p{Lu}/u.test(token));

/** The quantities of a text. Digits inside a name (db-10) are no quantity; those of `port:5432` or `time=3` are. */
const quantitiesIn = (text: string): Quantity[] =>
  tokensOf(text)
    .flatMap((token) => (/\p{L}.*[:/]/u.test(token) ? [token, ...token.split(/[:/]/)] : [token]))
    .map(quantityOf)
    .filter((q) => q !== null);

/** Equal, or the evidence's figure rounded to the digits the claim gives; a share may be told in percent. */
const supports = (known: Quantity, claimed: Quantity): boolean => {
  const rounded = (value: number) => Math.abs(value - claimed.value) <= 0.5 * 10 ** -claimed.decimals * (1 + 1e-9);
  const near = known.decimals >= claimed.decimals && rounded(known.value);
  return known.value === claimed.value || near || (claimed.percent && !known.percent && rounded(known.value * 100));
};

/** True if the name stands in the text as a whole: `db-1` does not stand in `db-10`, nor `10.0.3` in `10.0.3.7`. */
function standsIn(text: string, name: string): boolean {
  const hay = text.toLowerCase();
  const needle = name.toLowerCase();
  for (let at = hay.indexOf(needle); at >= 0; at = hay.indexOf(needle, at + 1)) {
    const before = hay.slice(Math.max(0, at - 2), at);
    const after = hay.slice(at + needle.length, at + needle.length + 2);
    if (!/[\p{L}\p{N}_-]$|[\p{L}\p{N}]\.$/u.test(before) && !/^[\p{L}\p{N}_]|^[.-][\p{L}\p{N}]/u.test(after))
      return true;
  }
  return false;
}

/** Why the claim may not be made, or null. */
export function objection(claim: Claim, citations: readonly Citation[], incident: Incident): string | null {
  const ids = new Set([INCIDENT, ...citations.map((c) => c.id)]);
  if (claim.evidence.length === 0) return "cites nothing";
  const foreign = claim.evidence.find((id) => !ids.has(id));
  if (foreign) return `cites ${foreign}, which is not there`;
  if (/:\/\/|\bwww\./i.test(claim.text)) return "holds a link";
  if (looksLikeInstruction(claim.text)) return "speaks as an instruction";
  const basis = basisOf(claim.evidence, citations, incident);
  const quantities = quantitiesIn(basis);
  for (const token of tokensOf(claim.text)) {
    if (claim.evidence.includes(token)) continue;
    const quantity = quantityOf(token);
    if (quantity && !quantities.some((known) => supports(known, quantity))) return `${token} is not in its evidence`;
    if (!quantity && isIdentifier(token) && !standsIn(basis, token)) return `${token} is not in its evidence`;
  }
  return null;
}

/** Fewer words than these state nothing. */
const MIN_WORDS = 4;

export interface Grounded {
  readonly sections: Sections;
  /** Share of the claims that hold. */
  readonly groundedness: number;
  readonly dropped: readonly string[];
}

/** Keeps the claims that say something, say it once and rest on their evidence, made harmless as the log lines were. */
export function ground(sections: Sections, citations: readonly Citation[], incident: Incident): Grounded {
  const dropped: string[] = [];
  const said = new Set<string>();
  let claims = 0;
  const kept = Object.fromEntries(
    sectionNames.map((name) => [
      name,
      sections[name]
        .map((claim) => ({ ...claim, text: neutralise(claim.text) }))
        .filter((claim) => {
          claims++;
          const words = claim.text.toLowerCase().match(/\p{L}{2,}/gu) ?? [];
          const content = words.join(" ");
          const why =
            words.length < MIN_WORDS
              ? "says nothing"
              : said.has(content)
                ? "says the same again"
                : objection(claim, citations, incident);
          said.add(content);
          if (why) dropped.push(`${name}: ${why}`);
          return !why;
        }),
    ]),
  ) as unknown as Sections;
  return { sections: kept, groundedness: claims ? (claims - dropped.length) / claims : 0, dropped };
}
