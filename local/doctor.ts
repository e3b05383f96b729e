import { existsSync, mkdirSync, statfsSync } from "node:fs";
import path from "node:path";
import { defaultCacheDir } from "./setup/index.ts";
import { ask, findPython, goVersion, javaCommand, javaMajor, nextSteps } from "./setup/prerequisites.ts";
import { isDone, spaceNeededBytes } from "./setup/run-steps.ts";
import { steps } from "./setup/steps.ts";
import { supportsXattr } from "./xattr.ts";

/** One prerequisite of the local stack. */
export interface Check {
  readonly name: string;
  /** Without an optional one Weir still runs, in the way that `fix` tells. */
  readonly required: boolean;
  readonly ok: boolean;
  readonly found: string;
  /** The command or step that mends it; empty if there is nothing to mend. */
  readonly fix: string;
}

const mebibytes = (bytes: number) => `${Math.floor(bytes / 1024 ** 2)} MiB`;

/** Looks at everything `npm start` and `npm test` need. Changes nothing but making the cache folder. */
export async function doctor(cacheDir: string = defaultCacheDir()): Promise<Check[]> {
  mkdirSync(cacheDir, { recursive: true });
  const [npm, java, maven, python, go, docker] = await Promise.all([
    ask("npm", ["-v"]),
    ask(javaCommand(), ["-version"]),
    ask("mvn", ["-v"]),
    findPython(),
    goVersion(),
    ask("docker", ["version", "--format", "{{.Server.Version}}"]),
  ]);
  const major = java === null ? null : javaMajor(java);
  const required = (name: string, ok: boolean, found: string | null, fix: string): Check => ({
    name,
    required: true,
    ok,
    found: found ?? "not found",
    fix: ok ? "" : fix,
  });
  const optional = (...check: Parameters<typeof required>): Check => ({ ...required(...check), required: false });
  const firstLine = (text: string | null) => text?.split("\n", 1)[0]?.replaceAll(ansi, "") ?? null;
  const nodeOk = Number(process.versions.node.split(".")[0]) >= 24;
  const native = process.platform === "linux" && process.arch === "x64";
  const missingSteps = Object.values(steps).filter((step) => !isDone(step, cacheDir));
  return [
    required("platform", native, `${process.platform} ${process.arch}`, "Use `--infra docker` on this machine."),
    required("Node", nodeOk, process.version, "Run `npm ci`, then start with `npx weir` or `npm start`."),
    required("npm", npm !== null, npm?.split("\n").at(-1) ?? null, "Install Node 20 or later together with npm."),
    required("Java 17+", major !== null && major >= 17, firstLine(java), nextSteps.java),
    required("Maven", maven !== null, firstLine(maven), nextSteps.maven),
    required(
      "Python 3.11/3.12",
      python !== null,
      python && `${python.version}, ${python.executable}`,
      nextSteps.python,
    ),
    await libpython(python?.executable ?? null),
    optional("Go", go !== null, go, nextSteps.go),
    diskSpace(cacheDir, missingSteps.length > 0),
    sharedMemory(),
    extendedAttributes(cacheDir),
    optional("Docker", docker !== null, docker, "Only `--infra docker` needs it."),
    optional("set-up", missingSteps.length === 0, setUpState(missingSteps), "Run `npm start` or `npx weir local up`."),
  ];
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: Maven colours its version even in a pipe.
const ansi = /\u001b\[[0-9;]*m/g;

const setUpState = (missing: readonly { readonly name: string }[]) =>
  missing.length === 0 ? "complete" : `missing: ${missing.map((step) => step.name).join(", ")}`;

/** The model server links the interpreter's shared library, which some builds of Python leave out. */
async function libpython(executable: string | null): Promise<Check> {
  const name = "libpython";
  const code =
    "import sysconfig as s,ctypes.util as u,os;v=s.get_python_version();f='libpython%s.so.1.0'%v;" +
    "d=os.path.join(s.get_config_var('LIBDIR'),f);print(d if os.path.exists(d) else u.find_library('python'+v) or '')";
  const found = executable === null ? null : await ask(executable, ["-c", code]);
  const ok = found !== null && found !== "";
  return { name, required: true, ok, found: ok ? found : "not found", fix: ok ? "" : nextSteps.python };
}

function diskSpace(cacheDir: string, needed: boolean): Check {
  const { bavail, bsize } = statfsSync(cacheDir);
  const free = bavail * bsize;
  // The set-up is the hungry part; afterwards a run needs little.
  const wanted = needed ? spaceNeededBytes : 1024 ** 3;
  return {
    name: "disk space",
    required: true,
    ok: free >= wanted,
    found: `${mebibytes(free)} free at ${cacheDir}`,
    fix: free >= wanted ? "" : `Free at least ${mebibytes(wanted)}, or set WEIR_CACHE to a folder on a larger disk.`,
  };
}

/** The model server passes tensors to its Python processes through it. */
function sharedMemory(): Check {
  const folder = "/dev/shm";
  const wanted = 64 * 1024 ** 2;
  const stat = existsSync(folder) ? statfsSync(folder) : null;
  const free = stat === null ? 0 : stat.bavail * stat.bsize;
  return {
    name: folder,
    required: true,
    ok: free >= wanted,
    found: stat === null ? "not found" : `${mebibytes(free)} free`,
    fix: free >= wanted ? "" : "Enlarge it: `mount -o remount,size=256m /dev/shm`; in a container: `--shm-size=256m`.",
  };
}

function extendedAttributes(cacheDir: string): Check {
  const ok = supportsXattr(cacheDir);
  return {
    name: "file attributes",
    required: false,
    ok,
    found: ok ? `supported in ${path.dirname(cacheDir)}` : "not supported",
    fix: ok ? "" : "None needed: S3's metadata is kept beside the objects instead.",
  };
}

/** The checks as text, one line each and a second one where something is to be mended. */
export function doctorReport(checks: readonly Check[]): string {
  const width = Math.max(...checks.map((check) => check.name.length));
  return checks
    .flatMap(({ name, ok, required, found, fix }) => {
      const mark = ok ? "✓" : required ? "✗" : "–";
      const line = `  ${mark} ${name.padEnd(width)}  ${found}`;
      return fix === "" ? [line] : [line, `    ${" ".repeat(width)}  → ${fix}`];
    })
    .join("\n");
}
