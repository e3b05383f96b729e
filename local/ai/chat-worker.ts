import { setPriority } from "node:os";
import { ChatModel, type ChatReply, type ChatRequest } from "./chat-model.ts";

/**
 * The process that the chat model runs in: `fork(…, [model, modulesDir])`. It says `ready` once it can answer, takes one
 * request at a time, and ends with its parent. Texts may take longer, rows and embeddings may not: it runs when nobody
 * else wants the processor.
 */
export type ToWorker = { readonly id: number; readonly request: ChatRequest } | { readonly abort: number };
export type FromWorker =
  | { readonly ready: true }
  | { readonly id: number; readonly reply: ChatReply }
  | { readonly id: number; readonly error: string; readonly tooLong: boolean };

const say = (message: FromWorker): void => {
  process.send?.(message, () => undefined);
};

process.on("disconnect", () => process.exit(0));
// A stop is the parent's to decide; with its end this process ends.
process.on("SIGINT", () => undefined);

setPriority(19);
const running = new Map<number, AbortController>();
const [modelPath, modulesDir] = process.argv.slice(2);
const model = await ChatModel.load(modelPath!, modulesDir!);

process.on("message", async (message: ToWorker) => {
  if ("abort" in message) {
    running.get(message.abort)?.abort();
    return;
  }
  const { id, request } = message;
  const stop = new AbortController();
  running.set(id, stop);
  try {
    say({ id, reply: await model.complete(request, stop.signal) });
  } catch (error) {
    say({ id, error: error instanceof Error ? error.message : String(error), tooLong: error instanceof RangeError });
  } finally {
    running.delete(id);
  }
});
say({ ready: true });
