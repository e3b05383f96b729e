/** A member of a group as its leader sees it. */
export interface StickyMember {
  readonly id: string;
  /** What it owned in `generation`; the highest generation wins where two claim the same. */
  readonly owned: readonly number[];
  readonly generation: number;
}

/**
 * Shares partitions, given in ascending order: nobody has two more than another, whoever has one keeps it as far as
 * that allows, and the same members always get the same answer, in whatever order they are listed.
 *
 * Steps: 1. each partition goes to its latest owner; 2. who owns most may keep the larger share, and all give up what
 * is above theirs, the highest numbers first; 3. what is free goes to those below their share, by id.
 */
export function shareSticky(partitions: readonly number[], members: readonly StickyMember[]): Map<string, number[]> {
  const kept = new Map([...members].sort((a, b) => compare(a.id, b.id)).map((m) => [m.id, [] as number[]]));
  for (const p of partitions) {
    const owner = latestOwner(p, members);
    if (owner) kept.get(owner.id)!.push(p);
  }
  const larger = partitions.length % members.length;
  const share = Math.floor(partitions.length / members.length);
  const byOwned = [...kept].sort(([a, mine], [b, others]) => others.length - mine.length || compare(a, b));
  const quota = new Map(byOwned.map(([id], i) => [id, i < larger ? share + 1 : share]));
  const taken = new Set<number>();
  for (const [id, owned] of kept) {
    owned.splice(quota.get(id)!);
    for (const p of owned) taken.add(p);
  }
  const free = partitions.filter((p) => !taken.has(p));
  for (const [id, owned] of kept) {
    owned.push(...free.splice(0, quota.get(id)! - owned.length));
    owned.sort((a, b) => a - b);
  }
  return kept;
}

function latestOwner(partition: number, members: readonly StickyMember[]): StickyMember | undefined {
  return members
    .filter((m) => m.owned.includes(partition))
    .sort((a, b) => b.generation - a.generation || compare(a.id, b.id))[0];
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
