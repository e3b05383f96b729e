/** A small generator of one seed, the same on every machine (mulberry32). */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const words = ["open", "close", "read", "user", "disk", "x1", "9", "from", "to", "table", "retry", "b7c"];

/** Lines of 0 to 7 words out of a few, some with digits, so that branches fill up, meet the wildcard and widen. */
export function smallVocabulary(seed: number, count: number): string[] {
  const random = randomOf(seed);
  return Array.from({ length: count }, () => {
    const length = Math.floor(random() * 8);
    return Array.from({ length }, () => words[Math.floor(random() ** 2 * words.length)]!).join(" ");
  });
}

/** Lines whose first word is one of very many, beyond what a node may branch into. */
export function manyFirstWords(seed: number, count: number): string[] {
  const random = randomOf(seed);
  return Array.from({ length: count }, () => {
    const first = `w${"abcdefghij"[Math.floor(random() * 10)]}${"klmnopqrst"[Math.floor(random() * 10)]}${"uv"[Math.floor(random() * 2)]}`;
    return `${first} ${words[Math.floor(random() * 4)]} done in ${Math.floor(random() * 100)} ms`;
  });
}
