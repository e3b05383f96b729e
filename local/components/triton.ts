import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import path from "node:path";
import { answersOk } from "../net.ts";
import { pythonPaths } from "../setup/steps.ts";
import type { Component } from "./component.ts";

const sharedMemory = "/dev/shm";

/** Names the server's shared memory by its data folder, so that what a killed one leaves is known for ours. */
const regionPrefix = (dataDir: string) =>
  `weir-triton-${createHash("sha256").update(dataDir).digest("hex").slice(0, 16)}-`;

/** A real Triton server on the processor, with its Python backend. It starts empty: models are loaded by request. */
export const triton: Component = {
  portCount: 3,
  startTimeoutMs: 60_000,
  sweep(dataDir) {
    const prefix = regionPrefix(dataDir);
    const regions = readdirSync(sharedMemory).filter((entry) => entry.startsWith(prefix));
    for (const region of regions) rmSync(path.join(sharedMemory, region), { force: true });
  },
  async launch({ cacheDir, dataDir, ports }) {
    const [grpc, http, metrics] = ports;
    const modelRepository = path.join(dataDir, "models");
    mkdirSync(modelRepository, { recursive: true });
    const venv = path.join(cacheDir, "serve");
    const { packages, library } = await pythonPaths(venv);
    const server = path.join(packages, "pytriton/tritonserver");
    const flags = {
      "model-repository": modelRepository,
      "backend-directory": path.join(server, "backends"),
      "grpc-address": "127.0.0.1",
      "grpc-port": grpc,
      "http-address": "127.0.0.1",
      "http-port": http,
      "metrics-address": "127.0.0.1",
      "metrics-port": metrics,
      "model-control-mode": "explicit",
      "exit-on-error": false,
      // How long it waits for models and open connections; neither holds anything that would be lost.
      "exit-timeout-secs": 3,
      "allow-gpu-metrics": false,
      "metrics-config": "summary_latencies=true",
      "backend-config": `python,shm-region-prefix-name=${regionPrefix(dataDir)}`,
    };
    return {
      command: path.join(server, "bin/tritonserver"),
      args: ["--disable-auto-complete-config", ...Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`)],
      env: {
        PATH: `${path.join(venv, "bin")}:${process.env.PATH}`,
        PYTHONPATH: packages,
        LD_LIBRARY_PATH: library,
        // Bytecode beside a model would look like a change of the model.
        PYTHONDONTWRITEBYTECODE: "1",
        // Threads that spin while they wait make two cores many times slower.
        OMP_NUM_THREADS: "1",
        OMP_WAIT_POLICY: "PASSIVE",
      },
      endpoints: {
        triton: {
          grpc: `127.0.0.1:${grpc}`,
          http: `http://127.0.0.1:${http}`,
          metrics: `http://127.0.0.1:${metrics}/metrics`,
          modelRepository,
        },
      },
      isReady: () => answersOk(`http://127.0.0.1:${http}/v2/health/ready`),
    };
  },
};
