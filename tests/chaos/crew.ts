import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import type { Armed } from "./hooks.ts";
import { type Member, members, rolesOf } from "./schedule.ts";
import { Supervised } from "./supervised.ts";

const compiled = fileURLToPath(new URL("../../.weir/chaos/compiled", import.meta.url));

export interface CrewOptions {
  readonly dir: string;
  /** For every process. */
  readonly variables: Readonly<Record<string, string>>;
  /** Of 127.0.0.1: from the broker's port to its proxy's. */
  readonly lead: readonly (readonly [number, number])[];
  /** Processes are members of Kafka groups with a child each, instead of single ones with fixed shares. */
  readonly groups: boolean;
}

/** The processes of Weir: per member one, or as many as it was scaled to. */
export class Crew {
  readonly #options: CrewOptions;
  readonly #seats = new Map<Member, Supervised[]>();
  /** Of members that were scaled: the newer share takes over from the older one. */
  readonly #epochs = new Map<Member, number>();
  readonly #retired: Supervised[] = [];
  #armed = 0;

  constructor(options: CrewOptions) {
    this.#options = options;
    mkdirSync(path.join(options.dir, "logs"), { recursive: true });
    for (const member of members) this.#seats.set(member, this.#start(member, 1));
  }

  seats(member: Member): readonly Supervised[] {
    return this.#seats.get(member)!;
  }

  /** Processes that ended with a code of their own. */
  get ends(): number {
    return this.#all().reduce((sum, s) => sum + s.ends, 0);
  }

  get starts(): number {
    return this.#all().reduce((sum, s) => sum + s.starts, 0);
  }

  get logFiles(): string[] {
    return members.map((member) => this.#logFile(member));
  }

  async running(): Promise<void> {
    await Promise.all([...this.#seats.values()].flat().map((s) => s.running()));
  }

  /** The next process of the member that passes the step so often dies there. */
  arm(member: Member, armed: Omit<Armed, "number">): void {
    const file = this.#armFile(member);
    rmSync(`${file}.hit`, { force: true });
    writeFileSync(`${file}.new`, JSON.stringify({ ...armed, number: ++this.#armed }));
    renameSync(`${file}.new`, file);
  }

  isHit(member: Member): boolean {
    return existsSync(`${this.#armFile(member)}.hit`);
  }

  /** False: too late, it was met. */
  disarm(member: Member): boolean {
    rmSync(this.#armFile(member), { force: true });
    return !this.isHit(member);
  }

  /** Resolves when so many run and those that are too many are gone. Of fixed shares all are new, with a higher epoch. */
  async scale(member: Member, count: number): Promise<void> {
    const former = this.#seats.get(member)!;
    const kept = this.#options.groups ? former.slice(0, count) : [];
    this.#epochs.set(member, (this.#epochs.get(member) ?? 0) + 1);
    const seats = [...kept, ...this.#start(member, count, kept.length)];
    const leaving = former.filter((seat) => !kept.includes(seat));
    this.#seats.set(member, seats);
    this.#retired.push(...leaving);
    await Promise.all(seats.map((s) => s.running()));
    await Promise.all(leaving.map((s) => s.stop()));
  }

  /** SIGTERM to all; the exit codes. */
  async stop(): Promise<(number | null)[]> {
    return await Promise.all([...this.#seats.values()].flat().map((s) => s.stop()));
  }

  #all(): Supervised[] {
    return [...this.#retired, ...[...this.#seats.values()].flat()];
  }

  /** Those of `count` processes that are not there yet. */
  #start(member: Member, count: number, from = 0): Supervised[] {
    const { variables, lead, groups } = this.#options;
    const epoch = this.#epochs.get(member) ?? 0;
    const share = (i: number) => (groups ? ["--processes=1"] : [`--ordinal=${i}`, `--of=${count}`, `--epoch=${epoch}`]);
    const ordinals = Array.from({ length: count }, (_, i) => i).slice(from);
    return ordinals.map(
      (i) =>
        new Supervised({
          name: count === 1 ? member : `${member} ${i}/${count}`,
          args: [...rolesOf[member], ...share(i)],
          hasChildren: groups,
          env: {
            ...variables,
            WEIR_CHAOS_ARM: this.#armFile(member),
            WEIR_CHAOS_LEAD: lead.map((pair) => pair.join(":")).join(","),
            // So many starts: modules are compiled once.
            NODE_COMPILE_CACHE: compiled,
          },
          logFile: this.#logFile(member),
        }),
    );
  }

  #armFile = (member: Member): string => path.join(this.#options.dir, `arm-${member}`);
  #logFile = (member: Member): string => path.join(this.#options.dir, "logs", `${member}.log`);
}
