import { shareSticky } from "../kafka/sticky.ts";
import type { Reply } from "./simulated-process.ts";
import type { Timer, VirtualTime } from "./virtual-time.ts";

const SESSION_MS = 10_000;

export interface Joined {
  readonly memberId: string;
  readonly generation: number;
  readonly partitions: readonly number[];
}

export type Beat = "well" | "rejoin" | "lost";

interface Member {
  owned: readonly number[];
  generation: number;
  session: Timer;
  /** The answer it waits for while the others join. */
  waiting: Reply<Joined | "lost"> | undefined;
}

interface Group {
  readonly members: Map<string, Member>;
  readonly partitions: number;
  generation: number;
  isSharing: boolean;
}

/**
 * The group coordinator of the simulated broker: members join, beat and leave; whenever one comes or goes all join
 * again, the generation grows, and the partitions are shared anew, each keeping what it may. A member that neither beats
 * nor joins for a session is put out; it hears so when it comes back.
 */
export class GroupCoordinator {
  readonly #time: VirtualTime;
  readonly #groups = new Map<string, Group>();
  #ids = 0;

  constructor(time: VirtualTime) {
    this.#time = time;
  }

  join(
    groupId: string,
    memberId: string,
    partitions: number,
    owned: readonly number[],
    reply: Reply<Joined | "lost">,
  ): void {
    const group = this.#groups.get(groupId) ?? { members: new Map(), partitions, generation: 0, isSharing: false };
    this.#groups.set(groupId, group);
    const known = group.members.get(memberId);
    if (memberId !== "" && !known) {
      reply.done("lost");
      return;
    }
    const id = known ? memberId : `member-${String(this.#ids++).padStart(3, "0")}`;
    known?.session.cancel();
    group.members.set(id, {
      owned: known ? owned : [],
      generation: known?.generation ?? 0,
      session: this.#session(group, id),
      waiting: reply,
    });
    group.isSharing = true;
    this.#shareIfAllJoined(group);
  }

  beat(groupId: string, memberId: string, generation: number, reply: Reply<Beat>): void {
    const group = this.#groups.get(groupId);
    const member = group?.members.get(memberId);
    if (!group || !member) {
      reply.done("lost");
      return;
    }
    member.session.cancel();
    member.session = this.#session(group, memberId);
    reply.done(group.isSharing || member.generation !== generation ? "rejoin" : "well");
  }

  leave(groupId: string, memberId: string, reply: Reply<void>): void {
    const group = this.#groups.get(groupId);
    if (group) this.#remove(group, memberId);
    reply.done(undefined);
  }

  #session(group: Group, memberId: string): Timer {
    return this.#time.after(SESSION_MS, () => this.#remove(group, memberId));
  }

  #remove(group: Group, memberId: string): void {
    const member = group.members.get(memberId);
    if (!member) return;
    member.session.cancel();
    group.members.delete(memberId);
    if (group.members.size === 0) return;
    group.isSharing = true;
    this.#shareIfAllJoined(group);
  }

  #shareIfAllJoined(group: Group): void {
    const members = [...group.members];
    if (!group.isSharing || members.some(([, m]) => !m.waiting)) return;
    group.isSharing = false;
    group.generation++;
    const all = Array.from({ length: group.partitions }, (_, p) => p);
    const shares = shareSticky(
      all,
      members.map(([id, { owned, generation }]) => ({ id, owned, generation })),
    );
    for (const [memberId, member] of members) {
      const partitions = shares.get(memberId)!;
      const { waiting } = member;
      member.owned = partitions;
      member.generation = group.generation;
      member.waiting = undefined;
      waiting!.done({ memberId, generation: group.generation, partitions });
    }
  }
}
