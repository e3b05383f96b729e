import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  planReplay,
  type ReplayPlan,
  replayHistory,
  replayRounds,
  type TelemetryRound,
  truthBetween,
} from "../../local/fleet/index.ts";
import { decode, isData, minutes } from "./decode.ts";

const dir = mkdtempSync(join(tmpdir(), "weir-replay-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const firstMs = Date.UTC(2024, 0, 1);
const stamp = (minute: number) => new Date(firstMs + minutes(minute)).toISOString().replace(".000Z", "Z");
const table = (header: string, rows: string[]) => `${[header, ...rows].join("\n")}\n`;

beforeAll(() => {
  const rows = (n: number, from = 0) => Array.from({ length: n }, (_, i) => `${stamp(from + i)},0.${i % 10},${i}`);
  const labels = (n: number, from: number) =>
    Array.from({ length: n }, (_, i) => `${stamp(from + i)},${(i >= 10 && i < 15) || i === n - 1 ? 1 : 0}`);
  writeFileSync(join(dir, "alpha.csv.gz"), gzipSync(table("timestamp,cpu_r,disk_q", rows(150))));
  writeFileSync(join(dir, "alpha.labels.csv.gz"), gzipSync(table("timestamp,label", labels(75, 75))));
  writeFileSync(join(dir, "beta.csv"), table("timestamp,cpu_r,load_1", rows(100, 30)).replaceAll("\n", "\r\n"));
  writeFileSync(join(dir, "holes.csv"), table("timestamp,a,b,c", [`${stamp(0)},1,,oops`, `${stamp(1)},NaN,2e-3,-0.5`]));
  writeFileSync(join(dir, "events.csv"), "machine,first\nalpha,x\n");
});

const documents = (rounds: Iterable<TelemetryRound>) =>
  [...rounds].flatMap((round) =>
    round.records
      .map(decode)
      .filter(isData)
      .flatMap((e) => e.logEvents.map((event) => ({ ...event, stream: e.logStream, doc: JSON.parse(event.message) }))),
  );

describe("replay", () => {
  test("a folder's machines are its files with times and metrics, not its labels and lists", () => {
    const plan = planReplay({ dir });
    expect(plan.machines.map((m) => [m.name, m.rows, m.metrics])).toEqual([
      ["alpha", 150, ["cpu_r", "disk_q"]],
      ["beta", 100, ["cpu_r", "load_1"]],
      ["holes", 2, ["a", "b", "c"]],
    ]);
    expect(plan.topology).toEqual({ alpha: "alpha", beta: "beta", holes: "holes" });
  });

  test("all rows of all machines go out as metric documents, hour by hour, each below its round's clock", () => {
    const plan = planReplay({ dir, machines: ["alpha", "beta"] });
    const rounds = [...replayRounds(plan)];
    expect(rounds.map((r) => (r.clockMs - firstMs) / 60_000)).toEqual([60, 120, 150]);
    let announcedMs = firstMs;
    for (const round of rounds) {
      for (const { timestamp } of documents([round])) {
        expect(timestamp).toBeGreaterThanOrEqual(announcedMs);
        expect(timestamp).toBeLessThan(round.clockMs);
      }
      announcedMs = round.clockMs;
    }
    const all = documents(rounds);
    expect(new Set(all.map((d) => d.id)).size).toBe(250);
    expect(all.filter((d) => d.stream === "beta").map((d) => d.doc.load_1)).toEqual(
      Array.from({ length: 100 }, (_, i) => i),
    );
    expect(all.find((d) => d.stream === "alpha")!.doc).toEqual({
      _aws: {
        Timestamp: firstMs,
        CloudWatchMetrics: [
          { Namespace: "Weir/Replay", Dimensions: [["InstanceId"]], Metrics: [{ Name: "cpu_r" }, { Name: "disk_q" }] },
        ],
      },
      InstanceId: "alpha",
      cpu_r: 0,
      disk_q: 0,
    });
  });

  test("cells that are no finite number are left out of their document", () => {
    const docs = documents(replayRounds(planReplay({ dir, machines: ["holes"] }))).map((d) => d.doc);
    expect(docs.map(({ a, b, c }) => ({ a, b, c }))).toEqual([
      { a: 1, b: undefined, c: undefined },
      { a: undefined, b: 0.002, c: -0.5 },
    ]);
  });

  test("a replay resumed at a clock sends exactly the rest", () => {
    const plan = planReplay({ dir, machines: ["alpha", "beta"] });
    const rest = [...replayRounds(plan)].slice(1);
    expect([...replayRounds(plan, firstMs + minutes(60))]).toEqual(rest);
  });

  test("ids of a machine do not depend on the machines beside it", () => {
    const alone = documents(replayRounds(planReplay({ dir, machines: ["beta"] }))).map((d) => d.id);
    const together = documents(replayRounds(planReplay({ dir })))
      .filter((d) => d.stream === "beta")
      .map((d) => d.id);
    expect(alone).toEqual(together);
  });

  test("truth is the runs of anomalous minutes, also one that ends with the file", () => {
    const { truth, startMs, endMs } = planReplay({ dir });
    const inMinutes = (t: { startMs: number; endMs: number }) => [
      (t.startMs - firstMs) / 60_000,
      (t.endMs - firstMs) / 60_000,
    ];
    expect(truth.map(inMinutes)).toEqual([
      [85, 90],
      [149, 150],
    ]);
    expect([startMs, endMs]).toEqual([firstMs, firstMs + minutes(150)]);
    expect(truthBetween(truth, firstMs + minutes(87), firstMs + minutes(149)).map(inMinutes)).toEqual([[87, 90]]);
  });

  test("the exam begins 60 % through the labelled part", () => {
    const history = replayHistory(planReplay({ dir }));
    expect(history.labelledFromMs).toBe(firstMs + minutes(75));
    expect(history.examFromMs).toBe(firstMs + minutes(75 + 45));
    expect(history.machines.map((m) => m.machine)).toEqual(["alpha"]);
    expect(history.machines[0]!.labels.reduce((a, b) => a + b)).toBe(6);
  });

  test.each([
    ["no such machine", { machines: ["gamma"] }, null],
    ["no labels at all", { machines: ["beta"] }, null],
    ["times that go back", { machines: ["bad"] }, table("timestamp,a", [`${stamp(1)},1`, `${stamp(0)},1`])],
    ["a time nobody can read", { machines: ["bad"] }, table("timestamp,a", ["yesterday,1"])],
    ["a header without times", { machines: ["bad"] }, table("when,a", [`${stamp(1)},1`])],
    ["no rows", { machines: ["bad"] }, "timestamp,a\n"],
  ])("%s is refused", (_, options, bad) => {
    if (bad) writeFileSync(join(dir, "bad.csv"), bad);
    try {
      expect(() => replayHistory(planReplay({ dir, ...options }))).toThrow(
        expect.objectContaining({ code: "REPLAY_INPUT" }),
      );
    } finally {
      rmSync(join(dir, "bad.csv"), { force: true });
    }
  });
});

const smd = resolve(process.env.WEIR_DATA ?? "../shared/data", "smd");
const absent = !existsSync(join(smd, "machines.csv"));
if (absent) console.log(`Not run: replay of recorded machines, as ${smd} is absent (WEIR_DATA names its parent).`);

describe.skipIf(absent)("replay of recorded machines", () => {
  const machines = ["machine-1-6", "machine-2-4"];
  let plan: ReplayPlan;
  beforeAll(() => {
    plan = planReplay({ dir: smd, machines });
  });
  const listed = (file: string) =>
    readFileSync(join(smd, file), "utf8")
      .trim()
      .split("\n")
      .slice(1)
      .map((line) => line.split(","));

  test("as many documents are sent as the files have rows, and the values are theirs", () => {
    const sent = documents(replayRounds(plan));
    for (const name of machines) {
      const [header, ...rows] = gunzipSync(readFileSync(join(smd, `${name}.csv.gz`)))
        .toString()
        .trim()
        .split("\n");
      const names = header!.split(",").slice(1);
      const mine = sent.filter((d) => d.stream === name);
      expect(mine).toHaveLength(rows.length);
      for (const i of [0, 12_345, rows.length - 1]) {
        const [time, ...cells] = rows[i]!.split(",");
        expect(mine[i]!.timestamp).toBe(Date.parse(time!));
        expect(names.map((n) => mine[i]!.doc[n])).toEqual(cells.map(Number));
      }
    }
  }, 60_000);

  test("truth and bounds are those the publishers list", () => {
    const events = listed("events.csv").filter(([machine]) => machines.includes(machine!));
    expect(plan.truth.map((t) => `${t.entity} ${t.startMs} ${t.endMs}`).sort()).toEqual(
      events.map(([m, first, last]) => `${m} ${Date.parse(first!)} ${Date.parse(last!) + 60_000}`).sort(),
    );
    const history = replayHistory(plan);
    for (const [machine, , labelled, from, last] of listed("machines.csv")) {
      const bounds = history.machines.find((m) => m.machine === machine);
      if (!bounds) continue;
      expect(bounds.labels).toHaveLength(Number(labelled));
      expect(bounds.labelledFromMs).toBe(Date.parse(from!));
      expect(bounds.endMs).toBe(Date.parse(last!) + 60_000);
    }
    expect(history.machines).toHaveLength(2);
  });
});
