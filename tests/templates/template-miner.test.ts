import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MAX_TEMPLATES, type MinerOptions, TemplateMiner } from "../../processors/templates/index.ts";
import { manyFirstWords, smallVocabulary } from "./lines.ts";

const texts = (miner: TemplateMiner) => [...miner.templates()].map((t) => `${t.count} × ${t.text}`);
const mineAll = (miner: TemplateMiner, lines: readonly string[]) => lines.map((line) => miner.mine(line));

describe("Drain", () => {
  test("lines that differ in masked parts are of one template, in one word of a widened one", () => {
    const miner = new TemplateMiner();
    const lines = [
      "connected to 10.0.0.1",
      "connected to 192.168.0.1",
      "Hex number 0xDEADBEAF",
      "user davidoh logged in",
      "user eranr logged in",
    ];
    expect(mineAll(miner, lines).map((m) => m.change)).toEqual(["created", "none", "created", "created", "widened"]);
    expect(texts(miner)).toEqual(["2 × connected to <ip>", "1 × Hex number <hex>", "2 × user <*> logged in"]);
  });

  test.each<[number, number, string[]]>([
    [0.4, 1, ["2 × job <*> <*> done ok"]],
    [0.6, 1, ["2 × job <*> <*> done ok"]],
    [0.61, 2, ["1 × job a b done ok", "1 × job c d done ok"]],
  ])("with a similarity of %d a line with 3 of 5 words in common makes %d templates", (similarity, size, expected) => {
    const miner = new TemplateMiner({ similarity });
    mineAll(miner, ["job a b done ok", "job c d done ok"]);
    expect(miner.size).toBe(size);
    expect(texts(miner)).toEqual(expected);
  });

  test("lines of different length or first word are never of one template", () => {
    const miner = new TemplateMiner();
    mineAll(miner, ["a b c d", "a b c", "x b c d"]);
    expect(miner.size).toBe(3);
  });

  test("a deeper tree keeps apart what differs in its second word", () => {
    const lines = ["a x c d", "a y c d"];
    const [shallow, deep] = [new TemplateMiner({ depth: 4 }), new TemplateMiner({ depth: 5 })];
    mineAll(shallow, lines);
    mineAll(deep, lines);
    expect([shallow.size, deep.size]).toEqual([1, 2]);
  });

  test("when branches run out further first words share one", () => {
    const miner = new TemplateMiner({ maxChildren: 3 });
    mineAll(miner, ["a is up", "b is up", "c is up", "d is up"]);
    expect(texts(miner)).toEqual(["1 × a is up", "1 × b is up", "2 × <*> is up"]);
  });

  test("an empty line has a template of its own", () => {
    const miner = new TemplateMiner();
    mineAll(miner, ["", "   ", "x"]);
    expect(texts(miner)).toEqual(["2 × ", "1 × x"]);
  });

  // Number of templates and digest of every line's change and template, as Drain3 0.9.11 gives them for these lines.
  test.each<[string, string[], number, number, number, number, string]>([
    ["few words", smallVocabulary(7, 5_000), 4, 0.4, 100, 895, "87b8aa0146628ec7"],
    ["few words", smallVocabulary(7, 5_000), 5, 0.4, 100, 1_004, "b4ad5036fb5e89df"],
    ["few words", smallVocabulary(7, 5_000), 4, 0.6, 100, 1_891, "80cd4fc2b61c4aa6"],
    ["few words", smallVocabulary(7, 5_000), 4, 0.4, 5, 889, "c85c896e69db9023"],
    ["few words", smallVocabulary(7, 5_000), 3, 0.4, 100, 861, "ff5bf85030914088"],
    ["few words", smallVocabulary(7, 5_000), 6, 0.7, 8, 2_623, "8de82f3dfbfb3c74"],
    ["many first words", manyFirstWords(8, 5_000), 4, 0.4, 100, 100, "ab0d8b07483e705b"],
    ["many first words", manyFirstWords(8, 5_000), 5, 0.4, 100, 399, "7d888082da5ae4b8"],
    ["many first words", manyFirstWords(8, 5_000), 4, 0.6, 100, 103, "7929bf12c7e2f215"],
    ["many first words", manyFirstWords(8, 5_000), 4, 0.4, 5, 5, "25290a05bd9e68c7"],
    ["many first words", manyFirstWords(8, 5_000), 3, 0.4, 100, 1, "64d186fe123e969d"],
    ["many first words", manyFirstWords(8, 5_000), 6, 0.7, 8, 524, "ce96df93da99c64c"],
  ])("%s (#%#): as Drain3, line by line", (_, lines, depth, similarity, maxChildren, size, digest) => {
    const tokenize = (line: string) => line.split(/\s+/).filter(Boolean);
    const miner = new TemplateMiner({ depth, similarity, maxChildren, tokenize, maxTemplates: 1e6 });
    const trace = lines.map((line) => {
      const { change, template } = miner.mine(line);
      return `${change} ${template.text}`;
    });
    expect(miner.size).toBe(size);
    expect(createHash("sha256").update(trace.join("\n")).digest("hex").slice(0, 16)).toBe(digest);
  });
});

describe("templates of an entity", () => {
  test("a key is the hash of the text, whatever came before", () => {
    const [one, other] = [new TemplateMiner(), new TemplateMiner()];
    mineAll(other, ["a", "b c", "d e f"]);
    const key = one.mine("disk 3 is full").template.key;
    expect(key).toBe(createHash("sha256").update("disk <num> is full").digest("hex").slice(0, 16));
    expect(other.mine("disk 77 is full").template.key).toBe(key);
  });

  test("widening tells the key before", () => {
    const miner = new TemplateMiner();
    const before = miner.mine("user ann logged in").template.key;
    const { change, previousKey, template } = miner.mine("user bob logged in");
    expect([change, previousKey]).toEqual(["widened", before]);
    expect(template.key).not.toBe(before);
    expect(miner.mine("user cid logged in")).toMatchObject({ change: "none", template: { key: template.key } });
  });

  test("there are at most 128, and the one unused longest gives way", () => {
    const miner = new TemplateMiner();
    const lines = Array.from({ length: MAX_TEMPLATES }, (_, i) => `${letters(i)} started${i % 2 ? "" : " up"}`);
    mineAll(miner, lines);
    miner.mine(lines[0]!);
    miner.mine("one more");
    expect(miner.size).toBe(MAX_TEMPLATES);
    expect(miner.mine(lines[0]!).change).toBe("none");
    expect(miner.mine(lines[1]!).change).toBe("created");
  });

  test("branches go with their last template: first words that passed leave room for others", () => {
    const miner = new TemplateMiner({ maxTemplates: 2, maxChildren: 4 });
    for (let i = 0; i < 500; i++) {
      const { template } = miner.mine(`${letters(i)} is up`);
      expect(template.text).toBe(`${letters(i)} is up`);
    }
    expect(miner.size).toBe(2);
  });

  const options: MinerOptions = { maxTemplates: 20, maxChildren: 6 };
  test("a miner from a snapshot, through JSON, goes on as if it had never stopped", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1e6 }), fc.integer({ min: 0, max: 400 }), (seed, cut) => {
        const lines = smallVocabulary(seed, 400);
        const whole = new TemplateMiner(options);
        const first = new TemplateMiner(options);
        mineAll(whole, lines.slice(0, cut));
        mineAll(first, lines.slice(0, cut));
        const second = new TemplateMiner(options, JSON.parse(JSON.stringify(first.snapshot())));
        for (const line of lines.slice(cut)) expect(second.mine(line)).toMatchObject({ ...whole.mine(line) });
        expect(second.snapshot()).toEqual(whole.snapshot());
      }),
      { numRuns: 60 },
    );
  });

  test("a snapshot does not change with the miner", () => {
    const miner = new TemplateMiner();
    miner.mine("user ann logged in");
    const snapshot = miner.snapshot();
    miner.mine("user bob logged in");
    expect(snapshot[0]!.tokens).toEqual(["user", "ann", "logged", "in"]);
  });

  test("whatever the lines, counts add up and the bound holds", () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: "binary", maxLength: 60 }), { maxLength: 200 }), (lines) => {
        const miner = new TemplateMiner({ maxTemplates: 1_000 });
        mineAll(miner, lines);
        expect([...miner.templates()].reduce((sum, t) => sum + t.count, 0)).toBe(lines.length);
      }),
    );
  });
});

function letters(i: number): string {
  return `w${String.fromCharCode(97 + (i % 26), 97 + (Math.floor(i / 26) % 26))}`;
}
