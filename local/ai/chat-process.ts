import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { ChatReply, ChatRequest } from "./chat-model.ts";
import type { FromWorker, ToWorker } from "./chat-worker.ts";

const worker = fileURLToPath(new URL("./chat-worker.ts", import.meta.url));
/** A process that ends by itself is started again so often, so long after. */
const MAX_RESTARTS = 5;
const RESTART_MS = 2_000;

type Answer = Exclude<FromWorker, { ready: true }>;

/** The chat model in a process of its own, so that writing a text holds up nothing here. Requests take turns. */
export class ChatProcess {
  state: "loading" | "ready" | "failed" = "loading";
  /** Requests that wait or run. */
  waiting = 0;
  readonly #args: readonly string[];
  readonly #answers = new Map<number, (answer: Answer) => void>();
  #child: ChildProcess | null = null;
  #ready = Promise.withResolvers<void>();
  #turn: Promise<unknown> = Promise.resolve();
  #next = 0;
  #restarts = 0;
  #isStopped = false;

  constructor(modelPath: string, modulesDir: string) {
    this.#args = [modelPath, modulesDir];
    this.#start();
  }

  #start(): void {
    const child = fork(worker, this.#args, { execArgv: process.execArgv });
    this.#child = child;
    child.on("message", (message: FromWorker) => {
      if ("ready" in message) {
        this.state = "ready";
        this.#ready.resolve();
      } else this.#answers.get(message.id)?.(message);
    });
    child.on("error", (error) => process.stderr.write(`AI_CHAT_MODEL: ${error.message}\n`));
    child.on("exit", (code, signal) => this.#ended(`exit ${code ?? signal}`));
  }

  #ended(why: string): void {
    if (this.#isStopped) return;
    const again = this.#restarts++ < MAX_RESTARTS;
    process.stderr.write(
      `AI_CHAT_MODEL: its process ended (${why}). ${again ? "It is started again." : "Next step: weir local down, then up."}\n`,
    );
    for (const [id, answer] of this.#answers)
      answer({ id, error: `The chat model's process ended: ${why}.`, tooLong: false });
    if (again) {
      if (this.state === "ready") this.#ready = Promise.withResolvers();
      this.state = "loading";
      setTimeout(() => !this.#isStopped && this.#start(), RESTART_MS).unref();
    } else {
      this.state = "failed";
      this.#ready.reject(new Error("The chat model could not be started; the log says why."));
      this.#ready.promise.catch(() => undefined);
    }
  }

  /** Throws a RangeError if prompt and answer do not fit the context together. */
  async complete(request: ChatRequest, signal: AbortSignal): Promise<ChatReply> {
    this.waiting++;
    const mine = this.#turn.then(() => this.#ask(request, signal));
    this.#turn = mine.catch(() => undefined);
    try {
      return await mine;
    } finally {
      this.waiting--;
    }
  }

  async #ask(request: ChatRequest, signal: AbortSignal): Promise<ChatReply> {
    await this.#ready.promise;
    signal.throwIfAborted();
    const id = this.#next++;
    const { promise, resolve } = Promise.withResolvers<Answer>();
    const onAbort = () => this.#send({ abort: id });
    this.#answers.set(id, resolve);
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      this.#send({ id, request });
      // An aborted request answers too, and only then is it the next one's turn: the model has one sequence.
      const answer = await promise;
      if ("reply" in answer) return answer.reply;
      throw answer.tooLong ? new RangeError(answer.error) : new Error(answer.error);
    } finally {
      signal.removeEventListener("abort", onAbort);
      this.#answers.delete(id);
    }
  }

  /** What does not reach a child that is gone is answered by its exit. */
  #send(message: ToWorker): void {
    this.#child?.send(message, () => undefined);
  }

  stop(): void {
    this.#isStopped = true;
    this.#child?.kill("SIGTERM");
  }
}
