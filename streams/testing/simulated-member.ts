import { WeirError } from "../errors.ts";
import type { TopicName } from "../names.ts";
import type { GroupEvent, GroupMember } from "../ports.ts";
import type { Beat, Joined } from "./group-coordinator.ts";
import type { SimulatedBroker } from "./simulated-broker.ts";
import type { SimulatedProcess } from "./simulated-process.ts";

/** As the real adapter's. */
const HEARTBEAT_MS = 500;
const RETRY_PAUSE_MS = 200;

/** A member of a group on the simulated broker, with the life of the real one: join, beat, revoking or lost, join. */
export class SimulatedMember implements GroupMember {
  readonly #broker: SimulatedBroker;
  readonly #process: SimulatedProcess;
  readonly #stop = new AbortController();
  #groupId = "";
  #partitions = 0;
  #onEvent: (event: GroupEvent) => void = () => undefined;
  #joined: Joined = { memberId: "", generation: -1, partitions: [] };
  #running: Promise<void> | undefined;

  constructor(broker: SimulatedBroker, process: SimulatedProcess) {
    this.#broker = broker;
    this.#process = process;
  }

  async join(groupId: string, topics: readonly TopicName[], onEvent: (event: GroupEvent) => void): Promise<void> {
    this.#groupId = groupId;
    this.#partitions = Math.max(...topics.map((topic) => this.#broker.partitionsOf(topic) ?? 0));
    await new Promise<void>((resolve) => {
      this.#onEvent = (event) => {
        if (this.#stop.signal.aborted) return;
        onEvent(event);
        if (event.kind === "assigned") resolve();
      };
      this.#running = this.#run().then(resolve);
    });
  }

  async leave(): Promise<void> {
    if (this.#stop.signal.aborted) return;
    this.#stop.abort();
    const { memberId } = this.#joined;
    if (memberId === "") return;
    const left = this.#process.call<void>("leave", (reply) =>
      this.#broker.groups.leave(this.#groupId, memberId, reply),
    );
    await left.catch(() => undefined); // the session runs out instead
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        await this.#joinOnce();
        let beat: Beat = "well";
        while (beat === "well" && !signal.aborted) {
          await this.#process.time.sleep(HEARTBEAT_MS, signal);
          if (!signal.aborted) beat = await this.#beat();
        }
        if (signal.aborted) return;
        const { generation, partitions } = this.#joined;
        this.#onEvent({ kind: beat === "lost" ? "lost" : "revoking", generation, partitions });
        if (beat === "lost") this.#joined = { memberId: "", generation, partitions: [] };
      } catch (error) {
        if (!(error instanceof WeirError)) throw error;
        await this.#process.time.sleep(RETRY_PAUSE_MS, signal);
      }
    }
  }

  async #joinOnce(): Promise<void> {
    const { memberId, generation, partitions } = this.#joined;
    const joined = await this.#process.call<Joined | "lost">("join", (reply) =>
      this.#broker.groups.join(this.#groupId, memberId, this.#partitions, partitions, reply),
    );
    if (joined === "lost") {
      this.#onEvent({ kind: "lost", generation, partitions });
      this.#joined = { memberId: "", generation, partitions: [] };
      await this.#joinOnce();
      return;
    }
    this.#joined = joined;
    this.#onEvent({ kind: "assigned", generation: joined.generation, partitions: joined.partitions });
  }

  /** A coordinator that does not answer is no reason to join again. */
  async #beat(): Promise<Beat> {
    const { memberId, generation } = this.#joined;
    return await this.#process
      .call<Beat>("heartbeat", (reply) => this.#broker.groups.beat(this.#groupId, memberId, generation, reply))
      .catch(() => "well" as const);
  }
}
