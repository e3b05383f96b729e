import type { Outcome } from "./world.ts";

/** In what a disturbed run differs from the undisturbed one; null if in nothing. */
export function judge(expected: Outcome, actual: Outcome): string | null {
  for (const name of new Set([...expected.records.keys(), ...actual.records.keys()])) {
    const [wanted, got] = [expected.records.get(name) ?? [], actual.records.get(name) ?? []];
    const at = wanted.findIndex((text, i) => text !== got[i]);
    if (at >= 0) {
      const what = got[at] === undefined ? "is missing" : wanted.includes(got[at]) ? "is lost or doubled" : "differs";
      return `${name}: record ${at} of ${wanted.length} ${what}: wanted ${short(wanted[at])}, got ${short(got[at])}${because(actual)}`;
    }
    if (got.length > wanted.length)
      return `${name}: ${got.length - wanted.length} more than the ${wanted.length} wanted, first ${short(got[wanted.length])}${because(actual)}`;
  }
  for (const [task, counters] of actual.counters) {
    const { out: _, in: all, ...parts } = JSON.parse(counters) ?? {};
    const sum = Object.values(parts as Record<string, number>).reduce((a, b) => a + b, 0);
    if (sum !== all) return `${task}: ${all} events came in, ${sum} are accounted for`;
    if (counters !== expected.counters.get(task))
      return `${task}: counted ${counters}, wanted ${expected.counters.get(task)}${because(actual)}`;
  }
  if (actual.broken !== null) return actual.broken;
  for (const task of actual.counters.keys())
    if (actual.owners.get(task) !== 1) return `${task} has ${actual.owners.get(task) ?? 0} owners at the end`;
  return null;
}

const because = ({ broken }: Outcome): string => (broken === null ? "" : `; ${broken}`);
const short = (text: string | undefined): string =>
  text === undefined ? "nothing" : JSON.stringify(text.length > 120 ? `${text.slice(0, 120)}…` : text);
