/** Kinds of text that must not leave for an index or a model, in the order they are looked for. */
const rules: readonly { kind: string; pattern: RegExp; accept?: (found: string) => boolean }[] = [
  { kind: "KEY", pattern: /-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/gs },
  { kind: "JWT", pattern: /\beyJ[\w-]{5,}\.[\w-]{5,}(?:\.[\w-]*)?/g },
  {
    kind: "KEY",
    pattern:
      /\b(?:(?:AKIA|ASIA)[A-Z0-9]{16}|gh[pousr]_[A-Za-z0-9]{20,}|xox[abeprs]-[\w-]{10,}|[sr]k[-_][\w-]{16,}|AIza[\w-]{30,})/g,
  },
  { kind: "SECRET", pattern: /(?<=:\/\/)[^\s/@:]{1,100}:[^\s/@]{1,200}(?=@)/g },
  { kind: "SECRET", pattern: /(?<=\b(?:bearer|basic)\s+)[\w.~+/=-]{8,}/gi },
  {
    kind: "SECRET",
    pattern:
      /(?<=(?:passw(?:or)?d|passphrase|\bpwd|secret(?:[_-]?access)?(?:[_-]?key)?|token|api[_-]?key|access[_-]?key|credentials?)(?:[_-]\w{0,20})?["']?\s{0,3}[=:]\s{0,3})(?:"[^"]*"|'[^']*'|[^\s,;&"'<>{}[\]]+)/gi,
  },
  { kind: "EMAIL", pattern: /\b[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+\b/g },
  {
    kind: "CARD",
    pattern: /(?<![\d.])(?:4\d{3}|5[1-5]\d{2}|2[2-7]\d{2}|3[47]\d{2}|6(?:011|5\d{2}))(?:[ -]?\d){9,15}(?![\d.])/g,
    accept: isCardNumber,
  },
];

/** Luhn's check over 13 to 19 digits. */
function isCardNumber(found: string): boolean {
  const digits = found.replace(/\D/g, "");
  if (digits.length < 13 || digits.length > 19) return false;
  let sum = 0;
  for (let i = 0; i < digits.length; i++) {
    const digit = Number(digits[digits.length - 1 - i]);
    const doubled = i % 2 ? digit * 2 : digit;
    sum += doubled > 9 ? doubled - 9 : doubled;
  }
  return sum % 10 === 0;
}

/**
 * Replaces secrets and personal data by placeholders. One instance an incident: the same value gets the same
 * placeholder in all its lines, so that they can still be told apart and followed.
 */
export class Redactor {
  #names = new Map<string, string>();
  #counts = new Map<string, number>();

  redact(text: string): string {
    let out = text;
    for (const { kind, pattern, accept } of rules)
      out = out.replace(pattern, (found) => {
        if (accept && !accept(found)) return found;
        return /^<[A-Z]+_\d+>$/.test(found) ? found : this.#placeholder(kind, found);
      });
    return out;
  }

  #placeholder(kind: string, value: string): string {
    const known = this.#names.get(`${kind} ${value}`);
    if (known) return known;
    const n = (this.#counts.get(kind) ?? 0) + 1;
    this.#counts.set(kind, n);
    const name = `<${kind}_${n}>`;
    this.#names.set(`${kind} ${value}`, name);
    return name;
  }
}
