import { copyFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { readConfig } from "../config.ts";
import { type Backend, backendsOf } from "../schemas/index.ts";
import { WeirError } from "../streams/index.ts";
import { publish } from "../trainer/index.ts";
import {
  checkModel,
  checkOnServer,
  loadModels,
  type ModelReport,
  modelFolders,
  readManifest,
  readModel,
  TritonClient,
} from "../triton/index.ts";
import { currentLocal } from "./local-options.ts";

interface CheckFlags {
  readonly server?: string;
  readonly json: boolean;
}

/** `weir model check DIR`: every fault of every version folder meant. Returns the exit code. */
export async function check(dir: string, { server, json }: CheckFlags): Promise<number> {
  const reports = modelFolders(dir).map(checkModel);
  const checked = server === undefined ? reports : await onServer(server, reports);
  const log = json ? process.stderr : process.stdout;
  for (const report of checked) log.write(`${text(report, server)}\n`);
  const faults = checked.reduce((sum, { faults }) => sum + faults.length, 0);
  if (json) process.stdout.write(`${JSON.stringify({ models: checked, server: server ?? null, faults })}\n`);
  return faults === 0 ? 0 : 1;
}

async function onServer(address: string, reports: readonly ModelReport[]): Promise<ModelReport[]> {
  const client = new TritonClient({ address });
  const checked: ModelReport[] = [];
  try {
    for (const report of reports) {
      const faults = [...report.faults];
      // A folder with faults of its own is not worth a server's answer.
      if (faults.length === 0)
        await checkOnServer(client, readModel(report.folder)).catch((error: unknown) => {
          if (!(error instanceof WeirError)) throw error;
          faults.push(error.message);
        });
      checked.push({ ...report, faults, ...(faults.length === 0 && { notProved: [] }) });
    }
  } finally {
    client.close();
  }
  return checked;
}

function text(report: ModelReport, server: string | undefined): string {
  const { model, version, digest, columns, goldenRows, backend, faults, notProved } = report;
  const where = server === undefined ? "by the built-in evaluator" : `by the built-in evaluator and at ${server}`;
  if (faults.length === 0) {
    return [
      `${model} version ${version}: ${columns} columns, backend ${backend}, ${goldenRows} golden rows equal ${where}`,
      `  digest ${digest}`,
      ...notProved.map((what) => `  not proved: ${what}`),
    ].join("\n");
  }
  return [`${model} version ${version}: ${faults.length} faults`, ...faults.map((fault) => `  ${fault}`)].join("\n");
}

interface PublishFlags {
  readonly backend: Backend;
  readonly json: boolean;
}

/**
 * `weir model publish DIR`: the version folder becomes the next version of its model in WEIR_MODEL_REPOSITORY, the server
 * loads it and must give the golden rows their outputs. A version that does not is taken out again; no routing record
 * names it before.
 */
export async function publishModel(dir: string, { backend, json }: PublishFlags): Promise<void> {
  const local = process.env.WEIR_TRITON_GRPC ? {} : (currentLocal()?.options ?? {});
  const config = readConfig(process.env, ["tritonGrpc", "modelRepository"], local);
  const folder = modelFolders(dir).at(-1)!;
  const { version: _, ...unnumbered } = readManifest(folder);
  readModel(folder);
  const { name, format } = unnumbered;
  if (!backendsOf[format].includes(backend)) {
    throw new WeirError(
      "MODEL_BACKEND_UNKNOWN",
      "fatal",
      `${backend} does not serve ${format}.`,
      `Choose ${backendsOf[format].join(" or ")}.`,
    );
  }
  // One configuration serves all versions: if this one is refused, the others need theirs back.
  const scratch = await mkdtemp(path.join(tmpdir(), "weir-publish-"));
  const kept = path.join(scratch, "config.pbtxt");
  const served = path.join(config.modelRepository, name, "config.pbtxt");
  const hadConfig = await copyFile(served, kept).then(
    () => true,
    () => false,
  );
  const published = await publish(config.modelRepository, folder, unnumbered, backend);
  const client = new TritonClient({ address: config.tritonGrpc });
  try {
    await loadModels({ client, repositoryDir: config.modelRepository, names: [name] });
    const { digest } = checkModel(published.folder);
    const { version } = published.manifest;
    if (json) process.stdout.write(`${JSON.stringify({ model: name, version, digest, backend })}\n`);
    else process.stdout.write(`${name} version ${version} is served at ${config.tritonGrpc}; digest ${digest}\n`);
  } catch (error) {
    await rm(hadConfig ? published.folder : path.dirname(published.folder), { recursive: true, force: true });
    if (hadConfig) await copyFile(kept, served);
    await client.load(name).catch(() => undefined); // the version served before goes on; what was wrong is told below
    throw error;
  } finally {
    client.close();
    await rm(scratch, { recursive: true, force: true });
  }
  process.stderr.write(`Nothing is scored by it yet: \`weir routing set\` gives it a share.\n`);
}
