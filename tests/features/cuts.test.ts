import fc from "fast-check";
import { expect, test } from "vitest";
import { loadFeatureSet } from "../../processors/features/index.ts";
import { bits, column, core37, DAY_ONE, emf, eventsOf, lineEvent, MINUTE, newProcessor, run, sign } from "./helpers.ts";

const T = (DAY_ONE + 600) * MINUTE;
const END = sign("s", "tick", T + 60 * MINUTE);
const wide = loadFeatureSet("wide");

/** What JSON cannot say becomes null, which breaks the document's shape: it counts as a line then. */
const odd = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 1e39, -1e39, 1.7e308, 3.4e38, 2 ** 53, -0];
const value = fc.oneof(
  fc.double({ min: 0, max: 100, noNaN: true }),
  fc.nat(2 ** 31 - 1),
  fc.constantFrom(...odd, 1e15),
);
const metrics = fc.dictionary(
  fc.constantFrom("CPUUtilization", "MemoryUtilization", "NetworkIn", "DiskReadOps"),
  fc.oneof(value, fc.array(value, { minLength: 1, maxLength: 3 })),
  { minKeys: 1 },
);
const event = fc.record({
  minute: fc.nat(8),
  ms: fc.nat(59_999),
  entity: fc.constantFrom("a", "b"),
  what: fc.oneof(metrics, fc.constantFrom("info", "warn", "error", "fatal")),
});
type Event = typeof event extends fc.Arbitrary<infer T> ? T : never;

/** Records of one source whose clock moves a minute at a time; within a minute events come in the order of their ranks. */
function recordsOf(events: readonly Event[], rankOf: (i: number) => number, sizeOf: (i: number) => number) {
  const records = [sign("s", "open", T)];
  const byMinute = Map.groupBy(events.keys(), (i) => events[i]!.minute);
  for (let minute = 0; minute <= 8; minute++) {
    const mine = (byMinute.get(minute) ?? []).sort((i, j) => rankOf(i) - rankOf(j) || i - j);
    for (let at = 0; at < mine.length; ) {
      const { entity } = events[mine[at]!]!;
      const size = sizeOf(mine[at]!);
      let end = at;
      while (end < mine.length && end < at + size && events[mine[end]!]!.entity === entity) end++;
      const piece = mine.slice(at, end).map((i) => {
        const { ms, what } = events[i]!;
        const timestampMs = T + minute * MINUTE + ms;
        if (typeof what === "string") return lineEvent(timestampMs, what, `${i}`);
        return { id: `${i}`, timestampMs, message: emf(entity, timestampMs, what) };
      });
      records.push(eventsOf("s", entity, T + minute * MINUTE, piece));
      at = end;
    }
  }
  return [...records, END];
}

test.each([["core-37", core37] as const, ["wide", wide] as const])(
  "however a minute's events are ordered and cut into records, odd values among them, rows of %s are equal in every bit",
  (_, set) => {
    fc.assert(
      fc.property(
        fc.array(event, { minLength: 20, maxLength: 60 }),
        fc.array(fc.nat(1_000), { minLength: 60, maxLength: 60 }),
        fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 60, maxLength: 60 }),
        (events, ranks, sizes) => {
          const whole = run(
            recordsOf(
              events,
              (i) => (events[i]!.entity === "a" ? 0 : 1),
              () => 100,
            ),
            newProcessor(set),
          );
          const cut = run(
            recordsOf(
              events,
              (i) => ranks[i]!,
              (i) => sizes[i]!,
            ),
            newProcessor(set),
          );
          expect(cut.rows.map(bits)).toEqual(whole.rows.map(bits));
          expect(cut.output.counts).toEqual(whole.output.counts);
          for (const row of whole.rows) {
            for (const v of row.values) expect(Math.abs(v)).not.toBe(Number.POSITIVE_INFINITY);
          }
        },
      ),
      { numRuns: set === core37 ? 80 : 20 },
    );
  },
);

test("a counter of eleven digits keeps its unit steps", () => {
  const base = 5e10;
  const records = [sign("s", "open", T)];
  for (let m = 0; m < 15; m++) {
    const at = T + m * MINUTE;
    records.push(
      eventsOf("s", "a", at, [{ id: `${m}`, timestampMs: at, message: emf("a", at, { NetworkIn: base + (m % 2) }) }]),
    );
  }
  const { rows } = run([...records, END], newProcessor());
  expect(column(rows[14]!, "network_in_sum")).toBe(Math.fround(15 * base + 7));
  expect(column(rows[14]!, "network_in_std")).toBe(Math.fround(Math.sqrt(4 / 15)));
});
