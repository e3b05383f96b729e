import { interpolate } from "../processors/index.ts";
import type { RoutingConfig } from "../schemas/index.ts";
import type { Models, RoutingTable, TritonClient } from "../triton/index.ts";

/** entity: by hash, as in the stream. first, second: whoever asks was spread over arms before, as by nginx. */
export type ArmChoice = "entity" | "first" | "second";

export interface ScoreRequest {
  readonly entity: string;
  /** Values by column name; null: missing. */
  readonly features: Readonly<Record<string, number | null>>;
}

export interface Scored {
  readonly entity: string;
  readonly score: number;
  readonly probability: number;
  readonly verdict: "anomaly" | "normal";
  readonly threshold: number;
  readonly arm: { readonly model: string; readonly version: string };
  readonly routingVersion: number;
  /** Columns of the model that were not given; it was told that they are missing. */
  readonly missing: readonly string[];
}

/** What is wrong with a request, for whoever sent it. */
export class RequestFault extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

const MAX_ENTITY_LENGTH = 512;
/** One row, by a caller who waits: the client's own retries included. */
const TIMEOUT_MS = 1_000;

/** Reads a request's body. Throws RequestFault (400) with every fault named. */
export function readRequest(body: unknown): ScoreRequest {
  const faults: string[] = [];
  const { entity, features, ...rest } = isObject(body) ? body : {};
  if (!isObject(body)) faults.push("the body is no JSON object");
  else if (Object.keys(rest).length > 0) faults.push(`unknown: ${Object.keys(rest).slice(0, 10).join(", ")}`);
  if (typeof entity !== "string" || entity === "" || entity.length > MAX_ENTITY_LENGTH)
    faults.push(`entity must be a text of 1 to ${MAX_ENTITY_LENGTH} characters`);
  if (!isObject(features) || Object.keys(features).length === 0) faults.push("features must name at least one value");
  else {
    const bad = Object.entries(features).filter(([, v]) => v !== null && !(typeof v === "number" && isFloat32(v)));
    if (bad.length > 0) faults.push(`no number or null: ${list(bad.map(([name]) => name))}`);
  }
  if (faults.length > 0) throw new RequestFault(400, faults.join("; "));
  return { entity: entity as string, features: features as Record<string, number | null> };
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const isFloat32 = (value: number): boolean => Number.isFinite(Math.fround(value));
const list = (names: readonly string[]): string =>
  names.slice(0, 10).join(", ") + (names.length > 10 ? ` and ${names.length - 10} more` : "");

export interface ScoringOptions {
  readonly client: TritonClient;
  readonly models: Models;
  readonly routing: RoutingTable;
  readonly choice: ArmChoice;
  readonly nowMs: () => number;
}

/**
 * Scores single rows for callers who wait, by the models, calibration and routing of the stream.
 *
 * Throws RequestFault: 400 for a name the model does not have, 503 while no routing version is in force; and the model
 * client's errors.
 */
export class Scoring {
  readonly #options: ScoringOptions;

  constructor(options: ScoringOptions) {
    this.#options = options;
  }

  async score({ entity, features }: ScoreRequest): Promise<Scored> {
    const { client, models } = this.#options;
    const config = this.inForce();
    if (!config) throw new RequestFault(503, "no routing version is in force");
    const arm = this.#armOf(config, entity);
    const model = models.get(arm.model, arm.modelVersion);
    if (!model) throw new RequestFault(503, `${arm.model} version ${arm.modelVersion} is not known here`);
    const known = new Set(model.columns);
    const unknown = Object.keys(features).filter((name) => !known.has(name));
    if (unknown.length > 0) throw new RequestFault(400, `${arm.model} has no ${list(unknown)}`);
    const data = Float32Array.from(model.columns, (name) => features[name] ?? Number.NaN);
    const { input, output } = model.manifest;
    const request = { model: arm.model, version: arm.modelVersion, input: input.name, output: output.name };
    const reply = await client.infer({ ...request, columns: model.columns.length, data }, { timeoutMs: TIMEOUT_MS });
    // Two values a row are the chances of "normal" and "anomaly".
    const raw = reply.data[reply.width - 1]!;
    if (!Number.isFinite(raw)) throw new RequestFault(502, `${arm.model} version ${reply.version} gave no number`);
    const { calibration, threshold } = model;
    const score = Math.fround(interpolate(calibration.raw, calibration.score, raw));
    return {
      entity,
      score,
      probability: Math.fround(interpolate(calibration.raw, calibration.probability, raw)),
      verdict: score >= Math.fround(threshold) ? "anomaly" : "normal",
      threshold,
      arm: { model: arm.model, version: reply.version },
      routingVersion: config.version,
      missing: model.columns.filter((name) => (features[name] ?? null) === null),
    };
  }

  inForce(): RoutingConfig | null {
    const { routing, nowMs } = this.#options;
    return routing.routingFor(nowMs(), routing.versions());
  }

  #armOf(config: RoutingConfig, entity: string) {
    const { routing, choice } = this.#options;
    const index = choice === "entity" ? routing.armChooser(config)(entity) : choice === "first" ? 0 : 1;
    // After a promotion there is one arm left: then it is everybody's.
    return config.arms[index] ?? config.arms[0]!;
  }
}
