import { describe, expect, test } from "vitest";
import { TemplateMiner } from "../../processors/templates/index.ts";

const masked = (line: string) => new TemplateMiner().mine(line).template.text;

describe("masks", () => {
  test.each([
    ["took 35 ms", "took <num> ms"],
    ["took 35ms of 1.5s", "took <num>ms of <num>s"],
    ["-3 and +4.25 and 1,234", "<num> and <num> and <num>"],
    ["host-7 web12", "host-<num> web<num>"],
    ["size=4096, free=12%", "size=<num>, free=<num>%"],
    ["from 10.0.0.1 to 10.0.0.2:5432", "from <ip> to <ip>"],
    ["at 0xDEADBEEF", "at <hex>"],
    ["commit 9fceb02d0ae598e95dc970b74767f19372d61af8", "commit <hex>"],
    ["word deadbeefcafe stays", "word deadbeefcafe stays"],
    ["request 6f1d8a0e-1111-2222-3333-444455556666 done", "request <id> done"],
    ["instance i-0abc123def4567890 up", "instance <id> up"],
    ["2024-01-02T03:04:05.123Z up", "<time> up"],
    ["2024-01-02 03:04:05,123 up", "<time> <time> up"],
    ["open /var/log/app/x.log: gone", "open <path> gone"],
    ['file "/srv/data/a" and (./b/c)', 'file "<path>" and (<path>)'],
    ["GET /api/users/17?page=2", "GET <path>"],
    ["read/write and a/b", "read/write and a/b"],
    ["C:\\logs\\a.txt is full", "<path> is full"],
    ["version v1.2.3", "version v<num>"],
    ["no number here", "no number here"],
    ["  much \t white \n space  ", "much white space"],
  ])("%s → %s", (line, text) => {
    expect(masked(line)).toBe(text);
  });

  test("a template has at most 64 words, the last one telling of the cut", () => {
    const words = masked(Array(70).fill("x").join(" ")).split(" ");
    expect(words).toHaveLength(64);
    expect(words.at(-1)).toBe("<cut>");
    expect(
      masked(`a ${"b".repeat(3_000)}`)
        .split(" ")
        .at(-1),
    ).toBe("<cut>");
  });

  test.each(["1", "a-", "0x", "/a", "1.", ":", "deadbeef", "-", "\\", "2024-01-02T", "é", "\u0000"])(
    "a megabyte of %j is masked in bounded time",
    (part) => {
      const text = masked(part.repeat(Math.ceil(1e6 / part.length)));
      expect(text.length).toBeLessThan(5_000);
    },
  );
});
