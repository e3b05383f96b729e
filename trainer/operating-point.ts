/** Flagged windows of one entity this close together are one alert: nobody is told twice within half an hour. */
const EPISODE_GAP_MS = 30 * 60_000;
const DAY_MS = 86_400_000;
/** Where no anomaly is labelled, this share of normal rows stays below the threshold. */
const NORMAL_QUANTILE = 0.995;
/** With fewer labelled anomalies than this the best F1 is a matter of luck, and a missed one weighs more. */
const FEW_POSITIVES = 200;

/** Scored rows with a known label: what an operating point is chosen on. Parallel arrays. */
export interface LabelledScores {
  readonly raw: Float32Array;
  /** 1 anomaly, 0 normal. */
  readonly label: Int8Array;
  readonly entity: Int32Array;
  readonly windowEndMs: Float64Array;
}

export interface OperatingPoint {
  /** A row is an anomaly iff its raw output is at least this. Strictly between 0 and 1. */
  readonly raw: number;
  readonly rule: "best-f1" | "recall-in-budget" | "normal-quantile";
  /** For people: why this point. */
  readonly reason: string;
  readonly falseEpisodesPerMachineDay: number;
}

/**
 * The threshold with the best F1 among those with at most `maxFalseEpisodesPerMachineDay`; with fewer than 200 labelled
 * anomalies the lowest of those that flags one more of them; without labelled anomalies, or where no threshold finds one
 * within that budget, the 99.5 % quantile of the normal rows.
 *
 * The budget holds for every higher threshold too: flagging ever more rows melts false alerts into one long one.
 * A machine-day is as many rows as fit into a day at `hopMs`.
 * The threshold lies half-way to the next lower output, so that rounding elsewhere flips no row.
 */
export function chooseOperatingPoint(
  scores: LabelledScores,
  options: { readonly maxFalseEpisodesPerMachineDay: number; readonly hopMs: number },
): OperatingPoint {
  const { raw, label } = scores;
  const positives = label.reduce((sum, value) => sum + value, 0);
  const machineDays = (raw.length * options.hopMs) / DAY_MS;
  const budget = options.maxFalseEpisodesPerMachineDay;
  const order = descending(raw);
  const episodes = new FalseEpisodes(scores);
  let best = { f1: 0, hits: 0, flagged: 0, rate: 0 };
  const rateAt = new Float64Array(order.length + 1);
  const few = positives < FEW_POSITIVES;
  let [truePositives, within] = [0, true];
  for (let flagged = 1; flagged <= order.length; flagged++) {
    const row = order[flagged - 1]!;
    truePositives += label[row]!;
    episodes.flag(row);
    const rate = episodes.count / machineDays;
    rateAt[flagged] = rate;
    if (raw[order[flagged]!] === raw[row]) continue; // rows of equal output are flagged together
    within &&= rate <= budget;
    const f1 = (2 * truePositives) / (flagged + positives);
    if (within && (few ? truePositives > best.hits : f1 > best.f1)) best = { f1, hits: truePositives, flagged, rate };
  }
  const cut = (flagged: number) => between(raw[order[flagged]!] ?? 0, raw[order[flagged - 1]!] ?? 1);
  if (best.flagged > 0) {
    return {
      raw: cut(best.flagged),
      rule: few ? "recall-in-budget" : "best-f1",
      reason: `${few ? "most anomalies found" : "best F1"} (F1 ${best.f1.toFixed(3)}) with at most ${budget} false alerts per machine-day on ${raw.length} rows held out with ${positives} anomalies`,
      falseEpisodesPerMachineDay: best.rate,
    };
  }
  const normal = raw.filter((_, row) => label[row] === 0).sort();
  const level = normal[Math.min(normal.length - 1, Math.ceil(normal.length * NORMAL_QUANTILE) - 1)] ?? 1;
  // Rows at the quantile itself are normal: the cut goes above them.
  const flagged = raw.reduce((sum, value) => sum + (value > level ? 1 : 0), 0);
  const why = positives === 0 ? "no anomaly is labelled there" : `no threshold keeps to ${budget} false alerts a day`;
  return {
    raw: cut(flagged),
    rule: "normal-quantile",
    reason: `${NORMAL_QUANTILE * 100} % quantile of ${normal.length} normal rows held out: ${why}`,
    falseEpisodesPerMachineDay: rateAt[flagged]!,
  };
}

function descending(raw: Float32Array): Int32Array {
  return Int32Array.from(raw.keys()).sort((a, b) => raw[b]! - raw[a]! || a - b);
}

/** Half-way between two outputs, kept off the ends, where a calibration needs room. */
function between(low: number, high: number): number {
  return Math.min(Math.max((low + high) / 2, 1e-9), 1 - 1e-9);
}

/**
 * Counts false alert episodes while rows are flagged one by one.
 *
 * A flagged normal row is a false alert unless a labelled anomaly of its entity lies within the gap: windows reach
 * back, so the ones after an anomaly still hold it. False alerts of one entity within the gap are one episode.
 */
class FalseEpisodes {
  count = 0;
  readonly #scores: LabelledScores;
  /** Rows sorted by entity, then time, and where each row stands there. */
  readonly #sorted: Int32Array;
  readonly #place: Int32Array;
  readonly #isFalseAlert: Uint8Array;

  constructor(scores: LabelledScores) {
    const { entity, windowEndMs: end } = scores;
    this.#scores = scores;
    this.#sorted = Int32Array.from(entity.keys()).sort((a, b) => entity[a]! - entity[b]! || end[a]! - end[b]! || a - b);
    this.#place = new Int32Array(entity.length);
    this.#sorted.forEach((row, place) => {
      this.#place[row] = place;
    });
    this.#isFalseAlert = new Uint8Array(entity.length);
  }

  flag(row: number): void {
    const { label, windowEndMs } = this.#scores;
    const isAnomaly = (other: number) => label[other] === 1;
    if (isAnomaly(row) || this.#nearest(row, -1, isAnomaly) !== null || this.#nearest(row, 1, isAnomaly) !== null) {
      return;
    }
    this.#isFalseAlert[row] = 1;
    const isFalseAlert = (other: number) => this.#isFalseAlert[other] === 1;
    const [before, after] = [this.#nearest(row, -1, isFalseAlert), this.#nearest(row, 1, isFalseAlert)];
    if (before === null && after === null) this.count++;
    // A row between two episodes that were too far apart joins them.
    else if (before !== null && after !== null && windowEndMs[after]! - windowEndMs[before]! > EPISODE_GAP_MS) {
      this.count--;
    }
  }

  /** The nearest such row of the same entity on this side in time, no further than the gap. */
  #nearest(row: number, side: -1 | 1, isSuch: (other: number) => boolean): number | null {
    const { entity, windowEndMs } = this.#scores;
    for (let place = this.#place[row]! + side; ; place += side) {
      const other = this.#sorted[place];
      if (other === undefined || entity[other] !== entity[row]) return null;
      if (Math.abs(windowEndMs[other]! - windowEndMs[row]!) > EPISODE_GAP_MS) return null;
      if (isSuch(other)) return other;
    }
  }
}
