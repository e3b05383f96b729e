import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";

const CONTEXT_TOKENS = 2048;

export interface ChatRequest {
  readonly system: string;
  readonly user: string;
  readonly maxTokens: number;
  readonly temperature: number;
  /** JSON schema that the answer follows by grammar. */
  readonly schema: object | null;
}

export interface ChatReply {
  readonly text: string;
  readonly cut: boolean;
  readonly promptTokens: number;
  readonly completionTokens: number;
}

/** What is used of node-llama-cpp, which lies in a folder of its own and not among this package's dependencies. */
interface Llama {
  loadModel(options: { modelPath: string }): Promise<LlamaModel>;
  createGrammarForJsonSchema(schema: object): Promise<object>;
}
interface LlamaModel {
  createContext(options: object): Promise<{ getSequence(): Sequence }>;
  tokenize(text: string): readonly number[];
}
interface Sequence {
  clearHistory(): Promise<void>;
}
interface Session {
  promptWithMeta(text: string, options: object): Promise<{ responseText: string; stopReason: string }>;
  dispose(options: object): void;
}
interface LlamaModule {
  getLlama(options: object): Promise<Llama>;
  LlamaChatSession: new (options: { contextSequence: Sequence; systemPrompt: string }) => Session;
}

/** A GGUF chat model on the CPU with one thread. One request at a time: the caller keeps the queue. */
export class ChatModel {
  #module: LlamaModule;
  #llama: Llama;
  #model: LlamaModel;
  #sequence: Sequence;

  private constructor(module: LlamaModule, llama: Llama, model: LlamaModel, sequence: Sequence) {
    this.#module = module;
    this.#llama = llama;
    this.#model = model;
    this.#sequence = sequence;
  }

  /** `modulesDir` holds node_modules/node-llama-cpp with its prebuilt binary; nothing is compiled or downloaded. */
  static async load(modelPath: string, modulesDir: string): Promise<ChatModel> {
    const packageDir = join(modulesDir, "node_modules", "node-llama-cpp");
    const { main } = JSON.parse(readFileSync(join(packageDir, "package.json"), "utf8")) as { main: string };
    const module = (await import(
      pathToFileURL(join(dirname(join(packageDir, "package.json")), main)).href
    )) as LlamaModule;
    const llama = await module.getLlama({ gpu: false, build: "never", maxThreads: 1, logLevel: "error" });
    const model = await llama.loadModel({ modelPath });
    const context = await model.createContext({ contextSize: CONTEXT_TOKENS, sequences: 1 });
    return new ChatModel(module, llama, model, context.getSequence());
  }

  /** Throws a RangeError if prompt and answer do not fit the context together. */
  async complete(request: ChatRequest, signal: AbortSignal): Promise<ChatReply> {
    const promptTokens = this.#model.tokenize(request.system).length + this.#model.tokenize(request.user).length;
    if (promptTokens + request.maxTokens > CONTEXT_TOKENS - 64)
      throw new RangeError(
        `${promptTokens} prompt tokens and ${request.maxTokens} for the answer exceed the context of ${CONTEXT_TOKENS}.`,
      );
    await this.#sequence.clearHistory();
    const session = new this.#module.LlamaChatSession({
      contextSequence: this.#sequence,
      systemPrompt: request.system,
    });
    try {
      const { responseText, stopReason } = await session.promptWithMeta(request.user, {
        maxTokens: request.maxTokens,
        temperature: request.temperature,
        signal,
        ...(request.schema ? { grammar: await this.#llama.createGrammarForJsonSchema(request.schema) } : {}),
      });
      const completionTokens = this.#model.tokenize(responseText).length;
      return { text: responseText, cut: stopReason === "maxTokens", promptTokens, completionTokens };
    } finally {
      session.dispose({ disposeSequence: false });
    }
  }
}
