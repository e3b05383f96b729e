import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { defaultCacheDir, setUp } from "../../local/index.ts";
import { until } from "./kafka.ts";

const java = process.env.JAVA_HOME ? path.join(process.env.JAVA_HOME, "bin/java") : "java";
const keytool = process.env.JAVA_HOME ? path.join(process.env.JAVA_HOME, "bin/keytool") : "keytool";

export interface SecureKafka {
  /** TLS and SASL; the certificate is for `localhost`. */
  readonly secure: string;
  readonly plain: string;
  readonly caFile: string;
  /** Runs `Interop.java` on the broker's own jars; returns the lines it prints. */
  java(...args: readonly string[]): string[];
  stop(): Promise<void>;
}

export const user = { username: "weir", password: "pencil" };

/** A real broker with a listener that asks for TLS and a password; certificate and users are made here. */
export async function startSecureKafka(): Promise<SecureKafka> {
  await setUp({ components: ["kafka"] });
  const dir = mkdtempSync(path.join(tmpdir(), "weir-secure-kafka-"));
  const classPath = path.join(defaultCacheDir(), "kafka", "*");
  const [plain, secure, controller] = await freePorts(3);
  const store = path.join(dir, "broker.p12");
  const caFile = path.join(dir, "ca.pem");
  const key = ["-keystore", store, "-storepass", "changeit", "-alias", "broker"];
  const named = ["-dname", "CN=localhost", "-ext", "san=dns:localhost"];
  execFileSync(keytool, ["-genkeypair", "-keyalg", "EC", "-validity", "2", ...key, ...named], { stdio: "pipe" });
  execFileSync(keytool, ["-exportcert", "-rfc", "-file", caFile, ...key], { stdio: "pipe" });
  const login = (module: string, more = "") => `org.apache.kafka.common.security.${module} required${more};`;
  const listener = "listener.name.secure";
  const settings = {
    "process.roles": "broker,controller",
    "node.id": 1,
    listeners: `PLAIN://127.0.0.1:${plain},SECURE://localhost:${secure},CONTROLLER://127.0.0.1:${controller}`,
    "advertised.listeners": `PLAIN://127.0.0.1:${plain},SECURE://localhost:${secure}`,
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAIN:PLAINTEXT,SECURE:SASL_SSL,CONTROLLER:PLAINTEXT",
    "inter.broker.listener.name": "PLAIN",
    "controller.quorum.voters": `1@127.0.0.1:${controller}`,
    "log.dirs": path.join(dir, "log"),
    "offsets.topic.replication.factor": 1,
    "offsets.topic.num.partitions": 1,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "transaction.state.log.num.partitions": 1,
    "group.initial.rebalance.delay.ms": 0,
    "log.cleaner.dedupe.buffer.size": 16_777_216,
    "ssl.keystore.location": store,
    "ssl.keystore.password": "changeit",
    "ssl.keystore.type": "PKCS12",
    [`${listener}.sasl.enabled.mechanisms`]: "SCRAM-SHA-256,SCRAM-SHA-512,PLAIN",
    [`${listener}.scram-sha-256.sasl.jaas.config`]: login("scram.ScramLoginModule"),
    [`${listener}.scram-sha-512.sasl.jaas.config`]: login("scram.ScramLoginModule"),
    [`${listener}.plain.sasl.jaas.config`]: login(
      "plain.PlainLoginModule",
      ` user_${user.username}="${user.password}"`,
    ),
  };
  const properties = path.join(dir, "server.properties");
  writeFileSync(
    properties,
    Object.entries(settings)
      .map(([name, value]) => `${name}=${value}`)
      .join("\n"),
  );
  const run = ["-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", classPath];
  const scram = ["SCRAM-SHA-256", "SCRAM-SHA-512"].flatMap((mechanism) => [
    "--add-scram",
    `${mechanism}=[name=${user.username},password=${user.password}]`,
  ]);
  const format = ["kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c", properties, ...scram];
  execFileSync(java, [...run, ...format], { stdio: "pipe" });
  const logFile = path.join(dir, "broker.log");
  const out = openSync(logFile, "w");
  const log4j = new URL("../../local/components/kafka-log4j2.properties", import.meta.url).pathname;
  const child = spawn(java, [...run, `-Dlog4j2.configurationFile=file:${log4j}`, "kafka.Kafka", properties], {
    stdio: ["ignore", out, out],
  });
  closeSync(out);
  await until("the broker runs", () => readFileSync(logFile, "utf8").includes("Kafka Server started"), 60_000);
  return {
    secure: `localhost:${secure}`,
    plain: `127.0.0.1:${plain}`,
    caFile,
    java: (...args) => {
      const program = new URL("Interop.java", import.meta.url).pathname;
      const text = execFileSync(java, [...run, program, `127.0.0.1:${plain}`, ...args], {
        encoding: "utf8",
        stdio: "pipe",
      });
      return text.trim().split("\n");
    },
    stop: async () => {
      child.kill("SIGKILL");
      if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, "127.0.0.1"));
  await Promise.all(servers.map((server) => once(server, "listening")));
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
