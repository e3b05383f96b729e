import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { accepts } from "../net.ts";
import { javaCommand } from "../setup/prerequisites.ts";
import type { Component } from "./component.ts";

const here = (file: string) => fileURLToPath(new URL(file, import.meta.url));
/** Kafka 4 logs through log4j 2, Kafka 3 through reload4j: each takes the property it knows. */
const logging = [
  `-Dlog4j2.configurationFile=file:${here("kafka-log4j2.properties")}`,
  `-Dlog4j.configuration=file:${here("kafka-reload4j.properties")}`,
];

/** A node of a cluster: broker and controller in one. */
export interface KafkaNode {
  readonly id: number;
  readonly port: number;
  readonly controllerPort: number;
}

/** One Kafka node. Topics are never created by accident. */
export const kafka: Component = {
  portCount: 2,
  startTimeoutMs: 90_000,
  async launch({ cacheDir, dataDir, logFile, ports }) {
    const [port, controllerPort] = ports;
    const node = { id: 1, port: port!, controllerPort: controllerPort! };
    return {
      ...(await kafkaCommand({ cacheDir, dataDir, node, nodes: [node], clusterId: newClusterId() })),
      endpoints: { kafka: [`127.0.0.1:${port}`] },
      // The port opens before the broker is unfenced; the line is written after.
      isReady: async () => readFileSync(logFile, "utf8").includes("Kafka Server started") && (await accepts(port!)),
    };
  },
};

/** How to run one of `nodes`; its folder is formatted if it is new. Internal topics have as many replicas as there are nodes. */
export async function kafkaCommand(options: {
  readonly cacheDir: string;
  readonly dataDir: string;
  readonly node: KafkaNode;
  readonly nodes: readonly KafkaNode[];
  readonly clusterId: string;
}): Promise<{ command: string; args: string[] }> {
  const { cacheDir, dataDir, node, nodes, clusterId } = options;
  const classPath = path.join(cacheDir, "kafka", "*");
  const logDir = path.join(dataDir, "log");
  const properties = path.join(dataDir, "server.properties");
  writeFileSync(properties, serverProperties(logDir, node, nodes));
  if (!existsSync(path.join(logDir, "meta.properties"))) {
    const format = ["kafka.tools.StorageTool", "format", "-t", clusterId, "-c", properties];
    await promisify(execFile)(javaCommand(), ["-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp", classPath, ...format]);
  }
  const heap = ["-Xms256m", "-Xmx512m", "-XX:+UseG1GC", "-Djava.awt.headless=true"];
  return { command: javaCommand(), args: [...heap, ...logging, "-cp", classPath, "kafka.Kafka", properties] };
}

/** 16 random bytes as Kafka writes them. One that begins with a dash would be taken for an option. */
export function newClusterId(): string {
  const id = randomBytes(16).toString("base64url");
  return id.startsWith("-") ? newClusterId() : id;
}

function serverProperties(logDir: string, node: KafkaNode, nodes: readonly KafkaNode[]): string {
  const { id, port, controllerPort } = node;
  const replicas = nodes.length;
  const minInSync = Math.max(1, replicas - 1);
  const settings: Record<string, string | number | boolean> = {
    "process.roles": "broker,controller",
    "node.id": id,
    listeners: `PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllerPort}`,
    "advertised.listeners": `PLAINTEXT://127.0.0.1:${port}`,
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "inter.broker.listener.name": "PLAINTEXT",
    "controller.quorum.voters": nodes.map((n) => `${n.id}@127.0.0.1:${n.controllerPort}`).join(","),
    "log.dirs": logDir,
    "auto.create.topics.enable": false,
    "num.partitions": 1,
    "default.replication.factor": replicas,
    "offsets.topic.replication.factor": replicas,
    "offsets.topic.num.partitions": 4,
    "transaction.state.log.replication.factor": replicas,
    "transaction.state.log.min.isr": minInSync,
    "transaction.state.log.num.partitions": 4,
    "share.coordinator.state.topic.replication.factor": replicas,
    "share.coordinator.state.topic.min.isr": minInSync,
    // Ten seconds by default: a process that died would hold its readers up for up to twenty.
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": 1_000,
    // One member more or less is no reason to wait on a laptop.
    "group.initial.rebalance.delay.ms": 0,
    "num.network.threads": 2,
    "num.io.threads": 4,
    // 16 MiB instead of 128: a quarter of the heap would go to it.
    "log.cleaner.dedupe.buffer.size": 16 * 1024 * 1024,
  };
  return `${Object.entries(settings)
    .map(([key, value]) => `${key}=${value}`)
    .join("\n")}\n`;
}
