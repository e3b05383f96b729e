import { InvalidArgumentError, Option } from "commander";

/** How arguments of commands are read; each throws commander's own error, which it prints with the flag. */

/** A whole number within bounds. */
export const whole = (min: number, max: number) => (text: string) => {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < min || value > max)
    throw new InvalidArgumentError(`Give a whole number from ${min} to ${max}.`);
  return value;
};

/** Whoever gives a command is written into what it leaves. */
export const author = () => new Option("--author <name>", "who says so").default(process.env.USER || "operator");
export const json = () => new Option("--json", "one JSON object on the last line").default(false);
/** A flag that may be given several times. */
export const collect = (text: string, previous: string[] = []) => [...previous, text];
export const anyTime = (text: string) => {
  const value = Date.parse(text);
  if (Number.isNaN(value)) throw new InvalidArgumentError("Give a time, such as 2026-01-05T00:00:00Z.");
  return value;
};
/** Minutes, as milliseconds. */
export const minutes = (text: string) => whole(0, 525_600)(text) * 60_000;
export const share = (text: string) => {
  const value = Number(text);
  if (!(value >= 0 && value < 1)) throw new InvalidArgumentError("Give a share from 0 to below 1, such as 0.01.");
  return value;
};
