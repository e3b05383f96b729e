import type { EvidenceLine, Gathered } from "../../processors/index.ts";
import type { Citation, Incident } from "../../schemas/index.ts";

export const T0 = Date.UTC(2024, 0, 1, 12);
export const MINUTE = 60_000;

export const incident = (more: Partial<Incident> = {}): Incident => ({
  incidentId: "shop/resources/1704110400000",
  dedupKey: "shop/resources",
  state: "open",
  revision: 1,
  entityGroup: "shop",
  members: ["i-0abc12", "web-7"],
  severity: "medium",
  type: "cpu",
  openedAtMs: T0,
  updatedAtMs: T0 + 5 * MINUTE,
  resolvedAtMs: null,
  reason: "opened",
  maxScore: 0.9734,
  anomalyCount: 7,
  topFeatures: [{ name: "cpu_mean", value: 97.34, contribution: 2.1 }],
  evidence: [],
  ...more,
});

export const citation = (n: number, text: string, more: Partial<Citation> = {}): Citation => ({
  id: `E${n}`,
  entity: "web-7",
  timestampMs: T0,
  topic: "logs.raw",
  partition: 0,
  offset: n,
  text,
  similarity: 0.7,
  ...more,
});

export const line = (offset: number, text: string, more: Partial<EvidenceLine> = {}): EvidenceLine => ({
  entity: "web-7",
  timestampMs: T0 + offset,
  topic: "logs.raw",
  partition: 0,
  offset,
  eventId: `e${offset}`,
  text,
  ...more,
});

export const gathered = (citations: readonly Citation[] = []): Gathered => ({
  citations,
  way: citations.length ? "search" : "none",
  embeddingMs: 3,
  searchMs: 4,
  atMs: T0 + 6 * MINUTE,
});
