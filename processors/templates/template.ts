import { createHash } from "node:crypto";
import { WILDCARD } from "./mask.ts";

export interface Template {
  /** First 16 hex digits of the SHA-256 of `text`: the same in every process, whatever came before. */
  readonly key: string;
  /** Words joined by a space, `<*>` where lines differ. */
  readonly text: string;
  /** Lines taken since it was made. */
  readonly count: number;
  /** Line that made it, counted from 1: its number for life, which no other template of this miner has had. */
  readonly made: number;
  /** What its lines amount to, older ones counting less, as of `weightMinute`; kept up by `mineMinute`. */
  readonly weight: number;
  readonly weightMinute: number;
}

/** All a miner knows of a template, as JSON. Two miners with equal snapshots answer every later line alike. */
export interface TemplateSnapshot {
  readonly tokens: readonly string[];
  /** Branches under the word count; the words that made the template may since have become wildcards. */
  readonly path: readonly string[];
  readonly count: number;
  readonly made: number;
  readonly lastLine: number;
  readonly weight: number;
  readonly weightMinute: number;
}

/** A template as its miner holds it. */
export interface Cluster extends Template {
  key: string;
  text: string;
  count: number;
  weight: number;
  weightMinute: number;
  /** Replaced as a whole when a word becomes a wildcard: snapshots share it. */
  tokens: readonly string[];
  readonly path: readonly string[];
  lastLine: number;
  /** It has no wildcard, neither in its words nor above it. */
  literal: boolean;
}

/** Most are the newest; one that comes back goes where it was. */
export function addInOrder(clusters: Cluster[], cluster: Cluster): void {
  let at = clusters.length;
  while (at > 0 && clusters[at - 1]!.made > cluster.made) at--;
  clusters.splice(at, 0, cluster);
}

/** Puts wildcards where the line differs; false if it differs nowhere. */
export function widen(cluster: Cluster, tokens: readonly string[]): boolean {
  if (cluster.tokens === tokens) return false;
  if (cluster.tokens.every((word, i) => word === tokens[i] || word === WILDCARD)) {
    // Equal words: from here on those of the newest line stand for them.
    if (cluster.literal) cluster.tokens = tokens;
    return false;
  }
  const wider = cluster.tokens.map((word, i) => (word === tokens[i] ? word : WILDCARD));
  Object.assign(cluster, { tokens: wider, ...derived(wider, cluster.path) });
  return true;
}

/** Of a template of a miner, what brings it back. */
export const snapshotOf = (template: Template): TemplateSnapshot => {
  const { tokens, path, count, made, lastLine, weight, weightMinute } = template as Cluster;
  return { tokens, path, count, made, lastLine, weight, weightMinute };
};

export function derived(tokens: readonly string[], path: readonly string[]): Pick<Cluster, "key" | "text" | "literal"> {
  const text = tokens.join(" ");
  const key = createHash("sha256").update(text).digest("hex").slice(0, 16);
  return { key, text, literal: !tokens.includes(WILDCARD) && path.every((word, i) => word === tokens[i]) };
}
