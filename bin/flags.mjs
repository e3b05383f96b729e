/**
 * How Weir's processes start Node. Node would let the young generation grow to 96 MB in a process of that much memory,
 * where nearly all is garbage of the last fetch: half of that keeps a stage below 400 MB. Compiled at their first call, by
 * the compiler that takes no time, a stage's functions need a tenth less of its first seconds (docs/decisions.md).
 */
export const flags = [
  "--disable-warning=ExperimentalWarning",
  "--disable-warning=TimeoutNegativeWarning",
  "--max-semi-space-size=16",
  "--always-sparkplug",
];
