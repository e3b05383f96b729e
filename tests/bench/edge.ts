/**
 * What the HTTP interface, and nginx before it, add to a score: the same kind of row, one at a time, in turn straight to
 * the model server, over the interface, and over nginx and the interface.
 */
import { loadavg } from "node:os";
import { percentile } from "../load/schedule.ts";
import { grpcSender, httpSender, type Sender, startLocalTarget } from "../load/target.ts";
import { startNginx } from "../system/nginx.ts";

const ROUNDS = 3_000;
const WARM_UP = 500;
/** Each calls from an address of its own: one alone would meet the rate limit. */
const CALLERS = 200;

console.log(`${ROUNDS} rows a way, one at a time, the ways in turn, after ${WARM_UP} rows each that are not counted.`);
const target = await startLocalTarget();
const nginx = await startNginx({ first: target.edgePort, second: target.edgePort }).catch((error: Error) => {
  console.log(`Without nginx: ${error.message}`);
  return undefined;
});
const ways: Record<string, Sender> = {
  grpc: grpcSender(target.grpc, target.models, 1),
  edge: httpSender(target.edgePort, CALLERS),
  ...(nginx && {
    nginx: httpSender(nginx.port, CALLERS, undefined, undefined, (user) => `127.9.${user >> 7}.${(user & 127) + 1}`),
  }),
};
const times: Record<string, number[]> = Object.fromEntries(Object.keys(ways).map((way) => [way, []]));
try {
  for (let round = 0; round < WARM_UP + ROUNDS; round++) {
    for (const [way, sender] of Object.entries(ways)) {
      const startedAt = performance.now();
      await sender.send(way === "grpc" ? 0 : round % CALLERS);
      if (round >= WARM_UP) times[way]!.push(performance.now() - startedAt);
    }
  }
} finally {
  for (const sender of Object.values(ways)) sender.close();
  await nginx?.stop();
  await target.stop();
}

const round3 = (ms: number) => Math.round(ms * 1_000) / 1_000;
const at = (way: string, share: number): number | null => {
  const sorted = times[way]?.sort((a, b) => a - b);
  return sorted ? round3(percentile(sorted, share)) : null;
};
const over = (way: string, share: number): number | null => {
  const [own, base] = [at(way, share), at("grpc", share)];
  return own === null || base === null ? null : round3(own - base);
};
const p50Ms = { grpc: at("grpc", 0.5), edge: at("edge", 0.5), nginx: at("nginx", 0.5) };
const p95Ms = { grpc: at("grpc", 0.95), edge: at("edge", 0.95), nginx: at("nginx", 0.95) };
for (const way of Object.keys(ways)) console.log(`  ${way.padEnd(6)} P50 ${at(way, 0.5)} ms, P95 ${at(way, 0.95)} ms`);
const figures = {
  overheadMs: over(nginx ? "nginx" : "edge", 0.5),
  overheadP95Ms: over(nginx ? "nginx" : "edge", 0.95),
  edgeOverheadMs: over("edge", 0.5),
  p50Ms,
  p95Ms,
};
const conditions = {
  rows: ROUNDS,
  nginx: nginx ? "deploy/nginx/nginx.conf" : "not installed",
  models: "the tests' small ones, Triton's Python backend",
  servers: "all on the same cores as the caller",
  loadAverage: round3(loadavg()[0]!),
  node: process.version,
};
console.log(JSON.stringify({ bench: "edge", figures, conditions }));
process.exit(0);
