/**
 * Decisions per second of the router (70/30, the hash of a 19-character instance id included), and what routing adds to
 * a batch of 512 rows: choosing the arms and gathering both arms' rows, against handing the same matrix on as it is.
 */
import { loadavg } from "node:os";
import { planScores } from "../../processors/score/plan.ts";
import type { FeatureBatch, RoutingConfig } from "../../schemas/index.ts";
import { armChooser, RoutingTable } from "../../triton/index.ts";

const IDS = 65_536;
const ROUNDS = 7;
const ROUND_MS = 400;
const ROWS = 512;
const COLUMNS = 37;

const config: RoutingConfig = {
  family: "anomaly",
  version: 1,
  mode: "split",
  salt: "anomaly",
  effectiveFromMs: 0,
  arms: [
    { model: "a", modelVersion: "1", weight: 70 },
    { model: "b", modelVersion: "1", weight: 30 },
  ],
  author: "bench",
  createdAtMs: 0,
  experiment: "",
  labelledUntilMs: 0,
};
const ids = Array.from({ length: IDS }, (_, i) => `i-${(i * 0x9e3779b1 + 0x1234567).toString(16).padStart(17, "0")}`);
if (ids.some((id) => id.length !== 19)) throw new Error("ids must have 19 characters");

const median = (values: number[]) => values.sort((a, b) => a - b)[values.length >> 1]!;

const choose = armChooser(config);
let second = 0;
const rates = Array.from({ length: ROUNDS }, () => {
  const startedAt = performance.now();
  let made = 0;
  while (performance.now() - startedAt < ROUND_MS) {
    for (const id of ids) second += choose(id);
    made += IDS;
  }
  return (made * 1_000) / (performance.now() - startedAt);
});

const table = new RoutingTable("anomaly", () => true);
table.offer(config);
const names = Array.from({ length: COLUMNS }, (_, i) => `column_${i}`);
const model = {
  columns: names,
  featureSet: "bench",
  featureSetHash: "bench",
  calibration: { raw: [0, 1], probability: [0, 1], score: [0, 1] },
  threshold: 0.85,
  explain: () => null,
};
const value = {
  featureSetHash: "bench",
  windowEndMs: 60_000,
  columns: COLUMNS,
  entities: ids.slice(0, ROWS),
  matrix: Buffer.alloc(ROWS * COLUMNS * 4),
  firstOffset: Array.from({ length: ROWS }, () => 0),
  lastOffset: Array.from({ length: ROWS }, () => 0),
} as unknown as FeatureBatch;
const record = { topic: "features" as never, partition: 0, offset: 0, timestampMs: 0, key: null, value };
const options = {
  featureSet: { name: "bench", hash: "bench", columns: names, windowMinutes: 15 },
  models: { get: () => model },
  router: table,
  scoreBothArms: false,
};
const overhead = Array.from({ length: 400 }, () => {
  const startedAt = performance.now();
  planScores([record], table.versions(), options);
  return performance.now() - startedAt;
});
const last = overhead.slice(-200).sort((a, b) => a - b);

console.log(`rounds, decisions/s: ${rates.map((rate) => Math.round(rate)).join(", ")} (${second} of the second arm)`);
console.log(`a batch of ${ROWS} rows: median ${last[100]!.toFixed(3)} ms, 99 of 100 under ${last[197]!.toFixed(3)} ms`);
console.log(
  JSON.stringify({
    bench: "route",
    figures: { decisionsPerSecond: Math.round(median(rates)), overheadMs: Math.round(last[197]! * 1_000) / 1_000 },
    conditions: {
      idCharacters: 19,
      distinctIds: IDS,
      batchRows: ROWS,
      columns: COLUMNS,
      overhead: "plan of one batch: arms, gathering of both arms' rows; the 99th of 100, warm",
      process: "one thread, warm; median of the rounds",
      node: process.version,
      loadAverage: loadavg().map((v) => Math.round(v * 100) / 100),
    },
  }),
);
