import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, openSync } from "node:fs";
import path from "node:path";
import { Kafka, logLevel } from "kafkajs";
import { kafkaCommand, newClusterId } from "../../local/components/kafka.ts";
import { accepts, freePorts } from "../../local/net.ts";
import { identify, isRunning, killGroupsAtExit, type ProcessIdentity } from "../../local/processes.ts";
import { until } from "../support/kafka.ts";
import { remember } from "./supervised.ts";

/** A server beside Weir, by its process group: killed, frozen and started again as it was. */
export class Server {
  readonly name: string;
  #identity: ProcessIdentity;
  readonly #respawn: () => ChildProcess;
  readonly #sweep: () => void;

  constructor(name: string, pid: number, logFile: string, sweep: () => void = () => undefined) {
    this.name = name;
    this.#identity = identify(pid)!;
    killGroupsAtExit(pid);
    this.#respawn = remember(pid, logFile);
    this.#sweep = sweep;
  }

  async kill(): Promise<void> {
    this.signal("SIGKILL");
    await until(`${this.name} is gone`, () => !isRunning(this.#identity), 10_000);
  }

  start(): void {
    this.#sweep();
    const child = this.#respawn();
    child.on("error", () => undefined);
    child.unref();
    this.#identity = identify(child.pid!)!;
    killGroupsAtExit(child.pid!);
  }

  signal(name: NodeJS.Signals): void {
    try {
      process.kill(-this.#identity.pid, name);
    } catch {
      // Gone already.
    }
  }
}

/** A broker here starts more often than it has time to become fast. */
const quickStart = ["-XX:TieredStopAtLevel=1"];

/** Brokers that can be killed: one node or three. */
export class Cluster {
  readonly nodes: readonly Server[];
  readonly ports: readonly number[];

  constructor(nodes: readonly Server[], ports: readonly number[]) {
    this.nodes = nodes;
    this.ports = ports;
  }

  static async start(dir: string, cacheDir: string, count: number): Promise<Cluster> {
    const ports = await freePorts(2 * count);
    const nodes = Array.from({ length: count }, (_, i) => ({
      id: i + 1,
      port: ports[2 * i]!,
      controllerPort: ports[2 * i + 1]!,
    }));
    const clusterId = newClusterId();
    const servers = await Promise.all(
      nodes.map(async (node) => {
        const dataDir = path.join(dir, `kafka-${node.id}`);
        mkdirSync(dataDir, { recursive: true });
        const { command, args } = await kafkaCommand({ cacheDir, dataDir, node, nodes, clusterId });
        const logFile = path.join(dir, `kafka-${node.id}.log`);
        const log = openSync(logFile, "a");
        const child = spawn(command, [...quickStart, ...args], {
          cwd: dataDir,
          detached: true,
          stdio: ["ignore", log, log],
        });
        child.unref();
        return new Server(`kafka-${node.id}`, child.pid!, logFile);
      }),
    );
    const cluster = new Cluster(
      servers,
      nodes.map((n) => n.port),
    );
    await cluster.whole();
    return cluster;
  }

  get bootstrap(): string[] {
    return this.ports.map((port) => `127.0.0.1:${port}`);
  }

  /** Resolves once every node is up and every replica in sync. */
  async whole(): Promise<void> {
    await until("the brokers are up and in sync", () => this.#isWhole(), 120_000);
  }

  /** Each node is asked itself: the others learn of a death late. */
  async #isWhole(): Promise<boolean> {
    for (const port of this.ports) if (!(await accepts(port)) || !(await this.#isWholeTo(port))) return false;
    return true;
  }

  async #isWholeTo(port: number): Promise<boolean> {
    const admin = new Kafka({
      brokers: [`127.0.0.1:${port}`],
      connectionTimeout: 2_000,
      requestTimeout: 5_000,
      retry: { retries: 0 },
      logLevel: logLevel.NOTHING,
    }).admin();
    try {
      await admin.connect();
      const { brokers } = await admin.describeCluster();
      if (brokers.length < this.nodes.length) return false;
      const { topics } = await admin.fetchTopicMetadata();
      const partitions = topics.flatMap((t) => t.partitions);
      return partitions.every((p) => p.leader >= 0 && p.isr.length === p.replicas.length);
    } catch {
      return false;
    } finally {
      await admin.disconnect().catch(() => undefined);
    }
  }

  async stop(): Promise<void> {
    for (const node of this.nodes) node.signal("SIGCONT");
    await Promise.all(this.nodes.map((node) => node.kill()));
  }
}
