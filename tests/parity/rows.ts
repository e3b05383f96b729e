/** Feature rows of one way, to be compared with another's. */
import type { FeatureSet } from "../../processors/index.ts";

/** By entity and window end: the columns, then the quality where the way has it. */
export type Rows = Map<string, Float32Array | Float64Array>;

export const keyOf = (entity: string, windowEndMs: number): string => `${windowEndMs} ${entity}`;

export interface Comparison {
  cells: number;
  differing: number;
  /** The first faults in words. */
  readonly faults: string[];
  /** Columns that SQL did not compute, by set: compared among ours alone. */
  readonly leftOut: Set<string>;
}

export const nothingCompared = (): Comparison => ({ cells: 0, differing: 0, faults: [], leftOut: new Set() });

/** Whether two values of a column are taken for equal. */
export type Equal = (a: number, b: number, column: number) => boolean;

const word = new DataView(new ArrayBuffer(4));
const bitsOf = (value: number): number => {
  word.setFloat32(0, value);
  return word.getUint32(0);
};
/** Every bit, but any NaN is any other. */
export const sameFloat32: Equal = (a, b) => (Number.isNaN(a) ? Number.isNaN(b) : bitsOf(a) === bitsOf(b));

const RELATIVE = 1e-6;
/** Of the signal's size: where a value is a difference of much larger ones, their rounding is all that is left of it. */
const OF_SIZE = 1e-9;

/** Within a millionth, for values computed another way. `sizes`: per column the largest value behind it. */
export const within =
  (sizes: readonly number[]): Equal =>
  (a, b, column) => {
    if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) && Number.isNaN(b);
    return a === b || Math.abs(a - b) <= RELATIVE * Math.max(Math.abs(a), Math.abs(b)) + OF_SIZE * sizes[column]!;
  };

/**
 * Compares every way with the first one, cell by cell. A cell counts once, and differs if any way has another value or
 * lacks the row; a row that only another way has counts as a row of differing cells.
 */
export function compare(
  ways: readonly { readonly name: string; readonly rows: Rows; readonly equal: Equal }[],
  set: FeatureSet,
  into: Comparison,
): void {
  const [first, ...others] = ways;
  const columns = set.columns.length;
  const fault = (text: string) => {
    if (into.faults.length < 20) into.faults.push(text);
  };
  for (const [key, row] of first!.rows) {
    into.cells += columns;
    const found = others.map((way) => way.rows.get(key));
    for (let c = 0; c < columns; c++) {
      let differs = false;
      for (const [w, other] of found.entries()) {
        if (other !== undefined && others[w]!.equal(row[c]!, other[c]!, c)) continue;
        differs = true;
        if (other !== undefined || c === 0)
          fault(
            `${set.name} ${key} ${set.columns[c]}: ${first!.name} ${row[c]}, ${others[w]!.name} ${other?.[c] ?? "no such row"}`,
          );
      }
      if (differs) into.differing++;
    }
  }
  for (const way of others) {
    for (const key of way.rows.keys()) {
      if (first!.rows.has(key)) continue;
      into.cells += columns;
      into.differing += columns;
      fault(`${set.name} ${key}: only ${way.name} has this row`);
    }
  }
}
