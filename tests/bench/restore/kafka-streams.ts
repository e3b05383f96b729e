import { rmSync } from "node:fs";
import { join } from "node:path";
import { topicName } from "../../../streams/index.ts";
import { brokerOf, testStack, until } from "../../support/kafka.ts";
import { Peers } from "../peers/peers.ts";
import { partitions } from "./fleet-state.ts";

const samples = topicName("bench.samples");

export interface Way {
  readonly name: string;
  readonly settings: readonly string[];
  readonly keepState: boolean;
}

/** How Kafka Streams can be set up for the death of its process; the first two lose the state folder, as Weir has none. */
export const ways: readonly Way[] = [
  { name: "default", settings: [], keepState: false },
  { name: "static", settings: ["kafka.group.instance.id=a"], keepState: false },
  { name: "6 s session, state kept", settings: ["kafka.session.timeout.ms=6000"], keepState: true },
  { name: "static, state kept", settings: ["kafka.group.instance.id=a"], keepState: true },
];

/**
 * Seconds from the kill of the window job (1,500 instances, RocksDB, two threads) with half of its samples committed to the
 * next commit on all partitions, for each way. It is started again at once; its outputs are checked at the end.
 */
export async function kafkaStreamsSeconds(minutes: number, tell: (line: string) => void): Promise<Map<string, number>> {
  const { stack, stop } = await testStack(["kafka"]);
  const admin = brokerOf(stack).admin();
  const seconds = new Map<string, number>();
  try {
    const peers = await Peers.on(stack.endpoints.kafka[0]!, minutes);
    try {
      for (const way of ways) {
        await peers.fresh();
        const app = `restore-${Date.now()}`;
        const job = [
          "streams",
          "variant=slot",
          "store=rocksdb",
          "commit=100",
          "threads=2",
          `app=${app}`,
          ...way.settings,
        ];
        const committed = () => Promise.all(partitions.map((p) => admin.groupOffset!(app, samples, p)));
        const killed = await peers.run("job", ...job, `killAt=${(1_500 * minutes) / 2}`);
        const killedAt = performance.now();
        if (!killed.includes("killedAt")) throw new Error(`It was not killed: ${killed}`);
        if (!way.keepState) rmSync(join(peers.folder, "state"), { recursive: true, force: true });
        const before = await committed();
        let ended = false;
        const again = peers.run("job", ...job).finally(() => {
          ended = true;
        });
        again.catch(() => undefined);
        const goesOn = async () => (await committed()).every((offset, p) => (offset ?? 0) > (before[p] ?? 0));
        await until("every partition commits again", async () => ended || (await goesOn()), 180_000);
        seconds.set(way.name, (performance.now() - killedAt) / 1_000);
        await again;
        const verdict = await peers.verdict();
        if (!verdict.startsWith("PASS")) throw new Error(`Kafka Streams, ${way.name}: ${verdict}`);
        tell(`Kafka Streams, ${way.name}: ${seconds.get(way.name)!.toFixed(1)} s`);
      }
    } finally {
      await peers.stop();
    }
  } finally {
    await admin.close();
    await stop();
  }
  return seconds;
}
