import path from "node:path";
import { WeirError } from "../../streams/index.ts";
import { answersOk } from "../net.ts";
import { javaCommand } from "../setup/prerequisites.ts";
import type { Component } from "./component.ts";

/** Apicurio Registry behind its Confluent-compatible API, on an H2 file. */
export const registry: Component = {
  portCount: 1,
  startTimeoutMs: 120_000,
  async launch({ cacheDir, dataDir, ports }) {
    const [port] = ports;
    const base = `http://127.0.0.1:${port}`;
    const api = `${base}/apis/ccompat/v7`;
    const settings = {
      "quarkus.http.host": "127.0.0.1",
      "quarkus.http.port": port,
      // Without these three it keeps everything in memory.
      "apicurio.storage.kind": "sql",
      "apicurio.storage.sql.kind": "h2",
      "apicurio.datasource.url": `jdbc:h2:file:${path.join(dataDir, "registry")}`,
    };
    const jar = path.join(cacheDir, "registry", "apicurio-registry-app-3.0.9-runner.jar");
    return {
      command: javaCommand(),
      args: [
        ...["-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"],
        ...Object.entries(settings).map(([key, value]) => `-D${key}=${value}`),
        ...["-jar", jar],
      ],
      endpoints: { registry: api },
      isReady: () => answersOk(`${base}/health/ready`),
      afterReady: () => setCompatibility(api),
    };
  },
};

/** Confluent's default is BACKWARD, Apicurio's NONE. */
export async function setCompatibility(api: string): Promise<void> {
  const response = await fetch(`${api}/config`, {
    method: "PUT",
    headers: { "content-type": "application/vnd.schemaregistry.v1+json" },
    body: JSON.stringify({ compatibility: "BACKWARD" }),
    signal: AbortSignal.timeout(30_000),
  });
  if (response.ok) return;
  throw new WeirError(
    "LOCAL_COMPONENT_FAILED",
    "fatal",
    `The schema registry refused the global compatibility: ${response.status} ${(await response.text()).slice(0, 300)}`,
    "Delete the registry's data folder and start again.",
  );
}
