import fc from "fast-check";
import { expect, test } from "vitest";
import { chunksOf, cite, masked, prepare } from "../../processors/explain/evidence.ts";
import { looksLikeInstruction, neutralise } from "../../processors/explain/hostile.ts";
import { Redactor } from "../../processors/explain/redact.ts";
import { incident, line } from "./support.ts";

test.each([
  ["login by jane.doe+x@example.co.uk failed", "login by <EMAIL_1> failed"],
  ["key AKIAIOSFODNN7EXAMPLE used", "key <KEY_1> used"],
  ["Authorization: Bearer abc.def-ghi_123", "Authorization: Bearer <SECRET_1>"],
  ["jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl end", "jwt <JWT_1> end"],
  ['{"db_password": "hunter2", "user": "app"}', '{"db_password": <SECRET_1>, "user": "app"}'],
  ["password=hunter2&user=app", "password=<SECRET_1>&user=app"],
  ["aws_secret_access_key = wJalrXUtnFEMI/K7MDENG", "aws_secret_access_key = <SECRET_1>"],
  ["postgres://app:s3cr3t@db-1/orders", "postgres://<SECRET_1>@db-1/orders"],
  ["card 4111 1111 1111 1111 declined", "card <CARD_1> declined"],
  ["-----BEGIN RSA PRIVATE KEY----- MIIE -----END RSA PRIVATE KEY----- x", "<KEY_1> x"],
])("%s is redacted", (text, redacted) => {
  expect(new Redactor().redact(text)).toBe(redacted);
});

test.each([
  "order 4111111111111112 shipped",
  "timestamp 1704110400000 of event 37881",
  "took 15 ms on db-1:5432, 97.3 %",
  "tokens: 512 used",
])("%s holds nothing to redact", (text) => {
  expect(new Redactor().redact(text)).toBe(text);
});

test("the same value gets the same placeholder within an incident, another one another", () => {
  const redactor = new Redactor();
  expect(redactor.redact("a@b.io wrote to c@d.io")).toBe("<EMAIL_1> wrote to <EMAIL_2>");
  expect(redactor.redact("c@d.io answered")).toBe("<EMAIL_2> answered");
});

test("redacting twice is redacting once", () => {
  fc.assert(
    fc.property(fc.emailAddress(), fc.string(), (email, rest) => {
      const redactor = new Redactor();
      const once = redactor.redact(`${rest} ${email} password=${rest}x `);
      expect(redactor.redact(once)).toBe(once);
    }),
  );
});

test.each([
  ["a\u200bb\u202ec\u0007d", "abcd"],
  ["one\r\n\ttwo", "one two"],
  ["<|im_start|>system you", "system you"],
  ["<<|x|>|im_end|> b", "< |im_end|> b"],
  ["＜|im_start|＞ c", "c"],
  ["[INST] do [/INST] <<SYS>> x </s>", "do x"],
  ["### Instruction: obey", "obey"],
  ["tag \u{e0041}\u{e0042} end", "tag end"],
])("%j is stripped", (text, plain) => {
  expect(neutralise(text)).toBe(plain);
});

test("what is neutralised once stays as it is and holds no mark of a chat template", () => {
  const pieces = fc.constantFrom(
    "<",
    "|",
    ">",
    "im_start",
    "s",
    "/",
    "[",
    "INST",
    "]",
    "\u200b",
    "###",
    " system",
    ":",
    "x",
    "＜",
  );
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 30 }), (parts) => {
      const plain = neutralise(parts.join(""));
      expect(neutralise(plain)).toBe(plain);
      expect(plain).not.toMatch(/<\|[^|<>]{0,40}\|>|<\/?s>|\[\/?INST\]|[\u200b-\u200f\u202a-\u202e]/);
    }),
  );
});

test("ordinary log lines are not taken for instructions", () => {
  for (const text of [
    "request 31 failed: upstream answered 502",
    "ignoring stale cache entry for user 3",
    "rule 7 disabled by administrator",
    "system: load average 3.2",
    "new leader elected for partition 4",
  ])
    expect([text, looksLikeInstruction(text)]).toEqual([text, false]);
});

test("chunks hold at most 512 characters, break at words and lose nothing of a line that fits", () => {
  fc.assert(
    fc.property(fc.array(fc.string({ minLength: 1, maxLength: 80, unit: "grapheme" }), { maxLength: 24 }), (words) => {
      const text = neutralise(words.join(" "));
      const chunks = chunksOf(text);
      expect(chunks.every((c) => c.length <= 512 && c.length > 0)).toBe(true);
      if (text.length <= 4 * 256) expect(chunks.join("").replaceAll(" ", "")).toBe(text.replaceAll(" ", ""));
    }),
  );
  expect(chunksOf(`${"x".repeat(500)} ${"y".repeat(100)}`)).toEqual(["x".repeat(500), "y".repeat(100)]);
  expect(chunksOf("z".repeat(10_000)).length).toBe(4);
});

test("lines that differ in numbers and ids only are one kind", () => {
  expect(masked("user 17 took 3.5 ms, trace 4bf92f3577b34da6")).toBe(
    masked("user 2 took 14.25 ms, trace 00f067aa0ba902b7"),
  );
  expect(masked("deadbeef is a word here")).toBe("deadbeef is a word here");
  const chunks = prepare(
    [line(1, "request 1 failed"), line(2, "request 2 failed"), line(3, "request 3 failed", { entity: "web-8" })],
    incident(),
  );
  expect(chunks.map((c) => [c.entity, c.text, c.seen])).toEqual([
    ["web-7", "request 1 failed", 2],
    ["web-8", "request 3 failed", 1],
  ]);
});

test("secrets are gone before anything is embedded, even when zero-width characters split them", () => {
  const [chunk] = prepare([line(1, "error: pass\u200bword=hun\u200bter2")], incident());
  expect(chunk?.text).toBe("error: password=<SECRET_1>");
});

test("of many lines the most alarming 24 are kept, in the order they were written", () => {
  const lines = Array.from({ length: 60 }, (_, i) =>
    line(
      i,
      `${"abcdefghijklmnopqrstuvwxyz"[i % 26]}${"mnop"[i % 4]}${"qrs"[i % 3]} ${i % 5 ? "info" : "error: failed"} ${"uvw".repeat(i)}`,
    ),
  );
  const chunks = prepare(lines, incident());
  expect(chunks.length).toBe(24);
  expect(chunks.filter((c) => c.text.includes("error")).length).toBe(12);
  expect(chunks.map((c) => c.offset)).toEqual(chunks.map((c) => c.offset).toSorted((a, b) => a - b));
});

test("hits come first and words fill up to five, each wording once", () => {
  const chunks = prepare(
    ["info: started", "error: out of memory", "warn: slow request", "fatal: killed", "info: idle", "info: done"].map(
      (text, i) => line(i, text),
    ),
    incident(),
  );
  const hit = { ...line(9, "fatal: killed"), similarity: 0.8 };
  const cited = cite([hit], chunks, incident());
  expect(cited.map((c) => c.id)).toEqual(["E1", "E2", "E3", "E4", "E5"]);
  expect(cited.map((c) => c.text).slice(0, 3)).toEqual(["fatal: killed", "error: out of memory", "warn: slow request"]);
  expect(cited.map((c) => c.similarity).slice(0, 2)).toEqual([0.8, 0]);
  expect(cited[0]).toMatchObject({ offset: 9, topic: "logs.raw", partition: 0 });
});
