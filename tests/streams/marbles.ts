import { SourceClocks } from "../../streams/index.ts";

/**
 * Pictures of sources over the order of arrival, one column a record:
 *
 *   shard-1    o0  .  e12  .  x       o open, t tick, e event, each with its clock; i idle; x close; . nothing
 *   shard-2    .   o0 .    t9 .
 *   watermark  0   0  0    9  9       what is expected behind each column
 */
export function watermarksOf(picture: string): { readonly expected: number[]; readonly found: number[] } {
  const rows = new Map(
    picture
      .trim()
      .split("\n")
      .map((line) => line.trim().split(/\s+/))
      .map(([name, ...tokens]) => [name!, tokens] as const),
  );
  const expected = rows.get("watermark")!.map(Number);
  rows.delete("watermark");
  for (const [name, tokens] of rows) {
    if (tokens.length !== expected.length) throw new Error(`Row ${name} has ${tokens.length} columns.`);
  }
  let clocks = new SourceClocks();
  const found = expected.map((_, column) => {
    for (const [source, tokens] of rows) apply(clocks, source, tokens[column]!);
    // A restart may come between any two records and must not be noticed.
    clocks = new SourceClocks(JSON.parse(JSON.stringify(clocks.snapshot())));
    return clocks.watermarkMs;
  });
  return { expected, found };
}

function apply(clocks: SourceClocks, source: string, token: string): void {
  const clockMs = Number(token.slice(1));
  const kind = token[0];
  if (kind === "o") clocks.open(source, clockMs);
  else if (kind === "t" || kind === "e") clocks.advance(source, clockMs);
  else if (kind === "i") clocks.idle(source);
  else if (kind === "x") clocks.close(source);
  else if (kind !== ".") throw new Error(`No such token: ${token}`);
}
