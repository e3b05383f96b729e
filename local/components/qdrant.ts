import path from "node:path";
import { fileURLToPath } from "node:url";
import { answersOk } from "../net.ts";
import type { Component } from "./component.ts";

const server = fileURLToPath(new URL("../ai/qdrant_server.py", import.meta.url));

/** The Qdrant engine, embedded in a Python process that speaks its REST API. */
export const qdrant: Component = {
  portCount: 1,
  startTimeoutMs: 60_000,
  async launch({ cacheDir, dataDir, ports }) {
    const [port] = ports;
    return {
      command: path.join(cacheDir, "tools/bin/python"),
      args: [server, String(port), dataDir],
      endpoints: { qdrant: `http://127.0.0.1:${port}` },
      remark: "the engine, embedded",
      isReady: () => answersOk(`http://127.0.0.1:${port}/healthz`),
    };
  },
};
