import path from "node:path";
import { expect, test } from "vitest";
import { roles } from "../../commands/roles.ts";
import { options } from "../../config.ts";
import { topicDefinitions } from "../../pipeline.ts";
import { parseFlaws } from "../../processors/index.ts";
import { exists, filesWith, productFiles, read, withoutComments } from "./sources.ts";

/** Rows of all tables of a page, cell by cell, without their headers. */
function tableRows(page: string): string[][] {
  return read(page)
    .split("\n")
    .filter((line) => line.startsWith("| ") && !line.startsWith("| ---"))
    .map((line) =>
      line
        .split("|")
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
}

/** The names in backquotes that begin a row. */
const namesIn = (page: string): string[] => tableRows(page).flatMap(([first]) => /^`([^`]+)`$/.exec(first!)?.[1] ?? []);

const pages = [
  "README.md",
  "CONTRIBUTING.md",
  "CHANGELOG.md",
  ...filesWith(".md").filter((f) => f.startsWith("docs/")),
];

test("docs/topics.md lists every topic of the pipeline with its cleanup, and no other", () => {
  const rows = tableRows("docs/topics.md").slice(1);
  expect(rows.map((cells) => `${cells[0]} ${cells.at(-1)}`).sort()).toEqual(
    topicDefinitions.map(({ name, cleanup }) => `\`${name}\` ${cleanup}`).sort(),
  );
});

test("docs/configuration.md lists every option with its default, and no other", () => {
  const rows = tableRows("docs/configuration.md").filter(([name]) => /^`(WEIR|AWS)_/.test(name!));
  const written = new Map(rows.map(([name, fallback]) => [name!.replaceAll("`", ""), fallback!]));
  expect([...written.keys()].sort()).toEqual(
    Object.values(options)
      .map((o) => o.name)
      .sort(),
  );
  for (const { name, default: fallback } of Object.values(options)) {
    if (fallback === undefined) expect(`${name} ${written.get(name)}`).toBe(`${name} needed`);
    else if (fallback === "") expect(written.get(name)).not.toMatch(/`|needed/);
    else expect(`${name} ${written.get(name)}`).toBe(`${name} \`${fallback}\``);
  }
});

test("docs/configuration.md says what each role needs", () => {
  const written = tableRows("docs/configuration.md").filter(([name]) => name!.replaceAll("`", "") in roles);
  expect(Object.fromEntries(written.map(([name, needs]) => [name!.replaceAll("`", ""), needs]))).toEqual(
    Object.fromEntries(
      Object.entries(roles).map(([role, { needs }]) => [
        role,
        needs.map((n) => `\`${options[n].name}\``).join(", ") || "–",
      ]),
    ),
  );
});

test("docs/parsing.md lists every code of the parser, and no other", () => {
  expect(namesIn("docs/parsing.md").sort()).toEqual([...parseFlaws].sort());
});

/** Words in capitals that are no error codes of ours: protocols, formats, variables. */
const foreign = new Set([
  ...["AFTER_SEQUENCE_NUMBER", "AT_SEQUENCE_NUMBER", "TRIM_HORIZON", "SHARD_END"],
  ...["CONTROL_MESSAGE", "DATA_MESSAGE", "UNHEARD_OF_MESSAGE", "WEIR_CLOCK"],
  ...["BYTE_STREAM_SPLIT", "DELTA_BINARY_PACKED", "ERR_BUFFER_TOO_LARGE", "Z_BUF_ERROR"],
  ...["BRANCH_GT", "BRANCH_GTE", "BRANCH_LEQ", "BRANCH_LT"],
  ...["ALGO_AUTO", "KIND_CPU", "KIND_GPU", "LABEL_REPEATED"],
  ...["TYPE_BOOL", "TYPE_ENUM", "TYPE_FP32", "TYPE_MESSAGE", "TYPE_STRING"],
  ...["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "WEIR_CACHE"],
  ...["WEIR_AI_MODULES", "WEIR_CHAT_MODEL", "WEIR_TOKENIZER", "MESSAGE_TOO_LARGE"],
  ...["DEPTH_ZERO_SELF_SIGNED_CERT", "SELF_SIGNED_CERT_IN_CHAIN", "UNABLE_TO_VERIFY_LEAF_SIGNATURE"],
  ...["UNABLE_TO_GET_ISSUER_CERT_LOCALLY", "CERT_HAS_EXPIRED", "ERR_TLS_CERT_ALTNAME_INVALID"],
  ...Object.values(options).map((o) => o.name),
]);

/** A code stands in quotes, alone or at the head of a line of text; one of a single word only where an error is made. */
function codesIn(text: string): string[] {
  const words = text.matchAll(/["`]([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)(?=["`]|: )/g);
  const single = text.matchAll(/new WeirError\(\s*"([A-Z]+)"/g);
  const families = text.matchAll(/`([A-Z]+_)\$\{/g);
  return [
    ...[...words, ...single].flatMap(([, code]) => (foreign.has(code!) ? [] : [code!])),
    ...[...families].map(([, head]) => `${head}*`),
  ];
}

const code = productFiles()
  .filter((file) => file.endsWith(".ts") || file.endsWith(".mjs"))
  .map((file) => ({ file, text: withoutComments(read(file)) }));

test("docs/errors.md lists every error code of the code, and no other", () => {
  const used = new Set(code.flatMap(({ text }) => codesIn(text)));
  const listed = namesIn("docs/errors.md").filter((name) => /^[A-Z]/.test(name));
  expect(listed.sort()).toEqual([...used].sort());
});

test("docs/errors.md lists every code of dead letters, and no other", () => {
  const made =
    /(?:rejected|rejection|reject|refuse|fault)\(\s*"([a-z_]+)"|\bcode: "([a-z_]+)"|\| "([a-z]+_[a-z_]+)"(?=;|\n)/g;
  const used = code
    .filter(({ file }) =>
      /^(processors\/(features|score|incidents)|sources\/kinesis\/(decode|inflate|operate|coordinator)|sources\/samples|streams\/task|control\/)/.test(
        file,
      ),
    )
    .flatMap(({ file, text }) => {
      // In the decoder the union of its codes counts too; elsewhere unions are of other things.
      const all = [...text.matchAll(made)].map(
        ([, call, field, union]) => call ?? field ?? (file.endsWith("/decode.ts") ? union : undefined),
      );
      return all.filter((c) => c !== undefined);
    });
  const listed = namesIn("docs/errors.md").filter((name) => /^[a-z_]+$/.test(name));
  expect(listed.sort()).toEqual([...new Set(used)].sort());
});

test("every link inside the documentation leads to a file, and every heading it names is there", () => {
  const slug = (heading: string) =>
    heading
      .toLowerCase()
      .replace(/[^\w\- ]/g, "")
      .replaceAll(" ", "-");
  const broken = pages.flatMap((page) =>
    [...read(page).matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, link]) => {
      if (/^[a-z]+:/.test(link!)) return [];
      const [file, anchor] = link!.split("#") as [string, string?];
      const target = file === "" ? page : path.posix.join(path.posix.dirname(page), file);
      if (!exists(target)) return [`${page}: ${link}`];
      const headings = anchor
        ? read(target)
            .split("\n")
            .flatMap((l) => /^#+ (.*)/.exec(l)?.[1] ?? [])
        : [];
      return anchor && !headings.map(slug).includes(anchor) ? [`${page}: ${link}`] : [];
    }),
  );
  expect(broken).toEqual([]);
});

test("every command, flag and variable that the documentation names exists", () => {
  const main = read("main.ts");
  const scripts = Object.keys(JSON.parse(read("package.json")).scripts as object);
  const sources = code.map(({ text }) => text).join("\n");
  const tests = filesWith(".ts")
    .filter((f) => f.startsWith("tests/"))
    .map(read)
    .join("\n");
  const unknown = pages.flatMap((page) => {
    const text = read(page);
    const all = (pattern: RegExp) => [...text.matchAll(pattern)].map(([, name]) => name!);
    return [
      ...all(/\b(?:npx weir|weir) (start|run|init|tail|local|doctor|options|setup|[a-z]+)\b(?=[^.]*`)/g)
        .filter((name) => text.includes(`npx weir ${name}`) && !sources.includes(`.command("${name}")`))
        .map((name) => `weir ${name}`),
      ...all(/\bnpm run ([a-z:]+)/g).filter((name) => !scripts.includes(name)),
      ...all(/`[^`\n]*?(--[a-z][a-z-]+)/g).filter(
        (flag) => !main.includes(`"${flag}`) && !sources.includes(flag) && !tests.includes(flag),
      ),
      ...all(/\b(WEIR_[A-Z][A-Z0-9_]+)\b/g).filter((name) => !sources.includes(name) && !tests.includes(name)),
    ].map((what) => `${page}: ${what}`);
  });
  expect(unknown).toEqual([]);
});
