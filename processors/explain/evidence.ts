import type { Citation, Incident } from "../../schemas/index.ts";
import { neutralise } from "./hostile.ts";
import { Redactor } from "./redact.ts";

/** One log event as the evidence offsets led to it. */
export interface EvidenceLine {
  readonly entity: string;
  readonly timestampMs: number;
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly eventId: string;
  readonly text: string;
}

/** A piece of a line: neutralised, redacted, at most 512 characters. `seen` lines of its entity look like it. */
export interface Chunk extends EvidenceLine {
  readonly chunk: number;
  readonly seen: number;
}

/** A chunk found again, with its cosine similarity; 0 for one that was ranked by its words. */
export interface Hit extends Omit<EvidenceLine, "eventId"> {
  readonly similarity: number;
}

/** What was found out about an incident for its explanation. */
export interface Gathered {
  /** E1 … E5, the most telling first. */
  readonly citations: readonly Citation[];
  /** How they were found: by similarity, by words because the index did not answer, or there was nothing to read. */
  readonly way: "search" | "lexical" | "none";
  readonly embeddingMs: number;
  readonly searchMs: number;
  /** Wall clock when the search was over. */
  readonly atMs: number;
}

export const MAX_CITATIONS = 5;
export const MIN_SIMILARITY = 0.5;
export const MAX_CHUNK_CHARS = 512;
/** Of one event: the head of a stack trace says most. */
const MAX_CHUNKS_A_LINE = 4;
/** Of one incident: what goes to the embedding model. */
const MAX_CHUNKS = 24;

export function chunksOf(text: string): string[] {
  const chunks: string[] = [];
  let rest = text;
  while (rest && chunks.length < MAX_CHUNKS_A_LINE) {
    const space = rest.length > MAX_CHUNK_CHARS ? rest.lastIndexOf(" ", MAX_CHUNK_CHARS) : -1;
    let at = space > MAX_CHUNK_CHARS / 2 ? space : MAX_CHUNK_CHARS;
    // Not through the middle of a character outside the basic plane.
    if (/[\ud800-\udbff]/.test(rest[at - 1] ?? "") && at < rest.length) at--;
    chunks.push(rest.slice(0, at).trimEnd());
    rest = rest.slice(at).trimStart();
  }
  return chunks;
}

/** The line without what changes from one to the next: ids, numbers, quoted values. */
export const masked = (text: string): string =>
  text
    .replace(/\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/gi, "#")
    .replace(/\b0x[0-9a-f]+\b|\b(?=[0-9a-f]*\d)[0-9a-f]{8,}\b/gi, "#")
    .replace(/\d+/g, "#");

const alarming: readonly (readonly [RegExp, number])[] = [
  [/\b(?:fatal|critical|panic|emerg|oom|out of memory|killed|segfault|deadlock|corrupt)/i, 4],
  [
    /\b(?:error|exception|fail(?:ed|ure)?|refused|denied|unreachable|timed? ?out|etimedout|enospc|no space|5\d\d)\b/i,
    3,
  ],
  [/\b(?:warn(?:ing)?|slow|retry|retrying|degraded|restart(?:ed|ing)?|deploy(?:ed|ment)?|throttl)/i, 2],
];

/** Words that go with each incident type; they also make the query that is embedded. */
const wordsOfType: Readonly<Record<string, string>> = {
  cpu: "high cpu load, process busy, slow requests, timed out",
  memory: "out of memory, heap exhausted, allocation failed, swap, process killed",
  network: "connection refused, connection reset, unreachable host, network timeout, retransmission",
  disk: "no space left on device, disk full, slow disk write, input output error",
  errors: "error, exception, request failed, upstream answered 502, deploy",
  silence: "shutdown, stopping, terminated, lost connection, last message",
  mixed: "error, failure, timeout, slow, overloaded",
};

export const queryOf = (incident: Incident): string =>
  `${incident.type} incident: ${wordsOfType[incident.type] ?? wordsOfType.mixed}`;

/** How much a line's words promise. Metric documents come last: the incident's own figures say the same. */
export function lexicalScore(text: string, incident: Incident): number {
  const alarm = alarming.reduce((best, [pattern, weight]) => (pattern.test(text) ? Math.max(best, weight) : best), 0);
  const lower = text.toLowerCase();
  const words = new Set((wordsOfType[incident.type] ?? "").match(/[a-z]{4,}/g) ?? []);
  let fitting = 0;
  for (const word of words) if (lower.includes(word)) fitting++;
  return alarm + Math.min(fitting, 3) - (/"_aws"/.test(text) ? 5 : 0);
}

/** Lines to chunks: neutralised, redacted, cut, one of each kind an entity; the most promising 24, the oldest first. */
export function prepare(lines: readonly EvidenceLine[], incident: Incident): Chunk[] {
  const redactor = new Redactor();
  const kinds = new Map<string, Chunk>();
  for (const line of lines)
    chunksOf(redactor.redact(neutralise(line.text))).forEach((text, chunk) => {
      const kind = `${line.entity} ${masked(text)}`;
      const known = kinds.get(kind);
      kinds.set(kind, known ? { ...known, seen: known.seen + 1 } : { ...line, text, chunk, seen: 1 });
    });
  return [...kinds.values()]
    .map((chunk) => ({ chunk, score: lexicalScore(chunk.text, incident) }))
    .sort((a, b) => b.score - a.score || byPlace(a.chunk, b.chunk))
    .slice(0, MAX_CHUNKS)
    .map((ranked) => ranked.chunk)
    .sort(byPlace);
}

type Place = Pick<Chunk, "timestampMs" | "partition" | "offset">;
const byPlace = (a: Place, b: Place): number =>
  a.timestampMs - b.timestampMs || a.partition - b.partition || a.offset - b.offset;

/** The hits of the search, filled up to five with the lines whose words promise most; the same wording only once. */
export function cite(hits: readonly Hit[], chunks: readonly Chunk[], incident: Incident): Citation[] {
  const byWords = chunks
    .map((chunk) => ({ chunk, score: lexicalScore(chunk.text, incident) }))
    .sort((a, b) => b.score - a.score || byPlace(a.chunk, b.chunk))
    .map(({ chunk }) => ({ ...chunk, similarity: 0 }));
  const said = new Set<string>();
  const citations: Citation[] = [];
  for (const hit of [...hits, ...byWords]) {
    const text = neutralise(hit.text).slice(0, MAX_CHUNK_CHARS);
    if (citations.length === MAX_CITATIONS) break;
    if (!text || said.has(masked(text))) continue;
    said.add(masked(text));
    const { entity, timestampMs, topic, partition, offset, similarity } = hit;
    citations.push({ id: `E${citations.length + 1}`, entity, timestampMs, topic, partition, offset, text, similarity });
  }
  return citations;
}
