import type { ColumnDefinition, FeatureSetDefinition } from "./definition.ts";

/** A column, or a pattern of columns: one for each combination of the values in `for`, in their order. */
export type StoredColumn =
  | ColumnDefinition
  | { readonly for: Readonly<Record<string, readonly (string | number)[]>>; readonly name: string };

export type StoredDefinition = Omit<FeatureSetDefinition, "columns"> & { readonly columns: readonly StoredColumn[] };

/**
 * Writes patterns out. `{x}` stands for the value of `x` wherever it occurs in a text; a text that is nothing else
 * becomes the value itself, a number if it is one. The last member of `for` turns fastest.
 */
export const expandDefinition = (stored: StoredDefinition): FeatureSetDefinition => ({
  ...stored,
  columns: stored.columns.flatMap(expandColumn),
});

function expandColumn(column: StoredColumn): ColumnDefinition[] {
  if (!("for" in column)) return [column];
  const { for: lists, ...pattern } = column;
  let combinations: Record<string, string | number>[] = [{}];
  for (const [key, values] of Object.entries(lists)) {
    combinations = combinations.flatMap((one) => values.map((value) => ({ ...one, [key]: value })));
  }
  return combinations.map((values) => fill(pattern, values) as ColumnDefinition);
}

function fill(pattern: unknown, values: Readonly<Record<string, string | number>>): unknown {
  if (typeof pattern === "string") {
    const whole = /^\{(\w+)\}$/.exec(pattern)?.[1];
    if (whole !== undefined && whole in values) return values[whole];
    return pattern.replace(/\{(\w+)\}/g, (text, key: string) => String(values[key] ?? text));
  }
  if (Array.isArray(pattern)) return pattern.map((part) => fill(part, values));
  if (typeof pattern !== "object" || pattern === null) return pattern;
  return Object.fromEntries(Object.entries(pattern).map(([key, part]) => [key, fill(part, values)]));
}
