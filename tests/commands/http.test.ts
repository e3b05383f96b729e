import { expect, test } from "vitest";
import { serveHealth } from "../../commands/http.ts";
import { noCounters, type Runnable, stageName } from "../../streams/index.ts";

test("what a stage tells of itself stands in /metrics under its name", async () => {
  const status = [
    {
      stage: stageName("features"),
      partition: "3",
      state: "running" as const,
      lag: 0,
      watermarkMs: 0,
      counters: noCounters(),
      stateBytes: 0,
      figures: { quality_mean: 0.997, quality_lowest: 0.5 },
    },
  ];
  const stage: Runnable = {
    status: () => status,
    start: async () => {},
    stop: async () => {},
    failed: new Promise<never>(() => {}),
  };
  const { url, close } = await serveHealth([stage], "127.0.0.1", 0);
  try {
    const page = await (await fetch(`${url}/metrics`)).text();
    expect(page).toContain('weir_task_figure{stage="features",partition="3",name="quality_mean"} 0.997');
    expect(page).toContain('weir_task_figure{stage="features",partition="3",name="quality_lowest"} 0.5');
  } finally {
    await close();
  }
});
