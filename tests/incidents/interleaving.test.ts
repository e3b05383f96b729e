import fc from "fast-check";
import { expect, test } from "vitest";
import type { AnomalyEdge } from "../../schemas/index.ts";
import { anomaly, MINUTE, Runner } from "./support.ts";

const SOURCES = ["score/0", "score/1", "score/2"];
const MINUTES = 60;

/** One source's edges in its own order: its entities' anomalies minute by minute, with a tick after each minute. */
function edgesOf(source: string, hits: readonly boolean[][]): AnomalyEdge[] {
  const edges: AnomalyEdge[] = [];
  for (let minute = 1; minute <= MINUTES; minute++) {
    hits.forEach((row, e) => {
      if (!row[minute % row.length]) return;
      const a = anomaly(`${source}-machine-${e}`, minute, { entityGroup: e % 2 ? "shop" : "billing" });
      edges.push({ kind: "anomaly", source, clockMs: a.windowEndMs, anomaly: a });
    });
    edges.push({ kind: "tick", source, clockMs: (minute + 1) * MINUTE, anomaly: null });
  }
  edges.push({ kind: "tick", source, clockMs: (MINUTES + 60) * MINUTE, anomaly: null });
  return edges;
}

/** Merges the sources, taking the next edge of the one that `order` names. */
function merge(lists: readonly AnomalyEdge[][], order: readonly number[]): AnomalyEdge[] {
  const next = lists.map(() => 0);
  const out: AnomalyEdge[] = [];
  for (let step = 0; out.length < lists.reduce((n, l) => n + l.length, 0); step++) {
    const wanted = order[step % order.length]! + Math.floor(step / order.length);
    for (let k = 0; k < lists.length; k++) {
      const s = (wanted + k) % lists.length;
      const edge = lists[s]![next[s]!];
      if (!edge) continue;
      next[s]!++;
      out.push(edge);
      break;
    }
  }
  return out;
}

const run = (edges: readonly AnomalyEdge[]) => {
  const runner = new Runner(SOURCES);
  for (const edge of edges) runner.edge(edge);
  expect(runner.collected.rejections).toEqual([]);
  return runner.collected.incidents;
};

const rows = fc.array(fc.array(fc.boolean(), { minLength: 3, maxLength: 40 }), { minLength: 1, maxLength: 3 });

test("the records written are the same however the sources interleave", () => {
  let records = 0;
  fc.assert(
    fc.property(
      fc.tuple(rows, rows, rows),
      fc.array(fc.nat(2), { minLength: 1, maxLength: 50 }),
      fc.array(fc.nat(2), { minLength: 1, maxLength: 50 }),
      (hits, one, other) => {
        const lists = SOURCES.map((source, i) => edgesOf(source, hits[i]!));
        const first = run(merge(lists, one));
        expect(run(merge(lists, other))).toEqual(first);
        records += first.length;
      },
    ),
    { numRuns: 60 },
  );
  expect(records).toBeGreaterThan(100);
});

test("every incident is opened once, its revisions count up by one and it is resolved last", () => {
  fc.assert(
    fc.property(fc.tuple(rows, rows, rows), (hits) => {
      const records = run(
        merge(
          SOURCES.map((source, i) => edgesOf(source, hits[i]!)),
          [0, 1, 2],
        ),
      );
      for (const id of new Set(records.map((r) => r.incidentId))) {
        const mine = records.filter((r) => r.incidentId === id);
        expect(mine.map((r) => r.revision)).toEqual(mine.map((_, i) => i + 1));
        expect(mine[0]?.state).toBe("open");
        expect(mine.filter((r) => r.state === "resolved").length).toBe(1);
        expect(mine.at(-1)?.state).toBe("resolved");
      }
    }),
    { numRuns: 40 },
  );
});
