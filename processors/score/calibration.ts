/** `values` at `x`, linear between the knots. Rising `x` never gives a falling value. */
export function interpolate(knots: readonly number[], values: readonly number[], x: number): number {
  const last = knots.length - 1;
  if (!(x > knots[0]!)) return values[0]!;
  if (x >= knots[last]!) return values[last]!;
  let low = 0;
  let high = last;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (knots[middle]! <= x) low = middle;
    else high = middle;
  }
  const share = (x - knots[low]!) / (knots[high]! - knots[low]!);
  return Math.min(values[low]! + share * (values[high]! - values[low]!), values[high]!);
}
