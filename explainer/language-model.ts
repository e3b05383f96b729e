import OpenAI from "openai";
import type { Prompt } from "../processors/index.ts";
import { serviceError } from "./errors.ts";

export interface Completion {
  readonly text: string;
  readonly promptTokens: number;
  readonly completionTokens: number;
}

/** A chat model that answers in the prompt's JSON schema. Rejects with `LANGUAGE_MODEL_FAILED` (retry), also at the deadline. */
export interface LanguageModel {
  readonly name: string;
  complete(
    prompt: Prompt,
    options: { readonly temperature: number; readonly signal: AbortSignal },
  ): Promise<Completion>;
}

export class OpenAiLanguageModel implements LanguageModel {
  readonly name: string;
  readonly #client: OpenAI;
  readonly #deadlineMs: number;
  readonly #maxTokens: number;

  /** `baseUrl` ends in /v1. The deadline holds for one answer, waiting for the server's queue included. */
  constructor(options: {
    readonly baseUrl: string;
    readonly model: string;
    readonly apiKey: string;
    readonly deadlineMs: number;
    readonly maxTokens?: number;
  }) {
    this.name = options.model;
    this.#client = new OpenAI({ baseURL: options.baseUrl, apiKey: options.apiKey, maxRetries: 0 });
    this.#deadlineMs = options.deadlineMs;
    this.#maxTokens = options.maxTokens ?? 600;
  }

  async complete(
    { system, user, schema }: Prompt,
    { temperature, signal }: { readonly temperature: number; readonly signal: AbortSignal },
  ): Promise<Completion> {
    try {
      const reply = await this.#client.chat.completions.create(
        {
          model: this.name,
          temperature,
          max_tokens: this.#maxTokens,
          messages: [
            { role: "system", content: system },
            { role: "user", content: user },
          ],
          response_format: {
            type: "json_schema",
            json_schema: { name: "explanation", strict: true, schema: schema as Record<string, unknown> },
          },
        },
        { signal: AbortSignal.any([signal, AbortSignal.timeout(this.#deadlineMs)]) },
      );
      return {
        text: reply.choices[0]?.message.content ?? "",
        promptTokens: reply.usage?.prompt_tokens ?? 0,
        completionTokens: reply.usage?.completion_tokens ?? 0,
      };
    } catch (error) {
      signal.throwIfAborted();
      throw serviceError("LANGUAGE_MODEL_FAILED", `Model ${this.name}`, "Check WEIR_LLM_URL and the server.", error);
    }
  }
}
