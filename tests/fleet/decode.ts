import { gunzipSync } from "node:zlib";
import {
  type FleetOptions,
  fleetRounds,
  noInjection,
  planFleet,
  type StreamRecord,
  type TelemetryRound,
} from "../../local/fleet/index.ts";

export interface Envelope {
  readonly messageType: string;
  readonly owner: string;
  readonly logGroup: string;
  readonly logStream: string;
  readonly subscriptionFilters: readonly string[];
  readonly logEvents: readonly { readonly id: string; readonly timestamp: number; readonly message: string }[];
}

/** The record as a consumer reads it, null where it cannot be read. */
export function decode(record: StreamRecord): Envelope | null {
  try {
    return JSON.parse(gunzipSync(record.data).toString("utf8")) as Envelope;
  } catch {
    return null;
  }
}

export const isData = (e: Envelope | null): e is Envelope => e?.messageType === "DATA_MESSAGE";

export const startMs = Date.UTC(2026, 10, 23, 6);
export const minutes = (n: number) => n * 60_000;

export const options = (more: Partial<FleetOptions> = {}): FleetOptions => ({
  seed: 7,
  instances: 60,
  startMs,
  endMs: startMs + minutes(180),
  inject: noInjection,
  ...more,
});

export const roundsOf = (more: Partial<FleetOptions> = {}, fromMs?: number): TelemetryRound[] => [
  ...fleetRounds(planFleet(options(more)), fromMs),
];
