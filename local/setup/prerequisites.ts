import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import path from "node:path";
import { promisify } from "node:util";
import { WeirError } from "../../streams/index.ts";

const run = promisify(execFile);

/** Standard output and error of a short command; null if it is missing or fails. */
export async function ask(command: string, args: readonly string[]): Promise<string | null> {
  try {
    const { stdout, stderr } = await run(command, args, { timeout: 20_000 });
    return `${stdout}${stderr}`.trim();
  } catch {
    return null;
  }
}

/** The java of JAVA_HOME if that is set, as Maven does it, else the one in PATH. */
export function javaCommand(): string {
  const home = process.env.JAVA_HOME;
  return home !== undefined && existsSync(path.join(home, "bin/java")) ? path.join(home, "bin/java") : "java";
}

/** Major version out of what `java -version` prints; null if it can't be read. */
export function javaMajor(output: string): number | null {
  const match = /version "(\d+)(?:\.(\d+))?/.exec(output);
  if (!match) return null;
  // Java 8 called itself 1.8.
  return match[1] === "1" ? Number(match[2]) : Number(match[1]);
}

export const nextSteps = {
  java: "Install Java 17 or later (Debian: `apt-get install openjdk-17-jre-headless`), or set JAVA_HOME to it.",
  maven: "Install Maven (Debian: `apt-get install maven`).",
  python:
    "Install Python 3.11 or 3.12 with venv and its shared library (Debian: `apt-get install python3.11-venv libpython3.11`).",
  go: "Install Go 1.24 or later from your distribution or go.dev to have S3 on disk; without it moto's S3 in memory is used.",
} as const;

export async function requireJava(): Promise<string> {
  const command = javaCommand();
  const output = await ask(command, ["-version"]);
  const major = output === null ? null : javaMajor(output);
  if (major === null) throw new WeirError("SETUP_NO_JAVA", "fatal", "Java was not found.", nextSteps.java);
  if (major < 17) throw new WeirError("SETUP_NO_JAVA", "fatal", `Java ${major} is too old.`, nextSteps.java);
  return command;
}

export async function requireMaven(): Promise<string> {
  await requireJava();
  if ((await ask("mvn", ["-v"])) === null) {
    throw new WeirError("SETUP_NO_MAVEN", "fatal", "Maven (`mvn`) was not found or does not run.", nextSteps.maven);
  }
  return "mvn";
}

export interface Python {
  readonly executable: string;
  readonly version: string;
}

// The locked packages have wheels for these two; 3.11 is the one that is tried.
const pythonCandidates = ["python3.11", "python3", "python3.12"];
const pythonProbe =
  "import sys,ensurepip,venv;v=sys.version_info;print(sys.executable,'%d.%d.%d'%v[:3]);sys.exit(0 if v[:2] in ((3,11),(3,12)) else 1)";

/** The first usable Python: 3.11 or 3.12, with venv and ensurepip. */
export async function findPython(): Promise<Python | null> {
  for (const candidate of pythonCandidates) {
    const output = await ask(candidate, ["-c", pythonProbe]);
    const [executable, version] = output?.split(" ") ?? [];
    if (executable !== undefined && version !== undefined) return { executable, version };
  }
  return null;
}

export async function requirePython(): Promise<Python> {
  const python = await findPython();
  if (python !== null) return python;
  throw new WeirError("SETUP_NO_PYTHON", "fatal", "Python 3.11 or 3.12 with venv was not found.", nextSteps.python);
}

/** What `go version` says; null without Go. */
export const goVersion = (): Promise<string | null> => ask("go", ["version"]);
