/** What V8 says of a text that is no JSON, by how its message begins, in a word that does not change with the text. */
const faults: readonly (readonly [begins: string, fault: string])[] = [
  ["Unexpected end of JSON input", "cut short"],
  ["Unterminated string", "text without an end"],
  ["Expected property name", "member's name"],
  ["Expected double-quoted property name", "member's name"],
  ["Expected ':'", "colon"],
  ["Expected ',' or '}'", "comma in an object"],
  ["Expected ',' or ']'", "comma in a list"],
  ["Bad control character", "control character"],
  ["Bad escaped character", "escape"],
  ["Bad Unicode escape", "escape"],
  ["No number after minus sign", "number"],
  ["Exponent part is missing", "number"],
  ["Unterminated fractional number", "number"],
  ["Unexpected number", "number"],
  ["Unexpected non-whitespace character after JSON", "text behind it"],
  ["Unexpected token", "value"],
];

/** Why a text could not be parsed, from the error's message; "text" where V8 says something new. */
export const jsonFault = (message: string): string =>
  faults.find(([begins]) => message.startsWith(begins))?.[1] ?? "text";
