import { expect, test } from "vitest";
import { afterInputs } from "../../commands/roles.ts";

/** Says when it starts and stops; an input takes a while to be read. */
const told: string[] = [];
const input = (name: string) => ({
  start: async () => {
    await new Promise((resolve) => setTimeout(resolve, 5));
    told.push(`${name} read`);
  },
  stop: async () => void told.push(`${name} over`),
});
const runnable = (name: string) => ({
  failed: new Promise<never>(() => undefined),
  status: () => [],
  start: async () => void told.push(`${name} begins`),
  stop: async () => void told.push(`${name} ends`),
});

test("no stage of a role begins before the side inputs were read, once, and they end after the last stage", async () => {
  const stages = afterInputs([input("routing"), input("labels")], [runnable("measure"), runnable("control")]);
  await Promise.all(stages.map((stage) => stage.start()));
  expect(told.splice(0)).toEqual(["routing read", "labels read", "measure begins", "control begins"]);
  await stages[0]!.stop();
  expect(told).toEqual(["measure ends"]);
  await stages[1]!.stop();
  expect(told).toEqual(["measure ends", "control ends", "routing over", "labels over"]);
});
