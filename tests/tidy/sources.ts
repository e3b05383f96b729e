import { existsSync, readdirSync, readFileSync } from "node:fs";
import { builtinModules } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";

/** What the rules of the tree are checked on: the files as they lie there, without what is installed or made. */
export const root = fileURLToPath(new URL("../..", import.meta.url));

const made = new Set(["node_modules", ".weir", ".git", "coverage", "__pycache__"]);

/** Paths from the root, `/` between folders, of all files with one of the endings. */
export function filesWith(...endings: readonly string[]): string[] {
  const found: string[] = [];
  const walk = (folder: string) => {
    for (const entry of readdirSync(path.join(root, folder), { withFileTypes: true })) {
      const name = folder === "" ? entry.name : `${folder}/${entry.name}`;
      if (entry.isDirectory()) {
        if (!made.has(entry.name)) walk(name);
      } else if (endings.some((ending) => name.endsWith(ending))) found.push(name);
    }
  };
  walk("");
  return found.sort();
}

export const read = (file: string): string => readFileSync(path.join(root, file), "utf8");

/** Code of the product: no tests, no generated file. */
export const productFiles = (): string[] =>
  filesWith(".ts", ".mjs", ".py").filter((file) => !file.startsWith("tests/") && file !== "vitest.config.ts");

/** The text without comments, line numbers kept. Strings stay; a `//` in one (a URL) does not begin a comment. */
export function withoutComments(text: string): string {
  return text.replace(
    /("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`)|\/\*[\s\S]*?\*\/|(?<![:\\])\/\/[^\n]*/g,
    (match, string: string | undefined) => string ?? match.replace(/[^\n]/g, ""),
  );
}

export interface Import {
  readonly file: string;
  readonly line: number;
  readonly specifier: string;
  /** From the root, for one of our own; null for packages and Node's modules. */
  readonly target: string | null;
  /** Gone at run time. */
  readonly typeOnly: boolean;
}

/** All imports of a file: static, dynamic, re-exports. */
export function importsOf(file: string): Import[] {
  const text = withoutComments(read(file));
  const statements =
    /^\s*(?:import|export)\s+(type\s)?(?:[\w*\s{},]+?\sfrom\s+)?"([^"\n]+)"|\bimport\(\s*"([^"\n]+)"/gm;
  return [...text.matchAll(statements)].map(({ 1: type, 2: named, 3: dynamic, index }) => {
    const specifier = named ?? dynamic ?? "";
    return {
      file,
      line: text.slice(0, index).trimEnd().split("\n").length + (index === 0 ? 0 : 1),
      specifier,
      target: specifier.startsWith(".") ? path.posix.join(path.posix.dirname(file), specifier) : null,
      typeOnly: type !== undefined,
    };
  });
}

export const isPackage = ({ target, specifier }: Import): boolean =>
  target === null && !specifier.startsWith("node:") && !builtinModules.includes(specifier);

export const exists = (file: string): boolean => existsSync(path.join(root, file));
