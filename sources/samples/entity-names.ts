const PLACES = 131_072;
/** Names kept at once; beyond, all are forgotten and learnt anew. */
const MAX_NAMES = PLACES / 2;

/** Names by their bytes: one string for each, so that nothing is decoded twice. A cache, no state. */
export class EntityNames {
  #names: (string | undefined)[] = new Array(PLACES).fill(undefined);
  #count = 0;

  /** The UTF-8 text from `at` to `end`. */
  of(bytes: Buffer, at: number, end: number): string {
    let hash = end - at;
    for (let i = at; i < end; i++) hash = Math.imul(hash ^ bytes[i]!, 0x9e3779b1);
    let place = (hash ^ (hash >>> 15)) & (PLACES - 1);
    for (let name = this.#names[place]; name !== undefined; name = this.#names[place]) {
      if (isText(name, bytes, at, end)) return name;
      place = (place + 1) & (PLACES - 1);
    }
    const name = bytes.toString("utf8", at, end);
    // Only where a character is a byte can the two be compared as they are.
    if (name.length !== end - at) return name;
    if (++this.#count > MAX_NAMES) {
      this.#names.fill(undefined);
      this.#count = 1;
    }
    this.#names[place] = name;
    return name;
  }
}

function isText(name: string, bytes: Buffer, at: number, end: number): boolean {
  if (name.length !== end - at) return false;
  for (let i = 0; i < name.length; i++) if (name.charCodeAt(i) !== bytes[at + i]) return false;
  return true;
}
