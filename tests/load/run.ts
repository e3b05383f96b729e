/**
 * `npm run load -- [--users 10] [--seconds 60] [--ramp 50] [--target edge|grpc] [--address HOST:PORT] [--out DIR] [--json]`:
 * so many users, then a ramp, against the HTTP interface and the model server; an HTML and a JSON report.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { loadModels, TritonClient } from "../../triton/index.ts";
import { flagsOf } from "../support/flags.ts";
import { isGood, type LoadReport, type PhaseResult, reportPage } from "./report.ts";
import { arrivals, drive, figuresOf, type Phase } from "./schedule.ts";
import { grpcSender, httpSender, type Sender, startLocalTarget, TOKEN } from "./target.ts";

const RAMP_SECONDS = 60;
const REQUESTS_PER_SECOND = 2.77;

const values = flagsOf(import.meta.url, {
  users: { type: "string", default: "10" },
  seconds: { type: "string", default: "60" },
  ramp: { type: "string", default: "50" },
  target: { type: "string" },
  /** Of a running HTTP interface (token in WEIR_API_TOKENS) or model server (repository in WEIR_MODEL_REPOSITORY). */
  address: { type: "string" },
  out: { type: "string", default: fileURLToPath(new URL("../../.weir/load", import.meta.url)) },
  json: { type: "boolean", default: false },
});
const whole = (name: "users" | "seconds" | "ramp", least: number): number => {
  const value = Number(values[name]);
  if (!Number.isInteger(value) || value < least || value > 10_000) usage(`--${name} is a whole number from ${least}`);
  return value;
};
function usage(fault: string): never {
  console.error(`${fault}. See the head of tests/load/run.ts.`);
  process.exit(2);
}
const [users, seconds, ramp] = [whole("users", 1), whole("seconds", 1), whole("ramp", 0)];
const targets: readonly string[] = values.target === undefined ? ["edge", "grpc"] : [values.target];
if (!targets.every((t) => t === "edge" || t === "grpc")) usage("--target is edge or grpc");
if (values.address !== undefined && targets.length !== 1) usage("--address needs --target");

const say = (line: string) => (values.json ? process.stderr : process.stdout).write(`${line}\n`);
const rampSeconds = Math.min(RAMP_SECONDS, seconds);
const phases: Phase[] = [
  { name: `${users} users, ${seconds} s`, users, seconds, ramp: false, requestsPerSecond: REQUESTS_PER_SECOND },
  ...(ramp > 0
    ? [
        {
          name: `ramp to ${ramp} users, ${rampSeconds} s`,
          users: ramp,
          seconds: rampSeconds,
          ramp: true,
          requestsPerSecond: REQUESTS_PER_SECOND,
        },
      ]
    : []),
];

const local = values.address === undefined ? await startLocalTarget() : undefined;
const startedAt = new Date().toISOString();
const results: PhaseResult[] = [];
try {
  for (const target of targets) {
    for (const phase of phases) {
      const sender = await senderTo(target, phase.users);
      try {
        // Connections and the first answers are not what is asked about.
        await drive(arrivals({ ...phase, seconds: 1, ramp: false }, 9), (user) => sender.send(user));
        say(`${phase.name}, ${target} …`);
        const figures = figuresOf(await drive(arrivals(phase), (user) => sender.send(user)), phase.seconds);
        results.push({ phase, target, figures });
        const { requests, failed, meanMs, p95Ms, p99Ms } = figures;
        say(`  ${requests} requests, ${failed} failed; mean ${meanMs} ms, P95 ${p95Ms} ms, P99 ${p99Ms} ms`);
      } finally {
        sender.close();
      }
    }
  }
} finally {
  await local?.stop();
}

async function senderTo(target: string, count: number): Promise<Sender> {
  const [host, port] = (values.address ?? "").split(":");
  if (target === "edge")
    return local
      ? httpSender(local.edgePort, count)
      : httpSender(Number(port), count, process.env.WEIR_API_TOKENS?.split(",")[0] ?? TOKEN, host);
  if (local) return grpcSender(local.grpc, local.models, count);
  const repositoryDir =
    process.env.WEIR_MODEL_REPOSITORY ?? usage("--target grpc --address needs WEIR_MODEL_REPOSITORY");
  const client = new TritonClient({ address: values.address! });
  const models = await loadModels({ client, repositoryDir, names: ["xgboost_anomaly", "catboost_anomaly"] });
  client.close();
  return grpcSender(values.address!, models, count);
}

const report: LoadReport = {
  startedAt,
  conditions: {
    node: process.version,
    cores: cpus().length,
    "load average at the end": Math.round(loadavg()[0]! * 100) / 100,
    servers: local
      ? "started here, on the same cores: broker, registry, Triton with the tests' small models"
      : values.address!,
    schedule: `open loop, ${REQUESTS_PER_SECOND} requests a second and user, one row a request, latency from the moment due`,
  },
  phases: results,
  passed: results.every(({ figures }) => isGood(figures)),
};
mkdirSync(values.out, { recursive: true });
const file = path.join(values.out, `load-${startedAt.replace(/\D/g, "").slice(0, 14)}`);
writeFileSync(`${file}.html`, reportPage(report));
writeFileSync(`${file}.json`, `${JSON.stringify(report, null, 1)}\n`);
say(`${report.passed ? "Within" : "NOT within"} the limits. Report: ${file}.html`);
if (values.json) process.stdout.write(`${JSON.stringify(report)}\n`);
process.exit(report.passed ? 0 : 1);
