import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import type { Topology, TruthIncident } from "./types.ts";

/** Writes `{"incidents": […]}`, times in milliseconds, ends exclusive. */
export const writeTruth = (file: string, incidents: readonly TruthIncident[]): void => writeJson(file, { incidents });

export const readTruth = (file: string): readonly TruthIncident[] => JSON.parse(readFileSync(file, "utf8")).incidents;

/** Writes entity → entity group as one JSON object. */
export const writeTopology = (file: string, topology: Topology): void => writeJson(file, topology);

/** What of the trouble lies between the times, cut to them. */
export function truthBetween(truth: readonly TruthIncident[], fromMs: number, toMs: number): TruthIncident[] {
  return truth
    .filter((t) => t.startMs < toMs && t.endMs > fromMs)
    .map((t) => ({ ...t, startMs: Math.max(t.startMs, fromMs), endMs: Math.min(t.endMs, toMs) }));
}

function writeJson(file: string, value: unknown): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `${JSON.stringify(value, null, 1)}\n`);
}
