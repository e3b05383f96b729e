/** What stands in a template where lines differ. */
export const WILDCARD = "<*>";

/** A log line is read so far and no further: templates differ at their head. */
const MAX_LENGTH = 2_048;
const MAX_TOKENS = 64;
const MAX_TOKEN_LENGTH = 256;
/** Stands for the tokens beyond the limit, so that a cut line has a template of its own. */
const CUT = "<cut>";

/** Ordered: the first that fits at a place wins. Repetitions are bounded or of one character class, so time is linear. */
const variable =
  /(?<id>[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}|\b[a-z]{1,6}-(?=[a-f]{0,16}\d)[0-9a-f]{8,17}\b)|(?<ip>\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}(?::\d{1,5})?\b)|(?<time>\b\d{4}-\d\d-\d\d(?:T[\d:.,]{4,18})?(?:Z|[+-]\d\d:?\d\d)?\b|\b\d\d:\d\d:\d\d(?:[.,]\d{1,9})?\b)|(?<hex>\b0x[0-9a-fA-F]{1,64}\b|\b(?=[a-f]{0,64}\d)[0-9a-f]{8,64}\b)|(?<num>(?<![\w)])[+-]?\d+(?:[.,]\d+)*|\d+(?:[.,]\d+)*)/g;

/** Two steps below the root at least, not behind another path's text: `/var/log/x`, `./a/b`, `C:\a\b`; a bare `/` is none. */
const path = /(?<![\w/.<>)])(?:\.{0,2}\/|[A-Za-z]:\\)[\w.@%+~:-]{1,255}[/\\][^\s"'(),;[\]]*/g;

/**
 * The words of a log line with what varies masked: `<id>`, `<ip>`, `<time>`, `<hex>`, `<num>`, `<path>`.
 *
 * Words end at white space. The result has at most 64 words and depends on the line alone.
 */
export function maskedTokens(line: string): string[] {
  const text = line.length > MAX_LENGTH ? line.slice(0, MAX_LENGTH) : line;
  const tokens: string[] = [];
  let digits = false;
  let slashes = 0;
  let start = -1;
  for (let at = 0; at <= text.length; at++) {
    const c = at < text.length ? text.charCodeAt(at) : 0x20;
    if (c > 0x20) {
      if (start < 0) start = at;
      if (c >= 0x30 && c <= 0x39) digits = true;
      else if (c === 0x2f || c === 0x5c) slashes++;
      continue;
    }
    if (start < 0) continue;
    if (tokens.length === MAX_TOKENS - 1) {
      tokens.push(CUT);
      return tokens;
    }
    let token = text.slice(start, Math.min(at, start + MAX_TOKEN_LENGTH));
    if (slashes > 1) token = token.replace(path, "<path>");
    if (digits) token = maskNumbers(token);
    tokens.push(token);
    digits = false;
    slashes = 0;
    start = -1;
  }
  if (line.length > MAX_LENGTH) tokens.push(CUT);
  return tokens;
}

/** Most tokens with a digit are a bare number, which needs no search. */
function maskNumbers(token: string): string {
  let bare = true;
  for (let i = 0; i < token.length && bare; i++) {
    const c = token.charCodeAt(i);
    bare = c >= 0x30 && c <= 0x39;
  }
  return bare && token.length < 8 ? "<num>" : token.replace(variable, nameOfMatch);
}

function nameOfMatch(_: string, id?: string, ip?: string, time?: string, hex?: string): string {
  if (id !== undefined) return "<id>";
  if (ip !== undefined) return "<ip>";
  if (time !== undefined) return "<time>";
  return hex === undefined ? "<num>" : "<hex>";
}
