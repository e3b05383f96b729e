/**
 * How Weir's processes start Node. Node would let the young generation grow to 96 MB in a process of that much memory,
 * where nearly all is garbage of the last fetch: a third of that costs no more CPU and keeps a stage below 400 MB.
 */
export const flags = [
  "--disable-warning=ExperimentalWarning",
  "--disable-warning=TimeoutNegativeWarning",
  "--max-semi-space-size=16",
];
