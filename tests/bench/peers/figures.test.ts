import { expect, test } from "vitest";
import { BATCHES, best, COPY, compare, faultOf, lineOf, ownRun, peerRun, ROWS, type Run } from "./figures.ts";

const run = (version: string, rate: number, more: Partial<Run> = {}): Run => ({
  version,
  records: 720_000,
  seconds: 720_000 / rate,
  warmRate: rate * 1.5,
  cpuSeconds: 9,
  rssMib: 500,
  verdict: "PASS: 720000 outputs",
  ...more,
});

test("a line of a Java job is read by its names, and NaN means that no second half was seen", () => {
  const line =
    '{"records":720000,"seconds":5.87,"rate":122729,"warmRate":NaN,"cpu":9.3,"startupCpu":2.7,"brokerCpu":1.3,"rssMiB":479,"restoreSeconds":-1.00}';
  expect(peerRun("slot-memory/1", line, "PASS")).toEqual({
    version: "slot-memory/1",
    records: 720_000,
    seconds: 5.87,
    warmRate: null,
    cpuSeconds: 9.3,
    rssMib: 479,
    verdict: "PASS",
  });
});

test("our own line counts from the first record to the last commit, its second half from the commit of the first", () => {
  const line = JSON.stringify({
    firstRecordAtMs: 1_000,
    halfCommittedAtMs: 3_000,
    endCommittedAtMs: 4_000,
    records: 720_000,
    cpuSeconds: 4.5,
    peakRssMib: 300,
  });
  expect(ownRun(BATCHES, line, "PASS")).toMatchObject({ seconds: 3, warmRate: 360_000, cpuSeconds: 4.5, rssMib: 300 });
});

test("a line without one of its numbers is refused, not taken for zero", () => {
  expect(() => peerRun("x", '{"timedOutAt":12}', "PASS")).toThrow(/records/);
  expect(() => ownRun("x", '{"firstRecordAtMs":1,"halfCommittedAtMs":2,"endCommittedAtMs":null}', "PASS")).toThrow(
    /endCommittedAtMs/,
  );
});

test("a run that failed its check, or did not take all records, may not stand in a figure", () => {
  expect(faultOf(run(BATCHES, 1), 720_000)).toBeNull();
  expect(faultOf(run(BATCHES, 1, { verdict: "FAIL: 1 missing" }), 720_000)).toBe("FAIL: 1 missing");
  expect(faultOf(run(BATCHES, 1, { verdict: "" }), 720_000)).toBe("no word of the checker");
  expect(faultOf(run(BATCHES, 1, { records: 719_999 }), 720_000)).toBe("719999 of 720000 records");
  expect(faultOf(run(COPY, 1, { verdict: "nothing to check" }), 720_000)).toBeNull();
  expect(faultOf(run(COPY, 1, { records: 3, verdict: "nothing to check" }), 720_000)).toBe("3 of 720000 records");
});

test("every ratio is best against best: ours over the fastest Kafka Streams version", () => {
  const runs = [
    run(COPY, 300_000),
    run(COPY, 320_000),
    run("slot-memory/1", 100_000, { cpuSeconds: 8, rssMib: 480, warmRate: 210_000 }),
    run("slot-memory/2", 125_000, { cpuSeconds: 10, rssMib: 500, warmRate: 190_000 }),
    run("slot-memory/2", 110_000),
    run(BATCHES, 250_000, { cpuSeconds: 4, rssMib: 400, warmRate: 420_000 }),
    run(BATCHES, 200_000, { warmRate: 400_000 }),
    run(ROWS, 150_000),
    run(ROWS, 137_500),
  ];
  const { figures, fastest } = compare(runs);
  expect(fastest?.version).toBe("slot-memory/2");
  expect(figures).toEqual({
    recordsPerSecond: 250_000,
    ratio: 2,
    warmRatio: 2,
    cpuRatio: 0.4,
    memoryRatio: 0.8,
    rowRatio: 1.2,
    floorRatio: 0.781,
  });
});

test("CPU is compared by record, not by run", () => {
  const half = run(BATCHES, 250_000, { records: 360_000, seconds: 1.44, cpuSeconds: 4.5 });
  expect(compare([half, run("slot-memory/1", 125_000)]).figures.cpuRatio).toBe(1);
});

test("a figure whose runs are missing is left out, and neither the copy nor our own job passes for Kafka Streams", () => {
  expect(compare([run(COPY, 300_000), run(BATCHES, 150_000), run(ROWS, 150_000)])).toEqual({
    figures: { recordsPerSecond: 150_000, floorRatio: 0.5 },
    fastest: undefined,
  });
  expect(compare([run(COPY, 300_000), run("slot-memory/1", 100_000)]).figures).toEqual({});
});

test("best is the most records a second, not the fewest seconds", () => {
  const short = run("x", 1_000, { records: 1_000, seconds: 1 });
  const long = run("x", 2_000, { records: 20_000, seconds: 10 });
  expect(best([short, long])).toBe(long);
  expect(best([])).toBeUndefined();
});

test("a line of the table shows every run, and CPU of the best", () => {
  const runs = [run("slot-memory/1", 100_000), run("slot-memory/1", 120_000, { cpuSeconds: 7.2 })];
  expect(lineOf(runs)).toBe(
    "slot-memory/1: 100, 120 thousand records/s, second half 180, 10.0 CPU-µs a record, 500 MiB",
  );
});
