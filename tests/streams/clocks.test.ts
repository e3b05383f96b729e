import fc from "fast-check";
import { expect, test } from "vitest";
import { SourceClocks } from "../../streams/index.ts";

test("the watermark is the lowest clock of open sources that are not idle", () => {
  const clocks = new SourceClocks();
  clocks.open("a", 0);
  clocks.open("b", 0);
  clocks.advance("a", 50);
  expect(clocks.watermarkMs).toBe(0);
  clocks.advance("b", 30);
  expect(clocks.watermarkMs).toBe(30);
  clocks.idle("b");
  expect(clocks.watermarkMs).toBe(50);
});

test("a closed source no longer holds the watermark, and one that wakes up does not pull it back", () => {
  const clocks = new SourceClocks();
  clocks.advance("a", 10);
  clocks.advance("b", 90);
  clocks.close("a");
  expect(clocks.watermarkMs).toBe(90);
  clocks.advance("late riser", 20);
  expect(clocks.watermarkMs).toBe(90);
});

test("neither a clock nor the watermark ever moves back, and a snapshot goes on as the original", () => {
  const step = fc.record({
    source: fc.constantFrom("a", "b", "c"),
    clockMs: fc.nat(1_000),
    kind: fc.constantFrom("advance", "idle", "close", "open"),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), fc.nat(), (steps, cut) => {
      let clocks = new SourceClocks();
      let last = 0;
      steps.forEach((s, i) => {
        if (i === cut % (steps.length + 1)) clocks = new SourceClocks(JSON.parse(JSON.stringify(clocks.snapshot())));
        const before = clocks.clockOf(s.source);
        if (s.kind === "advance" || s.kind === "open") clocks[s.kind](s.source, s.clockMs);
        else if (s.kind === "idle") clocks.idle(s.source);
        else clocks.close(s.source);
        if (s.kind !== "close") expect(clocks.clockOf(s.source)).toBeGreaterThanOrEqual(before);
        expect(clocks.watermarkMs).toBeGreaterThanOrEqual(last);
        last = clocks.watermarkMs;
      });
    }),
  );
});
