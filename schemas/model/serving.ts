import type { ModelFormat, ModelManifest } from "./manifest.ts";

/** Triton's backends that can serve an artefact. The forest is evaluated by code of our own: python alone. */
export type Backend = "python" | "fil" | "onnxruntime";

export const backendsOf: Readonly<Record<ModelFormat, readonly Backend[]>> = {
  "xgboost-json": ["python", "fil"],
  "catboost-onnx": ["python", "onnxruntime"],
  "isolation-forest-json": ["python"],
};

/** Tensor names are each backend's own: FIL fixes them, onnxruntime takes the graph's, python those of FIL. */
export function tensorsFor(backend: Backend, columns: number): Pick<ModelManifest, "input" | "output"> {
  if (backend === "onnxruntime")
    return { input: { name: "features", columns }, output: { name: "probabilities", width: 2 } };
  return { input: { name: "input__0", columns }, output: { name: "output__0" } };
}

export interface ServingOptions {
  readonly backend: Backend;
  /** Newest versions that the server keeps loaded. */
  readonly keptVersions: number;
  /** Instances on each GPU instead of one on the CPU; python stays on the CPU. */
  readonly gpu?: boolean;
}

/** config.pbtxt: rows of `columns` floats in, batched on the server. */
export function modelConfig(name: string, columns: number, options: ServingOptions): string {
  const { backend, keptVersions, gpu = false } = options;
  const { input, output } = tensorsFor(backend, columns);
  const kind = gpu && backend !== "python" ? "KIND_GPU" : "KIND_CPU";
  const parameters = backend === "fil" ? filParameters : {};
  return `name: "${name}"
backend: "${backend}"
max_batch_size: 4096
input [ { name: "${input.name}" data_type: TYPE_FP32 dims: [ ${columns} ] } ]
output [ { name: "${output.name}" data_type: TYPE_FP32 dims: [ ${output.width ?? 1} ] } ]
instance_group [ { count: 1 kind: ${kind} } ]
dynamic_batching { preferred_batch_size: [ 64, 256 ] max_queue_delay_microseconds: 500 }
version_policy { latest { num_versions: ${keptVersions} } }
${Object.entries(parameters)
  .map(([key, value]) => `parameters { key: "${key}" value: { string_value: "${value}" } }\n`)
  .join("")}`;
}

/**
 * FIL renamed its parameters in 25.09: each server reads the names it knows. The threshold has no default where
 * `is_classifier` is set, though it is not used with `predict_proba`.
 */
export const filParameters: Readonly<Record<string, string>> = {
  model_type: "xgboost_json",
  predict_proba: "true",
  threshold: "0.5",
  output_class: "true", // before 25.09
  is_classifier: "true", // from 25.09 on
  storage_type: "AUTO", // before 25.09
  algo: "ALGO_AUTO", // before 25.09
  layout: "depth_first", // from 25.09 on
};
