import path from "node:path";
import { fileURLToPath } from "node:url";
import { answersOk } from "../net.ts";
import { modelFiles } from "../setup/steps.ts";
import type { Component } from "./component.ts";

const server = fileURLToPath(new URL("../ai/server.ts", import.meta.url));

/** A small language model and an embedding model behind the OpenAI API. Slow to load, so nobody waits for it. */
export const ai: Component = {
  portCount: 1,
  startTimeoutMs: 180_000,
  background: true,
  async launch({ cacheDir, ports }) {
    const [port] = ports;
    const models = modelFiles(path.join(cacheDir, "models"));
    return {
      command: process.execPath,
      args: ["--disable-warning=ExperimentalWarning", server],
      env: {
        PORT: String(port),
        WEIR_CHAT_MODEL: models.chat,
        WEIR_EMBEDDING_MODEL: models.embedding,
        WEIR_TOKENIZER: models.tokenizer,
        WEIR_AI_MODULES: path.join(cacheDir, "ai"),
      },
      endpoints: {
        ai: {
          baseUrl: `http://127.0.0.1:${port}/v1`,
          chatModel: "smollm2-135m-instruct",
          embeddingModel: "all-MiniLM-L6-v2",
        },
      },
      isReady: () => answersOk(`http://127.0.0.1:${port}/healthz`),
    };
  },
};
