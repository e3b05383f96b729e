import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  isOver,
  joinTrace,
  type LogLine,
  MAX_TRACE_GAP_MS,
  MAX_TRACE_LINES,
  type OpenTrace,
  parseEvent,
} from "../../processors/parse/index.ts";

const at = Date.UTC(2024, 0, 2, 3, 4, 5);

/** Lines of one stream, one millisecond apart: which of them count as lines of their own. */
function ownLines(lines: readonly string[], group = "/application/logs", apartMs = 1): string[] {
  let open: OpenTrace | undefined;
  return lines.filter((text, i) => {
    const parsed = parseEvent(group, "stream", text, at + i * apartMs);
    if (parsed.kind !== "log") return true;
    const joined = joinTrace(open, text, parsed);
    open = joined.open;
    return !joined.continues;
  });
}

const java = [
  "2024-01-02 03:04:05,123 ERROR shop.Cart - order 17 failed",
  "java.lang.IllegalStateException: no session",
  "\tat shop.Cart.of(Cart.java:31)",
  "\tat shop.Main.main(Main.java:7) ~[shop.jar:1.2]",
  "\t... 12 common frames omitted",
  "Caused by: java.io.IOException: broken pipe",
  "\tat java.base/java.net.Socket.write(Socket.java:9)",
  "\tSuppressed: java.lang.Error: x",
  "\t... 3 more",
];
const python = [
  "Traceback (most recent call last):",
  '  File "/app/a.py", line 3, in <module>',
  "    main()",
  "    ~~~~^^",
  "KeyError: 'x'",
];

describe("a trace is one line", () => {
  test.each<[string, string[], string[], string?]>([
    ["Java: the logger's line counts, the exception below it, frames and causes do not", java, java.slice(0, 1)],
    ["Java without a logger: the exception counts", java.slice(1), java.slice(1, 2)],
    [
      "a second exception at the margin is another one",
      ["ERROR no", "java.io.IOException: a", "java.io.IOException: b"],
      ["ERROR no", "java.io.IOException: b"],
    ],
    ["Python: the header counts, the name that closes it does not", python, [python[0]!]],
    [
      "Python, chained",
      [...python, "", "During handling of the above exception, another exception occurred:", "", ...python],
      [python[0]!],
    ],
    [
      "Python below its logger's line",
      ["2024-01-02 03:04:05 ERROR shop order 17 failed", ...python],
      ["2024-01-02 03:04:05 ERROR shop order 17 failed"],
    ],
    [
      "a Python exception without a text",
      ["Traceback (most recent call last):", '  File "a.py", line 1, in f', "StopIteration", "ready"],
      ["Traceback (most recent call last):", "ready"],
    ],
    [
      "Node.js",
      [
        "TypeError: x is not a function",
        "    at f (/app/a.js:3:9)",
        "    at async g (node:internal/x:1:2) {",
        "  code: 1",
        "}",
      ],
      ["TypeError: x is not a function", "}"],
    ],
    [
      ".NET",
      [
        "Unhandled exception. System.InvalidOperationException: no",
        "   at Shop.Cart.Of() in /a/Cart.cs:line 3",
        "--- End of stack trace from previous location ---",
        "   at Shop.Main()",
      ],
      ["Unhandled exception. System.InvalidOperationException: no"],
    ],
    [
      "Go",
      ["panic: assignment to entry in nil map", "", "goroutine 1 [running]:", "\t/app/main.go:7 +0x1d"],
      ["panic: assignment to entry in nil map"],
    ],
    [
      "Ruby",
      ["ERROR: a.rb:3:in `f': no (RuntimeError)", "\tfrom a.rb:7:in `<main>'"],
      ["ERROR: a.rb:3:in `f': no (RuntimeError)"],
    ],
    [
      "PostgreSQL: a statement over lines, DETAIL and STATEMENT",
      [
        "2024-01-02 03:04:05 UTC:10.0.0.4(5432):app@shop:[811]:ERROR:  duplicate key value",
        "2024-01-02 03:04:05 UTC:10.0.0.4(5432):app@shop:[811]:DETAIL:  Key (id)=(1) already exists.",
        "2024-01-02 03:04:05 UTC:10.0.0.4(5432):app@shop:[811]:STATEMENT:  INSERT INTO t",
        "\tVALUES (1)",
        "2024-01-02 03:04:06 UTC:10.0.0.4(5432):app@shop:[811]:LOG:  checkpoint starting: time",
      ],
      [
        "2024-01-02 03:04:05 UTC:10.0.0.4(5432):app@shop:[811]:ERROR:  duplicate key value",
        "2024-01-02 03:04:06 UTC:10.0.0.4(5432):app@shop:[811]:LOG:  checkpoint starting: time",
      ],
      "/aws/rds/postgresql",
    ],
    ["frames whose head is elsewhere are no lines", ["\tat a.B.c(B.java:1)", "Caused by: x.Y: z"], []],
  ])("%s", (_, lines, own, group) => {
    expect(ownLines(lines, group)).toEqual(own);
  });
});

describe("what is no part of a trace", () => {
  test.each<[string, string[]]>([
    ["indented text behind a line that failed nothing", ["INFO ready", "  port 8080", "  host a"]],
    ["text at the margin behind an error", ["ERROR no", "retrying", "    at least that is indented"]],
    ["a document behind an error, and what follows it", ['{"level":50,"msg":"no"}', '{"level":30,"msg":"up"}']],
    ["words that begin as frames do", ["Causes: none", "goroutines: 7", "created by ann", "During the night"]],
    ["a name with a colon where no Python trace waits for it", ["ERROR no", "KeyError: 'x'"]],
  ])("%s", (_, lines) => {
    const own = ownLines(lines);
    expect(own).toEqual(lines.filter((l) => !l.startsWith("    at ")));
  });

  test("a gap of more than five seconds ends a trace, one of five does not", () => {
    const lines = ["ERROR no", "  detail"];
    expect(ownLines(lines, undefined, MAX_TRACE_GAP_MS)).toEqual(["ERROR no"]);
    expect(ownLines(lines, undefined, MAX_TRACE_GAP_MS + 1)).toEqual(lines);
  });

  test("after 500 lines a trace is taken for ended", () => {
    const lines = ["ERROR no", ...Array.from({ length: MAX_TRACE_LINES + 10 }, (_, i) => `  ${i}`)];
    expect(ownLines(lines)).toEqual(["ERROR no", ...lines.slice(MAX_TRACE_LINES)]);
  });
});

test("a trace is over when no line from a time on can belong to it", () => {
  const open: OpenTrace = { lastMs: at, lines: 1, awaitsName: false };
  expect(isOver(open, at + MAX_TRACE_GAP_MS)).toBe(false);
  expect(isOver(open, at + MAX_TRACE_GAP_MS + 1)).toBe(true);
});

test("whatever the text, joining neither throws nor keeps more than three fields, and a line that is over keeps nothing", () => {
  const text = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.constantFrom(...java, ...python, "", " ", "\t", "{"),
    fc.string().map((s) => `\t${s}`),
  );
  fc.assert(
    fc.property(fc.array(fc.tuple(text, fc.nat(8_000)), { maxLength: 30 }), fc.boolean(), (lines, database) => {
      let open: OpenTrace | undefined;
      let now = at;
      for (const [message, apartMs] of lines) {
        now += apartMs;
        const parsed = parseEvent(database ? "/aws/rds/x" : "g", "s", message, now) as LogLine;
        // What time has ended might as well have been forgotten.
        const forgotten = joinTrace(open && isOver(open, now) ? undefined : open, message, parsed);
        const joined = joinTrace(open, message, parsed);
        expect(forgotten).toEqual(joined);
        open = joined.open;
        if (open) expect(Object.keys(open).sort()).toEqual(["awaitsName", "lastMs", "lines"]);
      }
    }),
    { numRuns: 300 },
  );
});
