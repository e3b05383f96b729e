import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { defaultCacheDir } from "../../../local/index.ts";
import { modelConfig } from "../../../schemas/index.ts";

const root = new URL("../../../", import.meta.url).pathname;
const COLUMNS = 37;

/**
 * An XGBoost and a CatBoost model (100 trees, depth 6, 37 columns) in a Triton repository, and 100,000 rows for them.
 * Returns the file with the rows, float32, row-major.
 */
export function benchModels(repository: string, scratch: string): string {
  mkdirSync(scratch, { recursive: true });
  execFileSync(join(defaultCacheDir(), "tools/bin/python"), [join(root, "tests/triton/fixtures/parity.py"), scratch], {
    env: { ...process.env, PYTHONPATH: join(root, "trainer/python"), OMP_NUM_THREADS: "1" },
    stdio: ["ignore", "ignore", "inherit"],
  });
  for (const [name, format, file] of [
    ["xgboost_anomaly", "xgboost-json", "xgboost.json"],
    ["catboost_anomaly", "catboost-onnx", "model.onnx"],
  ] as const) {
    const folder = join(repository, name, "1");
    mkdirSync(folder, { recursive: true });
    copyFileSync(join(scratch, file), join(folder, file));
    copyFileSync(join(root, "trainer/python/weir_trainer/model.py"), join(folder, "model.py"));
    // All that model.py reads of a manifest.
    writeFileSync(join(folder, "manifest.json"), JSON.stringify({ format }));
    const config = modelConfig(name, COLUMNS, { backend: "python", keptVersions: 1 });
    writeFileSync(join(repository, name, "config.pbtxt"), config);
  }
  return join(scratch, "rows.f32");
}
