import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { type Backend, backendsOf, filParameters, type ModelManifest } from "../../schemas/index.ts";
import { WeirError } from "../../streams/index.ts";
import type { TritonClient } from "../client/index.ts";
import { graphTensors } from "../evaluator/catboost.ts";
import { readManifest } from "../manifest.ts";
import { type Model, proveOnServer, readModel, tensorsOf } from "../models.ts";
import { type ConfigMessage, readServingConfig } from "./serving-config.ts";

/** What a version folder was found to be. */
export interface ModelReport {
  readonly folder: string;
  readonly model: string;
  readonly version: string;
  /** SHA-256 over the names and bytes of the version folder's files. */
  readonly digest: string;
  readonly columns: number;
  readonly goldenRows: number;
  readonly backend: string;
  readonly faults: readonly string[];
  /** What could not be proved where this ran, and what stands in for it. */
  readonly notProved: readonly string[];
}

/** The version folders that a folder means: itself, or those below a model's folder, oldest first. */
export function modelFolders(dir: string): string[] {
  const folder = resolve(dir);
  if (existsSync(join(folder, "manifest.json"))) return [folder];
  const versions = existsSync(folder) ? readdirSync(folder).filter((name) => /^[1-9]\d*$/.test(name)) : [];
  if (versions.length > 0) return versions.sort((a, b) => Number(a) - Number(b)).map((name) => join(folder, name));
  throw new WeirError(
    "MODEL_UNKNOWN",
    "fatal",
    `${folder} holds neither manifest.json nor version folders.`,
    "Name a version folder of the model repository, or a model's folder.",
  );
}

/**
 * Everything about a version folder that can be told without a server: manifest, model file, golden rows through the
 * built-in evaluator, and the model's config.pbtxt against the protocol's message and the manifest. All faults together.
 */
export function checkModel(folder: string): ModelReport {
  const faults: string[] = [];
  const attempt = <T>(what: () => T): T | undefined => {
    try {
      return what();
    } catch (error) {
      if (!(error instanceof WeirError)) throw error;
      faults.push(error.message);
      return undefined;
    }
  };
  const manifest = attempt(() => readManifest(folder));
  const model = manifest && attempt(() => readModel(folder));
  const config = readConfig(dirname(folder), faults);
  const backend = typeof config?.backend === "string" ? config.backend : "";
  if (config && manifest) faults.push(...configFaults(config, manifest, folder));
  return {
    folder,
    model: manifest?.name ?? basename(dirname(folder)),
    version: manifest?.version ?? basename(folder),
    digest: digestOf(folder),
    columns: manifest?.columns.length ?? 0,
    goldenRows: model?.golden.rows ?? 0,
    backend,
    faults,
    notProved:
      backend === "fil" || backend === "onnxruntime"
        ? [
            `that a server with the ${backend} backend loads it: config.pbtxt was compared with the protocol's message, and the built-in evaluator gave the golden rows`,
          ]
        : [],
  };
}

/** Whether the server serves that version with the manifest's tensors and gives the golden rows their outputs. */
export async function checkOnServer(client: TritonClient, model: Model, signal?: AbortSignal): Promise<void> {
  const { manifest } = model;
  await client.expectTensors(manifest.name, manifest.version, tensorsOf(manifest), signal ? { signal } : {});
  await proveOnServer(client, model, signal);
}

function readConfig(home: string, faults: string[]): ConfigMessage | undefined {
  const file = join(home, "config.pbtxt");
  if (!existsSync(file)) {
    faults.push(`${file} is missing.`);
    return undefined;
  }
  const { config, faults: found } = readServingConfig(readFileSync(file, "utf8"));
  faults.push(...found.map((fault) => `config.pbtxt ${fault}.`));
  return found.length > 0 ? undefined : config;
}

function configFaults(config: ConfigMessage, manifest: ModelManifest, folder: string): string[] {
  const faults: string[] = [];
  const need = (holds: boolean, fault: string) => {
    if (!holds) faults.push(`config.pbtxt: ${fault}.`);
  };
  const same = (got: unknown, expected: unknown) => JSON.stringify(got) === JSON.stringify(expected);
  const { name, format, input, output, columns } = manifest;
  const backend = config.backend as Backend;
  const known = backendsOf[format];
  need(
    known.includes(backend),
    `backend ${JSON.stringify(backend)} is none of ${known.join(", ")}, which serve ${format}`,
  );
  need(config.name === undefined || config.name === name, `name ${config.name} is not the folder's, ${name}`);
  need(Number(config.max_batch_size ?? 0) > 0, "max_batch_size must be over 0: rows come in batches");
  const tensor = (of: string, dims: number) => [{ name: of, data_type: "TYPE_FP32", dims: [dims] }];
  const bare = (list: unknown) =>
    ((list ?? []) as ConfigMessage[]).map(({ name, data_type, dims }) => ({ name, data_type, dims }));
  need(
    same(bare(config.input), tensor(input.name, columns.length)),
    `input must be ${input.name} TYPE_FP32 [ ${columns.length} ], not ${JSON.stringify(bare(config.input))}`,
  );
  need(
    same(bare(config.output), tensor(output.name, output.width ?? 1)),
    `output must be ${output.name} TYPE_FP32 [ ${output.width ?? 1} ], not ${JSON.stringify(bare(config.output))}`,
  );
  if (backend === "python")
    need(existsSync(join(folder, "model.py")), "the python backend needs model.py in the version folder");
  if (backend === "fil") {
    const got = (config.parameters ?? {}) as Record<string, ConfigMessage>;
    for (const [key, value] of Object.entries(filParameters))
      need(
        got[key]?.string_value === value,
        `FIL needs the parameter ${key} "${value}", not ${JSON.stringify(got[key]?.string_value)}`,
      );
  }
  if (backend === "onnxruntime" && existsSync(join(folder, "model.onnx"))) {
    const graph = graphTensors(readFileSync(join(folder, "model.onnx")));
    need(
      graph.inputs.includes(input.name) && graph.outputs.includes(output.name),
      `the graph's tensors are ${graph.inputs.join(", ")} and ${graph.outputs.join(", ")}, not ${input.name} and ${output.name}`,
    );
  }
  return faults;
}

function digestOf(folder: string): string {
  const hash = createHash("sha256");
  const files = readdirSync(folder).filter((name) => statSync(join(folder, name)).isFile());
  for (const name of files.sort()) {
    const bytes = readFileSync(join(folder, name));
    hash.update(`${name}\0${bytes.length}\0`).update(bytes);
  }
  return hash.digest("hex");
}
