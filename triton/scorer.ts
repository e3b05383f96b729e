import { setTimeout as sleep } from "node:timers/promises";
import { FAILED, type ScoreAnswer, type ScoreCall, type Scorer } from "../processors/index.ts";
import { WeirError } from "../streams/index.ts";
import type { TritonClient } from "./client/client.ts";
import { type Models, reviveModel } from "./models.ts";

const FIRST_PAUSE_MS = 200;
const MAX_PAUSE_MS = 5_000;
/** Calls handed to the client at once; how many of them are sent is its limit's to decide. */
const CALLS_AT_ONCE = 32;
/** For a call that may fail, with all its retries: an ill challenger must not hold up the champion's verdicts. */
const MAY_FAIL_TIMEOUT_MS = 2_000;
/** While rows are scored here, a call gives the server so long to show that it is back. */
const PROBE_MS = 250;

export interface TritonScorerOptions {
  readonly client: TritonClient;
  readonly models: Models;
  /** Told each time the server could not be had and the scorer waits. */
  readonly onWait?: (error: WeirError, waitMs: number) => void;
  /** Once the server has been silent for so long, rows are scored here by the same model. Absent: never, they wait. */
  readonly fallbackAfterMs?: number;
}

/**
 * Scores on a model server, always asking for the version that routing names.
 *
 * Where waiting may help (server gone, slow, overloaded, model not loaded or failing) it waits until the signal aborts:
 * lag grows, nothing is lost. A server that came back empty is asked to load the model, a model whose process died is
 * unloaded and loaded. With a fallback the built-in evaluator answers in its stead after a while, marked `built-in`, and
 * the server again as soon as it can. Errors that waiting cannot mend are thrown. A call that may fail has one attempt and is answered
 * as `failed` whatever was wrong.
 */
export class TritonScorer implements Scorer {
  readonly #options: TritonScorerOptions;
  /** Models being brought back: one attempt at a time, whoever noticed first. */
  readonly #mending = new Map<string, Promise<void>>();

  /** Since when no call was answered; null: the last one was. */
  #silentSinceMs: number | null = null;

  constructor(options: TritonScorerOptions) {
    this.#options = options;
  }

  async score(calls: readonly ScoreCall[], signal: AbortSignal): Promise<readonly ScoreAnswer[]> {
    const answers: ScoreAnswer[] = new Array(calls.length);
    // The first failure stops the others: nobody would read their answers.
    const stop = new AbortController();
    const both = AbortSignal.any([signal, stop.signal]);
    let next = 0;
    const worker = async () => {
      for (let i = next++; i < calls.length; i = next++) answers[i] = await this.#answer(calls[i]!, both);
    };
    try {
      await Promise.all(Array.from({ length: Math.min(CALLS_AT_ONCE, calls.length) }, worker));
    } catch (error) {
      stop.abort(error);
      throw signal.aborted ? signal.reason : error;
    }
    return answers;
  }

  async #answer(call: ScoreCall, signal: AbortSignal): Promise<ScoreAnswer> {
    const { client, onWait } = this.#options;
    if (call.mayFail) {
      const startedAt = performance.now();
      try {
        return await this.#once(client, call, signal, MAY_FAIL_TIMEOUT_MS);
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof WeirError)) throw error;
        const latencyMs = Math.round(performance.now() - startedAt);
        return { version: call.modelVersion, evaluator: FAILED, latencyMs, raw: new Float32Array(0) };
      }
    }
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, MAX_PAUSE_MS)) {
      signal.throwIfAborted();
      const askedAtMs = performance.now();
      const leftMs = this.#untilFallbackMs(askedAtMs);
      try {
        const answer = await this.#once(client, call, signal, leftMs === null ? undefined : Math.max(leftMs, PROBE_MS));
        this.#silentSinceMs = null;
        return answer;
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof WeirError) || error.disposition !== "retry") throw error;
        this.#silentSinceMs ??= askedAtMs;
        onWait?.(error, pauseMs);
        await this.#mend(call.model, error, signal);
        const waitMs = Math.min(pauseMs, this.#untilFallbackMs(performance.now()) ?? pauseMs);
        if (waitMs <= 0) return this.#builtIn(call);
        await sleep(waitMs, undefined, { signal }).catch(() => signal.throwIfAborted());
      }
    }
  }

  /** Null: there is no fallback. */
  #untilFallbackMs(nowMs: number): number | null {
    const { fallbackAfterMs } = this.#options;
    if (fallbackAfterMs === undefined) return null;
    return (this.#silentSinceMs ?? nowMs) + fallbackAfterMs - nowMs;
  }

  #builtIn({ model: name, modelVersion, matrix, rows }: ScoreCall): ScoreAnswer {
    const startedAt = performance.now();
    const raw = this.#modelOf(name, modelVersion).evaluator.score(matrix, rows);
    return { version: modelVersion, evaluator: "built-in", latencyMs: Math.round(performance.now() - startedAt), raw };
  }

  #modelOf(name: string, version: string) {
    const model = this.#options.models.get(name, version);
    if (model) return model;
    const what = `${name} version ${version} is not in the model repository.`;
    throw fatal("MODEL_UNKNOWN", what, "Publish it, or route past it.");
  }

  async #mend(model: string, error: WeirError, signal: AbortSignal): Promise<void> {
    const { client } = this.#options;
    const isDead = error.code === "MODEL_FAILED" && error.message.includes("is not healthy");
    if (!isDead && error.code !== "MODEL_NOT_FOUND") return;
    const before = this.#mending.get(model);
    const attempt = before ?? (isDead ? reviveModel(client, model) : client.load(model));
    this.#mending.set(model, attempt);
    try {
      await attempt;
    } catch {
      // Not every server lets its clients load models; whatever is wrong shows again in the next try.
    } finally {
      this.#mending.delete(model);
    }
    signal.throwIfAborted();
  }

  async #once(client: TritonClient, call: ScoreCall, signal: AbortSignal, timeoutMs?: number): Promise<ScoreAnswer> {
    const model = this.#modelOf(call.model, call.modelVersion);
    const who = `${call.model} version ${call.modelVersion}`;
    const { input, output } = model.manifest;
    const startedAt = performance.now();
    const reply = await client.infer(
      {
        model: call.model,
        version: call.modelVersion,
        input: input.name,
        output: output.name,
        columns: model.columns.length,
        data: call.matrix,
      },
      { signal, ...(timeoutMs !== undefined && { timeoutMs }) },
    );
    const latencyMs = Math.round(performance.now() - startedAt);
    // Two values a row are the chances of "normal" and "anomaly".
    const raw = reply.width === 2 ? reply.data.filter((_, i) => i % 2 === 1) : reply.data;
    if (raw.length !== call.rows) {
      throw fatal(
        "MODEL_SHAPE_MISMATCH",
        `${who} answered ${reply.width} values a row.`,
        "Publish a model with one output a row.",
      );
    }
    const bad = raw.findIndex((value) => !Number.isFinite(value));
    if (bad >= 0) {
      throw fatal(
        "MODEL_OUTPUT_NOT_FINITE",
        `${who} answered ${raw[bad]} for a row.`,
        "Look at the model: finite input must not give such an output. Route to the version before it.",
      );
    }
    return { version: reply.version, evaluator: "triton", latencyMs, raw };
  }
}

const fatal = (code: string, message: string, nextStep: string): WeirError =>
  new WeirError(code, "fatal", message, nextStep);
