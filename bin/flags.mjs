/**
 * How Weir's processes start Node. Node would let the young generation grow to 96 MB in a process of that much memory,
 * where nearly all is garbage of the last fetch: half of that keeps a stage below 400 MB (docs/decisions.md).
 */
export const flags = [
  "--disable-warning=ExperimentalWarning",
  "--disable-warning=TimeoutNegativeWarning",
  "--max-semi-space-size=16",
];
