import { describe, expect, test } from "vitest";
import type { TaskStep } from "../../streams/index.ts";
import { ErrorBudget } from "../../streams/task/error-budget.ts";
import { Lifecycle } from "../../streams/task/lifecycle.ts";

const through = (...steps: TaskStep[]) => {
  const lifecycle = new Lifecycle();
  for (const step of steps) lifecycle.at(step);
  return lifecycle;
};
const takeOver: TaskStep[] = ["T1", "T2", "T3", "T4", "T5", "T6"];
const commit: TaskStep[] = ["C1", "C2", "C3", "C4", "C5", "C6"];

describe("the lifecycle of a task", () => {
  test("goes through take-over and commits, and tells whether the task starts or runs", () => {
    expect(through().state).toBe("starting");
    expect(through("T1", "T2", "T3").state).toBe("starting");
    expect(through(...takeOver).state).toBe("running");
    expect(through(...takeOver, ...commit, ...commit).phase).toBe("running");
  });

  test("refuses to commit before the state is restored, to take over while it runs, and to leave its end", () => {
    const illegal = { code: "INTERNAL", disposition: "fatal" };
    expect(() => through("T1", "T2", "C2")).toThrowError(expect.objectContaining(illegal));
    expect(() => through(...takeOver, "T1")).toThrowError(expect.objectContaining(illegal));
    expect(() => through(...takeOver, "C2", "C2")).toThrowError(expect.objectContaining(illegal));
    const ended = through();
    ended.enter("stopped");
    expect(() => ended.at("T1")).toThrowError(expect.objectContaining(illegal));
  });
});

describe("the budget of throws", () => {
  test("bears ten in a row, and the eleventh no longer", () => {
    const budget = new ErrorBudget();
    for (let i = 0; i < 10; i++) expect(budget.spend(i)).toBe(true);
    expect(budget.spend(10)).toBe(false);
  });

  test("counts a record once, however often failed commits bring it back", () => {
    const budget = new ErrorBudget();
    for (let i = 0; i < 100; i++) expect(budget.spend(7)).toBe(true);
    for (let i = 8; i < 17; i++) expect(budget.spend(i)).toBe(true);
    expect(budget.spend(17)).toBe(false);
  });

  test("bears one in a hundred records for ever, two in a hundred not", () => {
    const lasts = (every: number) => {
      const budget = new ErrorBudget();
      for (let i = 1; i < 100_000; i++) {
        if (i % every === 0 && !budget.spend(2 * i)) return false;
        budget.record(2 * i + 1);
      }
      return true;
    };
    expect(lasts(100)).toBe(true);
    expect(lasts(50)).toBe(false);
  });
});
