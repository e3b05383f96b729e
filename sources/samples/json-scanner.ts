import { EntityNames } from "./entity-names.ts";
import { ENTITY, fieldOf, INSTANCE, type SampleFields, TIME, UNKNOWN } from "./fields.ts";

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const SPACE = 0x20;
const BRACE = 0x7b;
const END_BRACE = 0x7d;
const MINUS = 0x2d;
const POINT = 0x2e;
const ZERO = 0x30;
/** So many digits are an exact float64, and so is the power of ten behind them: their quotient is rounded once. */
const EXACT_DIGITS = 15;
const powersOfTen = Float64Array.from({ length: EXACT_DIGITS + 1 }, (_, n) => 10 ** n);

/** A member's name with its quotes, and what it means. */
interface Name {
  readonly bytes: Uint8Array;
  readonly field: number;
}

/**
 * Reads the usual shape of a sample in place: one flat object of plain strings and plain numbers. What it reads is what
 * `JSON.parse` would give; whatever else there may be in JSON it leaves to that.
 *
 * Writers name their fields in the same order each time, so each name is first compared with the one that stood there in
 * the record before.
 */
export class JsonScanner {
  readonly #signals: ReadonlyMap<string, number>;
  readonly #entities = new EntityNames();
  /** By place within the object. */
  readonly #names: Name[] = [];
  /** Behind what was read last. */
  #at = 0;
  #number = 0;

  constructor(signals: ReadonlyMap<string, number>) {
    this.#signals = signals;
  }

  /** False: not of that shape; `into` may be half filled then. */
  scan(bytes: Buffer, start: number, end: number, into: SampleFields): boolean {
    let at = start;
    if (bytes[at++] !== BRACE) return false;
    for (let place = 0; ; place++) {
      const field = this.#field(bytes, at, end, place);
      if (field === undefined) return false;
      at = this.#at;
      if (bytes[at] !== COLON) return false;
      if (bytes[++at] === SPACE) at++;
      if (bytes[at] === QUOTE) {
        const close = closingQuote(bytes, at + 1, end);
        if (close < 0) return false;
        if (field === ENTITY) into.entity = this.#entities.of(bytes, at + 1, close);
        else if (field === INSTANCE) into.instance = this.#entities.of(bytes, at + 1, close);
        else if (field !== UNKNOWN) return false;
        at = close + 1;
      } else {
        if (!this.#readNumber(bytes, at, end)) return false;
        at = this.#at;
        if (field >= 0) into.values[field] = this.#number;
        else if (field === TIME) into.timestampMs = this.#number;
        else if (field !== UNKNOWN) return false;
      }
      const next = bytes[at++];
      if (next === END_BRACE) return at === end;
      if (next !== COMMA) return false;
      if (bytes[at] === SPACE) at++;
    }
  }

  #field(bytes: Buffer, at: number, end: number, place: number): number | undefined {
    const expected = this.#names[place];
    if (expected !== undefined) {
      const name = expected.bytes;
      let i = 0;
      while (i < name.length && bytes[at + i] === name[i]) i++;
      if (i === name.length) {
        this.#at = at + i;
        return expected.field;
      }
    }
    if (bytes[at] !== QUOTE) return undefined;
    const close = closingQuote(bytes, at + 1, end);
    if (close < 0) return undefined;
    const field = fieldOf(this.#signals, bytes.toString("utf8", at + 1, close));
    this.#at = close + 1;
    // A copy: the fetched bytes are not to be kept alive.
    if (place <= this.#names.length && place < MAX_PLACES) {
      this.#names[place] = { bytes: Uint8Array.from(bytes.subarray(at, close + 1)), field };
    }
    return field;
  }

  #readNumber(bytes: Buffer, start: number, end: number): boolean {
    let at = start;
    const negative = bytes[at] === MINUS;
    if (negative) at++;
    const first = at;
    let digits = 0;
    for (; at < end; at++) {
      const digit = bytes[at]! - ZERO;
      if (digit < 0 || digit > 9) break;
      digits = digits * 10 + digit;
    }
    let count = at - first;
    if (count === 0 || (count > 1 && bytes[first] === ZERO)) return false;
    let decimals = 0;
    if (bytes[at] === POINT) {
      const from = ++at;
      for (; at < end; at++) {
        const digit = bytes[at]! - ZERO;
        if (digit < 0 || digit > 9) break;
        digits = digits * 10 + digit;
      }
      decimals = at - from;
      if (decimals === 0) return false;
      count += decimals;
    }
    if (count > EXACT_DIGITS) return false;
    const value = decimals === 0 ? digits : digits / powersOfTen[decimals]!;
    this.#number = negative ? -value : value;
    this.#at = at;
    return true;
  }
}

/** Names that are remembered. */
const MAX_PLACES = 512;

/** Where a string without escapes ends; -1 if it has any, or does not end. */
function closingQuote(bytes: Buffer, start: number, end: number): number {
  for (let at = start; at < end; at++) {
    const byte = bytes[at]!;
    if (byte === QUOTE) return at;
    if (byte === BACKSLASH || byte < SPACE) return -1;
  }
  return -1;
}
