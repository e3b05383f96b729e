import { expect, test } from "vitest";
import { MemoryOutput, rowsOf } from "../../processors/features/index.ts";
import type { LogEvent } from "../../schemas/index.ts";
import {
  batchesOf,
  bits,
  column,
  DAY_ONE,
  eventsOf,
  inLog,
  MINUTE,
  newProcessor,
  nextId,
  run,
  type SourceRecord,
  sign,
} from "./helpers.ts";

const T = DAY_ONE * MINUTE;
const trace = ["ERROR order 17 failed", "java.io.IOException: gone", "\tat a.B.c(B.java:1)", "  detail", "INFO next"];
const events = (texts: readonly string[], fromMs = T): LogEvent[] =>
  texts.map((message, i) => ({ id: nextId(), timestampMs: fromMs + i, message }));
const from = (source: string, stream: string, of: LogEvent[]): SourceRecord => ({
  ...eventsOf(source, "a", T, of),
  logStream: stream,
});
const open = [sign("s", "open", T), sign("t", "open", T)];
const end = [sign("s", "tick", T + 2 * MINUTE), sign("t", "tick", T + 2 * MINUTE)];
const errorsOf = (records: readonly SourceRecord[]) => {
  const { rows, output } = run([...open, ...records, ...end]);
  return { errors: column(rows[0]!, "error_count"), accepted: output.counts.accepted };
};

test("a trace counts as one error, and each of its lines as an accepted event", () => {
  expect(errorsOf([from("s", "x", events(trace))])).toEqual({ errors: 1, accepted: 5 });
});

test("streams and sources that write in turn do not break each other's traces", () => {
  //  s/x  ERROR   Exception   at   detail   INFO
  //  s/y     ERROR   Exception   at   detail   INFO
  //  t/x        ERROR   Exception   at   detail   INFO
  const lists = [events(trace), events(trace), events(trace)];
  const places = [
    ["s", "x"],
    ["s", "y"],
    ["t", "x"],
  ] as const;
  const inTurn = trace.flatMap((_, i) => lists.map((list, p) => from(places[p]![0], places[p]![1], [list[i]!])));
  const oneByOne = lists.map((list, p) => from(places[p]![0], places[p]![1], list));
  expect(errorsOf(inTurn)).toEqual({ errors: 3, accepted: 15 });
  expect(errorsOf(oneByOne)).toEqual(errorsOf(inTurn));
});

test("a second delivery by another source changes nothing, whichever of them comes first with a line", () => {
  const list = events(trace);
  const [head, ...rest] = list;
  const orders = [
    [from("s", "x", list), from("t", "x", list)],
    [from("s", "x", [head!]), from("t", "x", list), from("s", "x", rest)],
    [from("t", "x", [head!]), from("s", "x", list), from("t", "x", rest)],
  ];
  for (const order of orders) expect(errorsOf(order)).toEqual({ errors: 1, accepted: 5 });
});

test("a restart in the middle of a trace changes nothing, and a trace that is over is forgotten", () => {
  const records = [
    ...open,
    ...events(trace).map((e) => from("s", "x", [e])),
    from("s", "z", events(["ERROR no"])),
    ...end,
  ];
  const whole = run(records).rows.map(bits);
  for (let cut = 1; cut < records.length; cut++) {
    const log = inLog(records);
    const first = newProcessor();
    const output = new MemoryOutput();
    for (const record of log.slice(0, cut)) first.process(record, output);
    const second = newProcessor();
    for (const [i, store] of first.stores.entries()) store.flush((key, value) => second.stores[i]!.restore(key, value));
    for (const record of log.slice(cut)) second.process(record, output);
    expect(output.counts.accepted).toBe(6);
    const traces = second.stores.find((s) => s.name === "traces")!;
    expect(traces.size.keys).toBe(0);
    expect(batchesOf(output).flatMap(rowsOf).map(bits)).toEqual(whole);
  }
});
