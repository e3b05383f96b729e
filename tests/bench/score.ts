/**
 * Rows per second through the real Triton (python backend) on the same two cores: our client against Triton's own Python
 * client, async_infer and grpc.aio, in turns in one run: the same batches of 256 rows of 37 columns, 7 of 10 to XGBoost
 * and 3 to CatBoost, as many requests in flight. Figures are medians of the rounds; the Python client's is its better one.
 * The Python client is installed into .weir/bench-tritonclient, for this benchmark alone.
 */
import { execFile, execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { defaultCacheDir, startStack } from "../../local/index.ts";
import { TritonClient } from "../../triton/index.ts";
import { benchModels } from "./score/models.ts";

const BATCH = 256;
const COLUMNS = 37;
const IN_FLIGHT = 8;
const ROUNDS = 3;
const WARM_S = 1;
const ROUND_S = 5;
const MODELS = ["xgboost_anomaly", "catboost_anomaly"] as const;

const root = new URL("../../", import.meta.url).pathname;
const venv = join(defaultCacheDir(), "bench-tritonclient");
const run = promisify(execFile);

interface Round {
  readonly rowsPerSecond: number;
  readonly microsPerRow: number;
}

async function ours(address: string, rows: Float32Array): Promise<Round> {
  const client = new TritonClient({ address });
  const batches = Math.floor(rows.length / COLUMNS / BATCH);
  let sent = 0;
  let done = 0;
  const worker = async (untilMs: number) => {
    while (performance.now() < untilMs) {
      const number = sent++;
      const at = (number % batches) * BATCH * COLUMNS;
      const reply = await client.infer({
        model: MODELS[(number * 7) % 10 < 7 ? 0 : 1],
        version: "1",
        input: "input__0",
        output: "output__0",
        columns: COLUMNS,
        data: rows.subarray(at, at + BATCH * COLUMNS),
      });
      if (reply.data.length !== BATCH) throw new Error(`${reply.data.length} scores for ${BATCH} rows`);
      done++;
    }
  };
  const all = (seconds: number) => {
    const untilMs = performance.now() + seconds * 1_000;
    return Promise.all(Array.from({ length: IN_FLIGHT }, () => worker(untilMs)));
  };
  await all(WARM_S);
  done = 0;
  const startedAt = performance.now();
  const before = process.cpuUsage();
  await all(ROUND_S);
  const { user, system } = process.cpuUsage(before);
  client.close();
  const count = done * BATCH;
  return {
    rowsPerSecond: (count * 1_000) / (performance.now() - startedAt),
    microsPerRow: (user + system) / count,
  };
}

async function python(mode: "async_infer" | "aio", address: string, file: string): Promise<Round> {
  const args = [mode, address, file, BATCH, IN_FLIGHT, WARM_S, ROUND_S].map(String);
  const { stdout } = await run(join(venv, "bin/python"), [join(root, "tests/bench/score/client.py"), ...args]);
  return JSON.parse(stdout) as Round;
}

function installPythonClient(): void {
  if (existsSync(join(venv, "lib/python3.11/site-packages/tritonclient"))) return;
  console.log("installing tritonclient for comparison");
  execFileSync(join(defaultCacheDir(), "serve/bin/python"), ["-m", "venv", venv]);
  execFileSync(join(venv, "bin/pip"), ["install", "-q", "tritonclient[grpc]==2.50.0", "numpy<2"], { stdio: "inherit" });
}

const median = (values: number[]): number => values.sort((a, b) => a - b)[values.length >> 1]!;

installPythonClient();
const scratch = mkdtempSync(join(tmpdir(), "weir-bench-score-"));
const stack = await startStack({ runDir: join(scratch, "run"), components: ["triton"] });
try {
  const { grpc, modelRepository } = stack.endpoints.triton;
  const file = benchModels(modelRepository, join(scratch, "models"));
  const rows = new Float32Array(new Uint8Array(readFileSync(file)).buffer);
  const loader = new TritonClient({ address: grpc });
  for (const model of MODELS) await loader.load(model);
  loader.close();
  const rounds = { ours: [] as Round[], async_infer: [] as Round[], aio: [] as Round[] };
  for (let round = 0; round < ROUNDS; round++) {
    rounds.ours.push(await ours(grpc, rows));
    rounds.async_infer.push(await python("async_infer", grpc, file));
    rounds.aio.push(await python("aio", grpc, file));
  }
  for (const [name, list] of Object.entries(rounds)) {
    const told = list.map((r) => `${Math.round(r.rowsPerSecond)} (${r.microsPerRow.toFixed(2)} µs)`);
    console.log(`${name.padEnd(12)} rows/s (client CPU a row): ${told.join(", ")}`);
  }
  const rate = (list: Round[]) => median(list.map((r) => r.rowsPerSecond));
  const best = Math.max(rate(rounds.async_infer), rate(rounds.aio));
  const two = (value: number) => Math.round(value * 100) / 100;
  console.log(
    JSON.stringify({
      bench: "score",
      figures: {
        rowsPerSecond: Math.round(rate(rounds.ours)),
        pythonClientRatio: two(rate(rounds.ours) / best),
        clientMicrosPerRow: two(median(rounds.ours.map((r) => r.microsPerRow))),
        pythonRowsPerSecond: Math.round(best),
        pythonMicrosPerRow: two(
          median((rate(rounds.aio) === best ? rounds.aio : rounds.async_infer).map((r) => r.microsPerRow)),
        ),
      },
      conditions: {
        batchRows: BATCH,
        columns: COLUMNS,
        inFlight: IN_FLIGHT,
        arms: "70/30, XGBoost and CatBoost, 100 trees of depth 6",
        server: "Triton 2.51.0, python backend, one instance a model, on the same cores",
        pythonClient: "tritonclient 2.50.0, async_infer or grpc.aio, the better",
        rounds: `${ROUNDS} of ${ROUND_S} s in turns, ${WARM_S} s warm-up each; medians`,
        node: process.version,
        loadAverage: loadavg().map((v) => two(v)),
      },
    }),
  );
} finally {
  await stack.stop();
  rmSync(scratch, { recursive: true, force: true });
}
