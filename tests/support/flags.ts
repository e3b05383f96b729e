import { readFileSync } from "node:fs";
import { type ParseArgsOptionsConfig, parseArgs } from "node:util";

/**
 * The flags of a script. `--help`, or a flag that it does not have, prints the comment at the script's head, which says what
 * it does and takes, and ends the process.
 */
export function flagsOf<const T extends ParseArgsOptionsConfig>(script: string, options: T) {
  try {
    const { values } = parseArgs({ options: { ...options, help: { type: "boolean" } } });
    if (!("help" in values)) return values as ReturnType<typeof parseArgs<{ options: T }>>["values"];
    console.log(headOf(script));
    return process.exit(0);
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${headOf(script)}`);
    return process.exit(2);
  }
}

/** The comment at the head of a script. */
export function headOf(script: string): string {
  const [head = ""] = /\/\*\*[\s\S]*?\*\//.exec(readFileSync(new URL(script), "utf8")) ?? [];
  return head.replace(/^\/\*\*\n?|\s*\*\/$/g, "").replaceAll(/^ \* ?/gm, "");
}
