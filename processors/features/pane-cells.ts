import {
  COUNT,
  FIRST,
  FIRST_TIE,
  FIRST_TIME,
  LAST,
  LAST_TIE,
  LAST_TIME,
  MAX,
  MIN,
  SQUARES,
  SQUARES_LOW,
  SUM,
  SUM_LOW,
} from "./pane-layout.ts";

/** Half of a float64's digits: a product of two halves is exact. */
const SPLITTER = 134_217_729;

/** Adds an observation to the cell at `c`. `|value|` must be below 1e100, or the split would overflow. */
export function addValue(v: Float64Array, c: number, value: number, centre: number): void {
  const d = value - centre;
  const sum = v[c + SUM]!;
  const newSum = sum + d;
  const sumPart = newSum - sum;
  v[c + SUM_LOW]! += sum - (newSum - sumPart) + (d - sumPart);
  v[c + SUM] = newSum;

  const square = d * d;
  const scaled = SPLITTER * d;
  const high = scaled - (scaled - d);
  const low = d - high;
  const squareLow = high * high - square + 2 * high * low + low * low;
  const squares = v[c + SQUARES]!;
  const newSquares = squares + square;
  const squaresPart = newSquares - squares;
  v[c + SQUARES_LOW]! += squares - (newSquares - squaresPart) + (square - squaresPart) + squareLow;
  v[c + SQUARES] = newSquares;

  if (v[c + COUNT]! === 0) {
    v[c + MIN] = value;
    v[c + MAX] = value;
  } else if (value < v[c + MIN]!) v[c + MIN] = value;
  else if (value > v[c + MAX]!) v[c + MAX] = value;
  v[c + COUNT]! += 1;
}

/**
 * Keeps the first and the last value of the cell at `c`; call it after `addValue`. Ties of time go by `tie`, a hash of
 * the event's id; values of one event come in their own order.
 */
export function addOrdered(v: Float64Array, c: number, value: number, timestampMs: number, tie: number): void {
  const alone = v[c + COUNT] === 1;
  const firstTime = v[c + FIRST_TIME]!;
  if (alone || timestampMs < firstTime || (timestampMs === firstTime && tie < v[c + FIRST_TIE]!)) {
    v[c + FIRST] = value;
    v[c + FIRST_TIME] = timestampMs;
    v[c + FIRST_TIE] = tie;
  }
  const lastTime = v[c + LAST_TIME]!;
  if (alone || timestampMs > lastTime || (timestampMs === lastTime && tie >= v[c + LAST_TIE]!)) {
    v[c + LAST] = value;
    v[c + LAST_TIME] = timestampMs;
    v[c + LAST_TIE] = tie;
  }
}

/** Sum of squared differences from the mean, given n values' sums about any centre; in doubled precision. */
export function squaresAboutMean(n: number, sum: number, sumLow: number, squares: number, squaresLow: number): number {
  const s = sum + sumLow;
  const sLow = sumLow - (s - sum);
  const q = squares + squaresLow;
  const qLow = squaresLow - (q - squares);
  const product = s * s;
  const productLow = squareError(s, product) + 2 * s * sLow;
  const quotient = product / n;
  const back = quotient * n;
  const rest = product - back - productError(quotient, n, back) + productLow;
  const m2 = q - quotient + (qLow - rest / n);
  // Below this it is rounding, and rounding depends on the order: a relative spread of 1e-12 is none.
  return m2 > 1e-24 * q ? m2 : 0;
}

function squareError(a: number, product: number): number {
  return productError(a, a, product);
}

/** a × b − product, exactly, where `product` is a × b rounded. */
function productError(a: number, b: number, product: number): number {
  const aScaled = SPLITTER * a;
  const aHigh = aScaled - (aScaled - a);
  const aLow = a - aHigh;
  const bScaled = SPLITTER * b;
  const bHigh = bScaled - (bScaled - b);
  const bLow = b - bHigh;
  return aHigh * bHigh - product + aHigh * bLow + aLow * bHigh + aLow * bLow;
}
