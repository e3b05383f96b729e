import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { ChatProcess } from "./chat-process.ts";
import { SentenceEmbedder } from "./embedder.ts";

/**
 * Embeddings and chat completions behind the OpenAI API, on the CPU of this machine: for laptops and tests, where no
 * vLLM is at hand.
 *
 * Embeddings are served from the start, at normal priority: an incident waits for them. The chat model loads and runs in
 * a process of its own at the lowest priority; requests for it wait their turn in a short queue. No streaming.
 */
const MAX_BODY_BYTES = 4 << 20;
const MAX_INPUTS = 256;
const MAX_CHAT_QUEUE = 8;
const EMBEDDING_MODEL = "all-MiniLM-L6-v2";
const CHAT_MODEL = "smollm2-135m-instruct";

class HttpError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

function env(name: string): string {
  const value = process.env[name];
  if (!value) {
    process.stderr.write(`AI_SERVER_OPTION: ${name} is not set. Next step: start this server with weir local up.\n`);
    process.exit(2);
  }
  return value;
}

const port = Number(env("PORT"));
const embedder = await SentenceEmbedder.load(env("WEIR_EMBEDDING_MODEL"), env("WEIR_TOKENIZER"));
const chat = new ChatProcess(env("WEIR_CHAT_MODEL"), env("WEIR_AI_MODULES"));

async function embeddings(body: Record<string, unknown>, signal: AbortSignal) {
  const input = typeof body.input === "string" ? [body.input] : body.input;
  if (!Array.isArray(input) || input.some((text) => typeof text !== "string"))
    throw new HttpError(400, "input has to be a string or a list of strings.");
  if (input.length > MAX_INPUTS) throw new HttpError(400, `At most ${MAX_INPUTS} inputs a request.`);
  const { vectors, tokens } = await embedder.embed(input as string[], signal);
  const base64 = body.encoding_format === "base64";
  return {
    object: "list",
    model: EMBEDDING_MODEL,
    data: vectors.map((v, index) => ({
      object: "embedding",
      index,
      embedding: base64 ? Buffer.from(v.buffer, v.byteOffset, v.byteLength).toString("base64") : [...v],
    })),
    usage: { prompt_tokens: tokens, total_tokens: tokens },
  };
}

async function completion(body: Record<string, unknown>, signal: AbortSignal) {
  const messages = body.messages as { role: string; content: string }[] | undefined;
  if (!Array.isArray(messages) || messages.some((m) => typeof m?.content !== "string"))
    throw new HttpError(400, "messages has to be a list of {role, content}.");
  if (body.stream) throw new HttpError(400, "Streaming is not supported.");
  if (chat.state === "failed") throw new HttpError(503, "The chat model could not be loaded; the log says why.");
  if (chat.waiting >= MAX_CHAT_QUEUE) throw new HttpError(429, `${MAX_CHAT_QUEUE} requests are waiting already.`);
  const text = (role: string) =>
    messages
      .filter((m) => (m.role === "system") === (role === "system"))
      .map((m) => m.content)
      .join("\n");
  const format = body.response_format as { type?: string; json_schema?: { schema?: object } } | undefined;
  const request = {
    system: text("system"),
    user: text("user"),
    maxTokens: Number(body.max_completion_tokens ?? body.max_tokens ?? 256),
    temperature: Number(body.temperature ?? 0),
    schema: format?.type === "json_schema" ? (format.json_schema?.schema ?? null) : null,
  };
  try {
    const reply = await chat.complete(request, signal);
    return {
      id: "chatcmpl-local",
      object: "chat.completion",
      created: Math.floor(Date.now() / 1000),
      model: CHAT_MODEL,
      choices: [
        {
          index: 0,
          finish_reason: reply.cut ? "length" : "stop",
          message: { role: "assistant", content: reply.text },
        },
      ],
      usage: {
        prompt_tokens: reply.promptTokens,
        completion_tokens: reply.completionTokens,
        total_tokens: reply.promptTokens + reply.completionTokens,
      },
    };
  } catch (error) {
    if (error instanceof RangeError) throw new HttpError(400, error.message);
    throw error;
  }
}

async function readBody(request: IncomingMessage): Promise<Record<string, unknown>> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    bytes += part.length;
    if (bytes > MAX_BODY_BYTES) throw new HttpError(413, `More than ${MAX_BODY_BYTES} bytes.`);
    parts.push(part);
  }
  try {
    return JSON.parse(Buffer.concat(parts).toString()) as Record<string, unknown>;
  } catch {
    throw new HttpError(400, "The body is not JSON.");
  }
}

async function answer(request: IncomingMessage, signal: AbortSignal): Promise<unknown> {
  const route = `${request.method} ${request.url?.split("?")[0]}`;
  switch (route) {
    case "GET /healthz":
      return { embeddings: "ready", chat: chat.state, chatQueue: chat.waiting };
    case "GET /v1/models":
      return { object: "list", data: [EMBEDDING_MODEL, CHAT_MODEL].map((id) => ({ id, object: "model" })) };
    case "POST /v1/embeddings":
      return embeddings(await readBody(request), signal);
    case "POST /v1/chat/completions":
      return completion(await readBody(request), signal);
    default:
      throw new HttpError(404, `No route ${route}.`);
  }
}

function send(response: ServerResponse, status: number, value: unknown): void {
  if (response.destroyed) return;
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(value));
}

const server = createServer((request, response) => {
  const gone = new AbortController();
  response.on("close", () => gone.abort());
  answer(request, gone.signal).then(
    (value) => send(response, 200, value),
    (error: unknown) =>
      send(response, error instanceof HttpError ? error.status : 500, {
        error: { message: error instanceof Error ? error.message : String(error), type: "server_error" },
      }),
  );
});
server.listen(port, "127.0.0.1", () => process.stdout.write(`ai server listens on 127.0.0.1:${port}\n`));

function stop(): void {
  chat.stop();
  server.close(() => process.exit(0));
  server.closeAllConnections();
}
process.on("SIGTERM", stop);
process.on("SIGINT", stop);
