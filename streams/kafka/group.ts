import { setTimeout as sleep } from "node:timers/promises";
import { AssignerProtocol } from "kafkajs";
import type { WeirError } from "../errors.ts";
import type { TopicName } from "../names.ts";
import type { GroupEvent, GroupMember } from "../ports.ts";
import type { KafkaClient, KafkaCluster, KafkaCoordinator } from "./kafkajs.ts";
import { brokerError, groupOutcome } from "./outcome.ts";
import { type StickyMember, shareSticky } from "./sticky.ts";

const PROTOCOL = "weir-sticky";
/** How long a silent process keeps its partitions. */
const SESSION_TIMEOUT_MS = 10_000;
/** How soon a member learns that the group shares anew: the larger part of what scaling out costs. */
const HEARTBEAT_MS = 500;
const RETRY_PAUSE_MS = 200;
/** The others join again with their next heartbeat; one that does not is given up by the broker only later. */
const JOIN_PATIENCE_MS = 4 * HEARTBEAT_MS;

/**
 * Membership alone, over the coordinator calls of kafkajs. Its consumer is not used: it beats from its fetch loop only,
 * beats on at a coordinator that is gone, and looks up offsets that nobody reads.
 *
 *   join ─► sync ─► assigned ─► beat … ─► revoking ─► join     the group shares anew
 *                                  └────► lost ─────► join     the session ran out: as a new member
 *
 * An unreachable coordinator is no reason to join again: the member looks for it and beats on.
 */
export class KafkaGroupMember implements GroupMember {
  readonly #cluster: KafkaCluster;
  readonly #stop = new AbortController();
  #groupId = "";
  #topics: readonly TopicName[] = [];
  #onEvent: (event: GroupEvent) => void = () => undefined;
  #memberId = "";
  #generation = -1;
  #owned: readonly number[] = [];
  #connected = false;
  #joining = false;
  #running: Promise<void> | undefined;

  constructor(client: KafkaClient) {
    this.#cluster = client.cluster();
  }

  async join(groupId: string, topics: readonly TopicName[], onEvent: (event: GroupEvent) => void): Promise<void> {
    this.#groupId = groupId;
    this.#topics = topics;
    await new Promise<void>((resolve, reject) => {
      this.#onEvent = (event) => {
        if (this.#stop.signal.aborted) return;
        onEvent(event);
        if (event.kind === "assigned") resolve();
        if (event.kind === "failed") reject(event.error);
      };
      this.#running = this.#run().then(resolve);
    });
  }

  async leave(): Promise<void> {
    if (this.#stop.signal.aborted) return await this.#running;
    this.#stop.abort();
    // A join waits at the broker for the other members; only its answer tells the id to leave with.
    if (this.#joining) await Promise.race([this.#running, sleep(JOIN_PATIENCE_MS, undefined, { ref: false })]);
    if (this.#joining) await this.#disconnect();
    await this.#running;
    if (this.#memberId !== "") {
      const leaving = this.#coordinator().then((c) =>
        c.leaveGroup({ groupId: this.#groupId, memberId: this.#memberId }),
      );
      await leaving.catch(() => undefined); // the session runs out instead
    }
    await this.#disconnect();
  }

  async #run(): Promise<void> {
    let wanted: "join" | "beat" = "join";
    while (!this.#stop.signal.aborted) {
      try {
        const coordinator = await this.#coordinator();
        if (wanted === "join") await this.#joinOnce(coordinator);
        wanted = "beat";
        for (;;) {
          await sleep(HEARTBEAT_MS, undefined, { signal: this.#stop.signal });
          await coordinator.heartbeat({
            groupId: this.#groupId,
            groupGenerationId: this.#generation,
            memberId: this.#memberId,
          });
        }
      } catch (error) {
        if (this.#stop.signal.aborted) return;
        const outcome = groupOutcome(error);
        if (outcome === "fatal") return this.#fail(brokerError(error, `Group ${this.#groupId}`));
        if (outcome === "rejoin" || outcome === "lost") {
          // Put out while it joined: others have had its partitions since, whatever it is given next.
          const isPutOut = outcome === "lost" && this.#memberId !== "";
          if (wanted === "beat" || isPutOut) this.#tell(outcome === "lost" ? "lost" : "revoking");
          if (outcome === "lost") this.#memberId = "";
          wanted = "join";
        } else {
          await this.#cluster.refreshMetadata().catch(() => this.#disconnect());
          await sleep(RETRY_PAUSE_MS, undefined, { signal: this.#stop.signal }).catch(() => undefined);
        }
      }
    }
  }

  async #joinOnce(coordinator: KafkaCoordinator): Promise<void> {
    this.#joining = true;
    try {
      const groupId = this.#groupId;
      const owned: Owned = { generation: this.#generation, partitions: this.#owned };
      const joined = await coordinator.joinGroup({
        groupId,
        memberId: this.#memberId,
        sessionTimeout: SESSION_TIMEOUT_MS,
        rebalanceTimeout: SESSION_TIMEOUT_MS,
        groupProtocols: [{ name: PROTOCOL, metadata: encodeMember(this.#topics, owned) }],
      });
      this.#memberId = joined.memberId;
      const leads = joined.leaderId === joined.memberId;
      const { memberAssignment } = await coordinator.syncGroup({
        groupId,
        generationId: joined.generationId,
        memberId: joined.memberId,
        groupAssignment: leads ? await this.#share(joined.members) : [],
      });
      this.#generation = joined.generationId;
      this.#owned = decodeAssignment(memberAssignment);
      this.#tell("assigned");
    } finally {
      this.#joining = false;
    }
  }

  async #share(members: readonly { memberId: string; memberMetadata: Buffer }[]) {
    await Promise.all(this.#topics.map((topic) => this.#cluster.addTargetTopic(topic)));
    await this.#cluster.refreshMetadata();
    const counts = this.#topics.map((topic) => this.#cluster.findTopicPartitionMetadata(topic).length);
    const shares = shareSticky(
      Array.from({ length: Math.max(...counts) }, (_, partition) => partition),
      members.map(({ memberId, memberMetadata }) => decodeMember(memberId, memberMetadata)),
    );
    return [...shares].map(([memberId, partitions]) => ({
      memberId,
      memberAssignment: AssignerProtocol.MemberAssignment.encode({
        version: 0,
        assignment: Object.fromEntries(
          this.#topics.map((topic, i) => [topic, partitions.filter((p) => p < counts[i]!)]),
        ),
        userData: Buffer.alloc(0),
      }),
    }));
  }

  async #coordinator(): Promise<KafkaCoordinator> {
    if (!this.#connected) await this.#cluster.connect();
    this.#connected = true;
    return await this.#cluster.findGroupCoordinator({ groupId: this.#groupId });
  }

  async #disconnect(): Promise<void> {
    this.#connected = false;
    await this.#cluster.disconnect().catch(() => undefined);
  }

  #tell(kind: "assigned" | "revoking" | "lost"): void {
    this.#onEvent({ kind, generation: this.#generation, partitions: this.#owned });
  }

  #fail(error: WeirError): void {
    this.#onEvent({ kind: "failed", error });
  }
}

interface Owned {
  readonly generation: number;
  readonly partitions: readonly number[];
}

function encodeMember(topics: readonly string[], owned: Owned): Buffer {
  const userData = Buffer.from(JSON.stringify(owned));
  return AssignerProtocol.MemberMetadata.encode({ version: 0, topics: [...topics], userData });
}

function decodeMember(id: string, metadata: Buffer): StickyMember {
  const decoded = AssignerProtocol.MemberMetadata.decode(metadata);
  const { generation, partitions } = JSON.parse(decoded!.userData.toString()) as Owned;
  return { id, generation, owned: partitions };
}

/** Partition p of every topic goes together: any topic's list that holds it will do. */
function decodeAssignment(bytes: Buffer): number[] {
  const assignment = AssignerProtocol.MemberAssignment.decode(bytes)?.assignment ?? {};
  return [...new Set(Object.values(assignment).flat())].sort((a, b) => a - b);
}
