import { expect, test } from "vitest";
import { addValue } from "../../processors/features/pane-cells.ts";
import { EVENTS, FIRST_OFFSET, LAST_OFFSET, paneLayout } from "../../processors/features/pane-layout.ts";
import { PaneStore } from "../../processors/features/pane-store.ts";
import { RowBuilder } from "../../processors/features/row-builder.ts";
import { core37, DAY_ONE } from "./helpers.ts";

test("a slot's next holder has nothing of the former's panes, though they are still there", () => {
  const layout = paneLayout(core37);
  const panes = new PaneStore("panes", layout, { minutes: 300, entities: 10, silenceStepMinutes: 1, keptMinutes: 60 });
  const cpu = core37.signals.findIndex((s) => s.name === "cpu");
  const rows = new RowBuilder(core37, panes, null);
  const hear = (slot: number, minute: number, offset: number) => {
    const values = panes.openToWrite(minute, slot);
    const own = panes.baseOf(slot) + layout.slotFields;
    values[own + EVENTS] = 1;
    values[own + FIRST_OFFSET] = offset;
    values[own + LAST_OFFSET] = offset;
    addValue(values, panes.baseOf(slot) + layout.cellAt[cpu]!, offset, 50);
    panes.closeBelow(minute + 1);
  };
  const rowOf = (slot: number) => {
    const row = new Float32Array(core37.columns.length);
    rows.build([slot], row, new Float32Array(1));
    return (name: string) => row[core37.columns.indexOf(name)];
  };
  const M = DAY_ONE;
  const former = panes.takeSlot("former", M)!;
  hear(former, M + 10, 77);
  rows.atEnd(M + 11);
  expect(rows.evidenceOf(former)).toEqual([77, 77]);
  expect(rowOf(former)("cpu_mean")).toBe(77);
  // It is freed by a clock that runs ahead of the eviction of its minute.
  expect(panes.evictBelow(M, M + 11)).toEqual([former]);
  expect(panes.takeSlot("next", M + 11)).toBe(former);
  rows.atEnd(M + 12);
  expect(rows.evidenceOf(former)).toEqual([-1, -1]);
  expect(rows.activityOf(former)).toBe("absent");
  hear(former, M + 12, 99);
  rows.atEnd(M + 13);
  expect(rows.evidenceOf(former)).toEqual([99, 99]);
  const row = rowOf(former);
  expect([row("cpu_mean"), row("cpu_std"), row("cpu_max"), row("cpu_lag_1")]).toEqual([99, Number.NaN, 99, Number.NaN]);
});
