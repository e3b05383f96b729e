import fc from "fast-check";
import { expect, test } from "vitest";
import { EMBARGO, splitInTime, TRAIN, VALIDATION } from "../../trainer/split.ts";

const times = (...values: number[]) => Float64Array.from(values);
const labels = (...values: number[]) => Int8Array.from(values);

test("a training row ends exactly one embargo before the cut and the next later one is in neither slice", () => {
  //  end:   10  20  30  40 | 50  60      cut at 50, embargo 20
  const split = splitInTime(times(10, 20, 30, 40, 50, 60), labels(0, 0, 0, 0, 0, 0), {
    validationFraction: 1 / 3,
    embargoMs: 20,
  });
  expect(split.boundaryMs).toBe(50);
  expect([...split.slice]).toEqual([TRAIN, TRAIN, TRAIN, EMBARGO, VALIDATION, VALIDATION]);
  expect(split).toMatchObject({ train: 3, embargo: 1, validation: 2 });
});

test("the fraction is taken of the labelled rows, so that unlabelled history does not eat up the labels", () => {
  const split = splitInTime(times(1, 2, 3, 4, 5, 6, 7, 8), labels(-1, -1, -1, -1, 0, 1, 0, 1), {
    validationFraction: 0.25,
    embargoMs: 1,
  });
  expect(split.boundaryMs).toBe(8);
});

test("without any label the fraction is taken of all rows", () => {
  const split = splitInTime(times(1, 2, 3, 4), labels(-1, -1, -1, -1), { validationFraction: 0.25, embargoMs: 0 });
  expect(split.boundaryMs).toBe(4);
});

test("no event counts in both slices, rows of one window end stay together and every row is counted once", () => {
  const rows = fc.array(fc.record({ end: fc.integer({ min: 0, max: 50 }), label: fc.integer({ min: -1, max: 1 }) }), {
    minLength: 1,
    maxLength: 80,
  });
  fc.assert(
    fc.property(
      rows,
      fc.double({ min: 0.05, max: 0.95, noNaN: true }),
      fc.integer({ min: 0, max: 20 }),
      (list, fraction, embargoMs) => {
        const end = Float64Array.from(list, (row) => row.end);
        const split = splitInTime(
          end,
          Int8Array.from(list, (row) => row.label),
          { validationFraction: fraction, embargoMs },
        );
        const of = (part: number) => [...end.filter((_, row) => split.slice[row] === part)];
        const [train, validation] = [of(TRAIN), of(VALIDATION)];
        expect(split.train + split.validation + split.embargo).toBe(list.length);
        // A window reaches back `embargoMs` from its end, which is exclusive.
        for (const later of validation) expect(train.every((earlier) => earlier <= later - embargoMs)).toBe(true);
        expect(of(EMBARGO).every((value) => !validation.includes(value))).toBe(true);
        expect(validation.length).toBeGreaterThan(0);
      },
    ),
  );
});
