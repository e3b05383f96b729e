/** One value of protocol buffers' text format, not yet typed by a message definition. */
export type TextValue =
  | { readonly kind: "string"; readonly value: string }
  | { readonly kind: "number"; readonly value: number }
  | { readonly kind: "word"; readonly value: string }
  | { readonly kind: "message"; readonly fields: readonly TextField[] };

export interface TextField {
  readonly name: string;
  /** Several where a list in brackets was given. */
  readonly values: readonly TextValue[];
  readonly line: number;
}

interface Token {
  readonly kind: "string" | "number" | "word" | "mark" | "end";
  readonly text: string;
  readonly line: number;
}

const TOKENS =
  /#[^\n]*|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?f?|\w+|[{}<>[\]:,;]|\S/g;
const NUMBER = /^[-+]?(\d|\.\d)/;
const MAX_DEPTH = 32;

/** Reads a text such as config.pbtxt. Throws an Error that names the line. */
export function parseTextFormat(text: string): TextField[] {
  const tokens = tokensOf(text);
  let at = 0;
  const peek = (): Token => tokens[at]!;
  const next = (): Token => tokens[at++]!;
  const fail = (token: Token, wanted: string): never => {
    throw new Error(`line ${token.line}: ${wanted} was expected, not ${token.kind === "end" ? "the end" : token.text}`);
  };

  const message = (end: string, depth: number): TextField[] => {
    if (depth > MAX_DEPTH) throw new Error(`line ${peek().line}: messages are nested deeper than ${MAX_DEPTH}`);
    const fields: TextField[] = [];
    for (;;) {
      const token = next();
      if (token.kind === "end" ? end === "" : token.kind === "mark" && token.text === end) return fields;
      if (token.kind !== "word") fail(token, "a field's name");
      const hasColon = peek().text === ":" && peek().kind === "mark";
      if (hasColon) next();
      fields.push({ name: token.text, values: values(hasColon, depth), line: token.line });
      if (peek().kind === "mark" && /[,;]/.test(peek().text)) next();
    }
  };
  const values = (hasColon: boolean, depth: number): TextValue[] => {
    if (peek().kind !== "mark" || peek().text !== "[") return [value(hasColon, depth)];
    next();
    const list: TextValue[] = [];
    while (peek().text !== "]" || peek().kind !== "mark") {
      list.push(value(true, depth));
      if (peek().text === "," && peek().kind === "mark") next();
      else if (peek().text !== "]") fail(peek(), "a comma or ]");
    }
    next();
    return list;
  };
  const value = (scalar: boolean, depth: number): TextValue => {
    const token = next();
    if (token.kind === "mark" && (token.text === "{" || token.text === "<"))
      return { kind: "message", fields: message(token.text === "{" ? "}" : ">", depth + 1) };
    if (!scalar) fail(token, "a colon or {");
    if (token.kind === "string") {
      let joined = token.text;
      while (peek().kind === "string") joined += next().text; // adjacent strings are one
      return { kind: "string", value: joined };
    }
    if (token.kind === "number") return { kind: "number", value: Number(token.text.replace(/f$/, "")) };
    return token.kind === "word" ? { kind: "word", value: token.text } : fail(token, "a value");
  };
  return message("", 0);
}

function tokensOf(text: string): Token[] {
  const tokens: Token[] = [];
  let line = 1;
  let from = 0;
  for (const match of text.matchAll(TOKENS)) {
    for (; from < match.index; from++) if (text[from] === "\n") line++;
    const [found] = match;
    if (found.startsWith("#")) continue;
    if (/^["']./s.test(found) && found.length > 1)
      tokens.push({ kind: "string", text: unescaped(found.slice(1, -1)), line });
    else if (NUMBER.test(found)) tokens.push({ kind: "number", text: found, line });
    else if (/^\w/.test(found)) tokens.push({ kind: "word", text: found, line });
    else tokens.push({ kind: "mark", text: found, line });
  }
  return [...tokens, { kind: "end", text: "", line }];
}

const ESCAPES: Readonly<Record<string, string>> = { n: "\n", t: "\t", r: "\r" };
const unescaped = (text: string): string => text.replace(/\\(.)/g, (_, c: string) => ESCAPES[c] ?? c);
