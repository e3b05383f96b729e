import { expect, test } from "vitest";
import { FLUSH_EVERY_MS, LiveFleet } from "./fleet.ts";

const T0 = Date.UTC(2026, 0, 5);

test("however time is cut, a fleet delivers each event once, behind the time of the event", () => {
  const ids = (cuts: readonly number[]) => {
    const fleet = new LiveFleet(50);
    const all: string[] = [];
    for (let i = 1; i < cuts.length; i++) {
      for (const { atMs, events } of fleet.between(T0 + cuts[i - 1]!, T0 + cuts[i]!)) {
        expect(atMs).toBeGreaterThanOrEqual(T0 + cuts[i - 1]!);
        expect(atMs).toBeLessThan(T0 + cuts[i]!);
        for (const { id, timestampMs } of events) {
          expect(timestampMs).toBeLessThanOrEqual(atMs);
          expect(timestampMs).toBeGreaterThan(atMs - FLUSH_EVERY_MS);
          all.push(id);
        }
      }
    }
    expect(new Set(all).size).toBe(all.length);
    return all.sort();
  };
  const whole = ids([0, 60_000]);
  expect(ids([0, 1, 250, 777, 5_000, 5_001, 33_333, 60_000])).toEqual(whole);
  // Two lines every five seconds and one metric document, an instance and minute.
  expect(whole.length).toBe(50 * (2 * 12 + 1));
  expect(whole.filter((id) => id.endsWith("-m")).length).toBe(50);
});

test("1,500 instances bring about 12 GB a day", () => {
  let bytes = 0;
  for (const { events } of new LiveFleet(150).between(T0, T0 + 60_000))
    for (const { id, message } of events) bytes += message.length + id.length + 20;
  expect((bytes * 10 * 1_440) / 12e9).toBeGreaterThan(0.8);
  expect((bytes * 10 * 1_440) / 12e9).toBeLessThan(1.2);
});
