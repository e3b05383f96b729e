/** How a model did on labelled rows. Shares are null where nothing is there to take a share of. */
export interface Quality {
  readonly prAuc: number | null;
  readonly precision: number | null;
  readonly recall: number | null;
  readonly f1: number | null;
  readonly falsePositiveRate: number | null;
  readonly confusion: {
    readonly truePositives: number;
    readonly falsePositives: number;
    readonly falseNegatives: number;
    readonly trueNegatives: number;
  };
}

/** `label`: 1 anomaly, 0 normal. A row is flagged iff its raw output is at least `threshold`. */
export function measure(raw: Float32Array, label: Int8Array, threshold: number): Quality {
  const counts: [[number, number], [number, number]] = [
    [0, 0],
    [0, 0],
  ];
  raw.forEach((value, row) => {
    counts[label[row] === 1 ? 1 : 0][value >= threshold ? 1 : 0]++;
  });
  const [[trueNegatives, falsePositives], [falseNegatives, truePositives]] = counts;
  return {
    prAuc: averagePrecision(raw, label),
    precision: share(truePositives, truePositives + falsePositives),
    recall: share(truePositives, truePositives + falseNegatives),
    f1: share(2 * truePositives, 2 * truePositives + falsePositives + falseNegatives),
    falsePositiveRate: share(falsePositives, falsePositives + trueNegatives),
    confusion: { truePositives, falsePositives, falseNegatives, trueNegatives },
  };
}

const share = (part: number, whole: number): number | null => (whole === 0 ? null : part / whole);

/** Area under the precision-recall curve as a sum of steps (average precision); rows of equal output count as one step. */
export function averagePrecision(raw: Float32Array, label: Int8Array): number | null {
  const order = Int32Array.from(raw.keys()).sort((a, b) => raw[b]! - raw[a]!);
  let [found, counted, area] = [0, 0, 0];
  order.forEach((row, at) => {
    found += label[row]!;
    if (raw[order[at + 1]!] === raw[row]) return;
    area += (found - counted) * (found / (at + 1));
    counted = found;
  });
  return share(area, found);
}
