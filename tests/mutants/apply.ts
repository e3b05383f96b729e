import type { Break } from "./breaks.ts";

/** The text with the fault in it. Throws if a piece does not stand there exactly once: the code has moved on. */
export function applyBreak({ name, file, patch }: Break, text: string): string {
  return patch.reduce((current, [from, to]) => {
    const found = current.split(from).length - 1;
    if (found === 1) return current.replace(from, () => to);
    throw new Error(`The break "${name}" no longer fits ${file}: its text stands there ${found} times: ${from}`);
  }, text);
}
