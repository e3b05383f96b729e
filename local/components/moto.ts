import path from "node:path";
import { answersOk } from "../net.ts";
import type { Component, Launch } from "./component.ts";

/** moto's server on a port: many AWS services in memory. */
export function motoServer(cacheDir: string, port: number): Omit<Launch, "endpoints"> {
  return {
    command: path.join(cacheDir, "tools/bin/python"),
    args: ["-m", "moto.server", "-H", "127.0.0.1", "-p", String(port)],
    // The account that kinesis-local uses, so that ARNs look alike.
    env: { MOTO_ACCOUNT_ID: "000000000000" },
    isReady: () => answersOk(`http://127.0.0.1:${port}/moto-api/data.json`),
  };
}

/** CloudWatch Logs that deliver to moto's own Kinesis. Only a test of that chain asks for it. */
export const moto: Component = {
  portCount: 1,
  startTimeoutMs: 60_000,
  async launch({ cacheDir, ports }) {
    const [port] = ports;
    return { ...motoServer(cacheDir, port!), endpoints: { moto: `http://127.0.0.1:${port}` } };
  },
};
