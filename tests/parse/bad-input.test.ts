import { describe, expect, test } from "vitest";
import { joinTrace, type ParsedEvent, parseEvent, parseFlaws } from "../../processors/parse/index.ts";
import { emf, malformedEvents, malformedRecords } from "./malformed.ts";

const at = Date.UTC(2024, 0, 2, 3, 4, 5);
const parse = (message: string, group = "/application/logs", timestampMs = at) =>
  parseEvent(group, "stream", message, timestampMs);
const SYSTEM = "/aws/ec2/system";
const LAMBDA = "/aws/lambda/f";
const nested = (open: string, depth: number, close: string) => open.repeat(depth) + close.repeat(depth);

describe("malformed input has the outcome, the code and the place that stand in the table", () => {
  test.each(malformedEvents.map((m) => [m.what, m] as const))("%s", (_, { code, path, kind, outcome }) => {
    expect(outcome()).toEqual({ code, path, kind });
  });

  test.each(malformedRecords.map((m) => [m.what, m] as const))("record: %s", (_, { code, path, kind, outcome }) => {
    expect(outcome()).toEqual({ code, path, kind });
  });

  test("the table holds at least 120 pairs of a code and a place, every code of the parser, and no unknown one", () => {
    const all = [...malformedEvents, ...malformedRecords];
    expect(new Set(all.map(({ code, path }) => `${code} ${path}`)).size).toBeGreaterThanOrEqual(120);
    expect(new Set(malformedEvents.map(({ code }) => code))).toEqual(new Set(parseFlaws));
    expect(all.filter(({ code, path }) => /unknown$/.test(code) || path === "" || path === "unknown")).toEqual([]);
  });
});

test("a line that is refused keeps its text", () => {
  for (const message of ['{"level":"error"', emf((doc) => (doc.CPU = "x")), "<34>it's down"]) {
    expect(parse(message, SYSTEM)).toMatchObject({ kind: "log", message });
  }
});

describe("an event time that can be", () => {
  test.each([
    ["13 digits", at],
    ["the first of 2000", Date.UTC(2000, 0)],
    ["the last of 2099", Date.UTC(2100, 0) - 1],
  ])("%s is in order", (_, time) => {
    expect(parse("hello", "g", time)).not.toHaveProperty("flaw");
  });

  test("a format's own code goes before it", () => {
    expect(parse("{", "g", -1)).toMatchObject({ flaw: "json_broken" });
  });
});

describe("odd input that is in order", () => {
  test("of duplicate keys the last one counts", () => {
    const document = emf(() => {}).replace('"CPU":12.5', '"CPU":"x","CPU":3');
    expect(parse(document)).toMatchObject({ kind: "metrics", samples: [{ values: [3] }] });
    expect(parse('{"level":"info","level":"error","msg":"a","msg":"b"}')).toMatchObject({
      level: "error",
      message: "b",
    });
  });

  test.each(["__proto__", "constructor", "prototype", "toString", "hasOwnProperty"])(
    "a member named %s changes neither other objects nor what is read",
    (key) => {
      const before = Object.getOwnPropertyNames(Object.prototype).length;
      const parsed = parse(`{"${key}":{"level":"fatal","polluted":true},"message":"x"}`);
      expect(parsed).toMatchObject({ kind: "log", level: "info", message: "x" });
      expect(({} as Record<string, unknown>).polluted).toBeUndefined();
      expect(Object.getOwnPropertyNames(Object.prototype)).toHaveLength(before);
    },
  );

  test("a metric may even be named __proto__, if it is there", () => {
    const document = emf((_, __, d) => (d.Metrics = [{ Name: "__proto__" }])).replace('"CPU":', '"__proto__":');
    expect(parse(document)).toMatchObject({ kind: "metrics", samples: [{ name: "__proto__", values: [12.5] }] });
  });

  test("a depth of 500 is read, brackets within text do not count", () => {
    expect(parse(`{"a":${nested("[", 499, "]")}}`)).toHaveProperty("metadata");
    expect(parse(`{"a":"${"[{".repeat(2_000)}\\"","b":1}`)).toHaveProperty("metadata");
  });

  test("a value may be huge or negative; judging it is not the parser's business", () => {
    expect(parse(emf((doc) => (doc.CPU = [-5, 1.7e308]))).kind).toBe("metrics");
  });

  test.each<[string, string]>([
    ["", "an empty line"],
    [" ", "a blank"],
    ["\n\n", "line breaks"],
    ["null", "null"],
    ["[]", "a list"],
    ["{}", "an empty object"],
    ["\ufeff{}", "a byte order mark"],
    ["\ud800", "half a character"],
    ["a\u2028b", "a line separator"],
  ])("%j is a line without a code", (message) => {
    expect(parse(message)).toMatchObject({ kind: "log", level: "info" });
    expect(parse(message)).not.toHaveProperty("flaw");
  });
});

describe("a megabyte that baits a pattern into going back and forth ends: going back and forth would take days", () => {
  const baits: Readonly<Record<string, string>> = {
    "names with dots": "a.",
    capitals: "A",
    "an exception that never is": "java.lang.E",
    "stamps of PostgreSQL": "2024-01-02 03:04:05 UTC:",
    "severities of PostgreSQL": "2024-01-02 03:04:05 LOG ERROR ",
    "heads of syslog": "Jan  2 03:04:05 ",
    "structured data": '[a b="\\"c"]',
    "open brackets": "[",
    "tabs of Lambda": "REPORT \t",
    "request ids": "6f1d8a0e-1111-2222-3333-444455556666 ",
    "coloured levels": "\u001b[31m",
    "braces before a marker": '{"_aws"',
    "equals signs": "level=",
    blanks: " ",
    digits: "1",
    "frames of a trace": "\tat ",
    "qualified names": "a.b.C",
    "members of a platform event": "REPORT RequestId: 1\tDuration: ",
  };
  const heads = [
    "",
    "2024-01-02 03:04:05",
    "<34>1 2024-01-02T03:04:05Z h a - - ",
    "Jan  2 03:04:05 h ",
    "REPORT RequestId: ",
  ];
  test.each(Object.entries(baits))("%s", (_, bait) => {
    const text = bait.repeat(Math.ceil(1e6 / bait.length));
    for (const group of [SYSTEM, "/aws/rds/postgresql", LAMBDA, "/application/logs", "x"]) {
      for (const head of heads) {
        const parsed: ParsedEvent = parse(head + text, group);
        if (parsed.kind !== "log") throw new Error("A bait is no metric.");
        for (const awaitsName of [false, true])
          expect(joinTrace({ lastMs: at, lines: 1, awaitsName }, head + text, parsed)).toHaveProperty("continues");
      }
    }
  });
});
