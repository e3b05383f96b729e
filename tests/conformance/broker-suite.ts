import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  type Broker,
  type GroupEvent,
  type Groups,
  type ProducerRecord,
  type TopicName,
  topicName,
} from "../../streams/index.ts";
import { until } from "../support/kafka.ts";
import type { BrokerUnderTest, RunningBroker } from "./brokers.ts";

/** `TRANSACTION_TIMEOUT_MS` of the adapter, and the local broker looks for expired transactions every second. */
const TIMED_OUT_MS = 12_500;

/** What the ports of `streams/ports.ts` promise, whatever stands behind them. */
export function brokerSuite(name: string, start: BrokerUnderTest): void {
  describe(`the ports on ${name}`, () => {
    let running: RunningBroker;
    let broker: Broker & Groups;
    let topics = 0;
    let timedOut: Promise<readonly [commit: Error, seen: string[]]>;

    beforeAll(async () => {
      running = await start();
      broker = running.broker;
      // It waits for its timeout while the other tests run.
      timedOut = abandoned();
      timedOut.catch(() => undefined);
    });
    afterAll(() => running.stop());

    async function newTopic(partitions = 1): Promise<TopicName> {
      const topic = topicName(`t${topics++}`);
      const admin = broker.admin();
      await admin.createTopics([{ name: topic, partitions, replication: 1, settings: {} }]);
      await admin.close();
      return topic;
    }

    async function producer(id: string) {
      const p = broker.producer(id);
      await p.init();
      return p;
    }

    async function ends(topic: TopicName, partition = 0) {
      const admin = broker.admin();
      const committed = (await admin.offsets(topic, partition, "read_committed")).endOffset;
      const written = (await admin.offsets(topic, partition, "read_uncommitted")).endOffset;
      await admin.close();
      return { committed, written };
    }

    /** Values up to the true end, as the end was at the call; or only what is readable now. */
    async function readAll(topic: TopicName, options: { partition?: number; maxBytes?: number; now?: boolean } = {}) {
      const { partition = 0, maxBytes, now = false } = options;
      const { committed, written } = await ends(topic, partition);
      const reader = broker.reader();
      const texts: string[] = [];
      for (let offset = 0; offset < (now ? committed : written); ) {
        const limit = maxBytes === undefined ? {} : { maxBytes };
        const batch = await reader.fetch(topic, partition, offset, { maxWaitMs: 50, ...limit });
        texts.push(...batch.records.map((r) => r.value!.toString()));
        offset = batch.nextOffset;
      }
      await reader.close();
      return texts;
    }

    async function abandoned(): Promise<readonly [Error, string[]]> {
      const topic = await newTopic();
      const p = await producer(`${topic}.slow`);
      await p.send([record(topic, "left open")]);
      await running.passMs(TIMED_OUT_MS);
      const error = await p.commit().then(
        () => new Error("it was committed"),
        (e) => e as Error,
      );
      await p.close();
      return [error, await readAll(topic)];
    }

    describe("reading", () => {
      test("an aborted transaction is never seen, a committed one is, and an open one holds back what follows", async () => {
        const topic = await newTopic();
        const a = await producer(`${topic}.a`);
        await a.send([record(topic, "aborted")]);
        await a.abort();
        await a.send([record(topic, "committed")]);
        await a.commit();
        expect(await readAll(topic)).toEqual(["committed"]);
        const b = await producer(`${topic}.b`);
        await b.send([record(topic, "open")]);
        await a.send([record(topic, "behind it")]);
        await a.commit();
        expect(await readAll(topic, { now: true })).toEqual(["committed"]);
        await b.abort();
        expect(await readAll(topic)).toEqual(["committed", "behind it"]);
        await Promise.all([a.close(), b.close()]);
      });

      test("nested and overlapping aborts of two producers leak nothing", async () => {
        const topic = await newTopic();
        const [a, b, good] = await Promise.all(["a", "b", "c"].map((n) => producer(`${topic}.${n}`)));
        await a!.send([record(topic, "a1"), record(topic, "a2")]);
        await b!.send([record(topic, "b1")]);
        await b!.abort();
        await b!.send([record(topic, "b2")]);
        await a!.send([record(topic, "a3")]);
        await a!.abort();
        await good!.send([record(topic, "good")]);
        await good!.commit();
        await b!.abort();
        expect(await readAll(topic)).toEqual(["good"]);
        expect(await readAll(topic, { maxBytes: 100 })).toEqual(["good"]);
        await Promise.all([a!.close(), b!.close(), good!.close()]);
      });

      test("many producers that commit and abort at random: exactly the committed records are seen, in small fetches too", async () => {
        const topic = await newTopic();
        const producers = await Promise.all(["a", "b", "c", "d"].map((n) => producer(`${topic}.${n}`)));
        const random = lcg(7);
        const open = producers.map(() => [] as string[]);
        const committed: string[] = [];
        for (let i = 0; i < 100; i++) {
          const p = random(producers.length);
          if (open[p]!.length > 0 && random(3) === 0) {
            const commits = random(2) === 0;
            await (commits ? producers[p]!.commit() : producers[p]!.abort());
            if (commits) committed.push(...open[p]!);
            open[p] = [];
          } else {
            // A key of four zero bytes is no marker.
            await producers[p]!.send([record(topic, `${p}-${i}`, i % 5 === 0 ? "\0\0\0\0" : "k")]);
            open[p]!.push(`${p}-${i}`);
          }
        }
        for (const p of producers) await p.abort();
        expect((await readAll(topic)).sort()).toEqual(committed.sort());
        expect((await readAll(topic, { maxBytes: 300 })).sort()).toEqual(committed);
        await Promise.all(producers.map((p) => p.close()));
      });

      test("what was written comes back as it was: keys, tombstones, times, offsets in order", async () => {
        const topic = await newTopic();
        const p = await producer(topic);
        const records: ProducerRecord[] = [
          { topic, partition: 0, key: null, value: Buffer.from("no key"), timestampMs: 0 },
          { topic, partition: 0, key: "ü", value: null, timestampMs: 1_700_000_000_123 },
          { topic, partition: 0, key: "", value: Buffer.alloc(0), timestampMs: 5 },
        ];
        await p.send(records);
        await p.commit();
        const reader = broker.reader();
        const read = [];
        for (let offset = 0; offset < (await ends(topic)).written; ) {
          const batch = await reader.fetch(topic, 0, offset, { maxWaitMs: 50 });
          read.push(...batch.records);
          offset = batch.nextOffset;
        }
        expect(read.map((r) => [r.offset, r.key?.toString(), r.value?.toString(), r.timestampMs])).toEqual([
          [0, undefined, "no key", 0],
          [1, "ü", undefined, 1_700_000_000_123],
          [2, "", "", 5],
        ]);
        await Promise.all([reader.close(), p.close()]);
      });

      test("the position passes over markers, so it reaches the true end of a log that ends with one", async () => {
        const topic = await newTopic();
        const p = await producer(topic);
        await p.send([record(topic, "x")]);
        await p.abort();
        expect(await readAll(topic)).toEqual([]);
        expect(await ends(topic)).toEqual({ committed: 2, written: 2 });
        await p.close();
      });

      test("the true end lies behind an open transaction, the readable end before it", async () => {
        const topic = await newTopic();
        const p = await producer(topic);
        await p.send([record(topic, "open")]);
        expect(await ends(topic)).toEqual({ committed: 0, written: 1 });
        const reader = broker.reader();
        for (const [isolation, endOffset] of [
          ["read_committed", 0],
          ["read_uncommitted", 1],
        ] as const)
          expect(await reader.fetch(topic, 0, 0, { maxWaitMs: 50, isolation })).toMatchObject({ endOffset });
        await reader.close();
        await p.abort();
        await p.close();
      });

      test("a fetch at the end waits and comes back empty, where it was", async () => {
        const topic = await newTopic();
        const reader = broker.reader();
        const batch = await reader.fetch(topic, 0, 0, { maxWaitMs: 20 });
        expect(batch).toMatchObject({ records: [], nextOffset: 0, endOffset: 0, startOffset: 0 });
        await reader.close();
      });

      test("a waiting fetch gets what is committed meanwhile, and ends once its reader is closed", async () => {
        const topic = await newTopic();
        const p = await producer(topic);
        const reader = broker.reader();
        const waiting = reader.fetch(topic, 0, 0, { maxWaitMs: 20_000 });
        await p.send([record(topic, "new")]);
        await p.commit();
        const first = await waiting;
        const more = first.records.length > 0 ? first : await reader.fetch(topic, 0, 0, { maxWaitMs: 20_000 });
        expect(more.records.map((r) => r.value!.toString())).toEqual(["new"]);
        await readAll(topic);
        // A closed reader's fetch ends, answered or cut off: nobody waits for it for ever.
        const left = reader.fetch(topic, 0, (await ends(topic)).written, { maxWaitMs: 500 });
        const ended = Promise.allSettled([left]);
        await reader.close();
        expect((await ended)[0]).not.toMatchObject({ value: { records: [{}] } });
        await p.close();
      });

      test("a fetch outside the log is fatal and says where; a partition that is not there, too", async () => {
        const topic = await newTopic();
        const reader = broker.reader();
        const fatal = { disposition: "fatal" };
        await expect(reader.fetch(topic, 0, 99)).rejects.toMatchObject({ code: "OFFSET_OUT_OF_RANGE", ...fatal });
        await expect(reader.fetch(topic, 7, 0)).rejects.toMatchObject({ code: "TOPIC_MISSING", ...fatal });
        await reader.close();
      });
    });

    describe("a transactional producer", () => {
      test("init fences the older producer of the same id: its open transaction is gone and its commit says fenced", async () => {
        const topic = await newTopic();
        const old = await producer(topic);
        await old.send([record(topic, "zombie")]);
        const fresh = await producer(topic);
        await expect(old.commit()).rejects.toMatchObject({ code: "PRODUCER_FENCED", disposition: "fenced" });
        await fresh.send([record(topic, "owner")]);
        await fresh.commit();
        expect(await readAll(topic)).toEqual(["owner"]);
        await Promise.all([old.close(), fresh.close()]);
      });

      test("after init nothing of the predecessor's can still appear: what it committed is readable up to the true end", async () => {
        const topic = await newTopic(3);
        const old = await producer(topic);
        await old.send([0, 1, 2].map((partition) => ({ ...record(topic, "mine"), partition })));
        await old.commit();
        const fresh = await producer(topic);
        for (const partition of [0, 1, 2]) {
          expect(await ends(topic, partition)).toEqual({ committed: 2, written: 2 });
          expect(await readAll(topic, { partition, now: true })).toEqual(["mine"]);
        }
        await Promise.all([old.close(), fresh.close()]);
      });

      test("of two that initialise at the same time at most one goes on", async () => {
        const topic = await newTopic();
        const both = await Promise.all([producer(topic), producer(topic)]);
        const outcomes = await Promise.allSettled(
          both.map(async (p, i) => {
            await p.send([record(topic, `${i}`)]);
            await p.commit();
            return `${i}`;
          }),
        );
        const through = outcomes.flatMap((o) => (o.status === "fulfilled" ? [o.value] : []));
        expect(through.length).toBe(1);
        expect(await readAll(topic)).toEqual(through);
        await Promise.all(both.map((p) => p.close()));
      });

      test("after a failed send nothing can be committed, not even as an empty transaction", async () => {
        const topic = await newTopic();
        const old = await producer(topic);
        const fresh = await producer(topic);
        await expect(old.send([record(topic, "zombie")])).rejects.toMatchObject({ disposition: "fenced" });
        await expect(old.commit()).rejects.toMatchObject({ code: "PRODUCER_DEAD" });
        expect(await readAll(topic)).toEqual([]);
        await Promise.all([old.close(), fresh.close()]);
      });

      test("a transaction over several partitions is there whole or not at all", async () => {
        const topic = await newTopic(3);
        const p = await producer(topic);
        const over = (text: string) => [0, 1, 2].map((partition) => ({ ...record(topic, text), partition }));
        await p.send(over("one"));
        await p.commit();
        await p.send(over("two"));
        await p.abort();
        await p.send(over("three"));
        await p.send(over("four"));
        await p.commit();
        for (const partition of [0, 1, 2])
          expect(await readAll(topic, { partition })).toEqual(["one", "three", "four"]);
        await p.close();
      });

      test("what is settled can be read at once, by all who wait for no more than the readable end", async () => {
        const topic = await newTopic(2);
        const p = broker.producer(`${topic}.settled`);
        await p.init([topic]);
        for (let round = 1; round <= 5; round++) {
          await p.send([record(topic, `a${round}`), { ...record(topic, `b${round}`), partition: 1 }]);
          await (round === 3 ? p.abort() : p.commit());
          await p.settle();
          for (const partition of [0, 1]) {
            const { committed, written } = await ends(topic, partition);
            expect(committed).toBe(written);
          }
        }
        await p.settle();
        await p.close();
        expect(await readAll(topic, { now: true })).toEqual(["a1", "a2", "a4", "a5"]);
        expect(await readAll(topic, { partition: 1, now: true })).toEqual(["b1", "b2", "b4", "b5"]);
      });

      test("a commit without a send writes nothing, and neither do offsets alone", async () => {
        const topic = await newTopic();
        const p = await producer(topic);
        await p.commit();
        await p.sendOffsets("group", topic, 0, 1);
        await p.commit();
        await p.send([]);
        await p.commit();
        expect(await ends(topic)).toEqual({ committed: 0, written: 0 });
        await p.close();
      });

      test("the group's offsets travel with a transaction; a producer that failed over them is replaced", async () => {
        const topic = await newTopic();
        // A broker that has just started may not know yet who coordinates a group: the rule of the port holds then too.
        for (let attempt = 1; ; attempt++) {
          const p = await producer(topic);
          try {
            await p.send([record(topic, "x")]);
            await p.sendOffsets("group", topic, 0, 1);
            await p.commit();
            break;
          } catch (error) {
            expect(error).toMatchObject({ disposition: "retry" });
            expect(attempt).toBeLessThan(100);
          } finally {
            await p.close();
          }
        }
        expect(await readAll(topic)).toEqual(["x"]);
      });

      test("one transaction takes more than a request may hold, in order", async () => {
        const topic = await newTopic();
        const p = await producer(topic);
        await p.send(Array.from({ length: 1_200 }, (_, i) => record(topic, `${i}${"x".repeat(1_500)}`)));
        await p.commit();
        const numbers = (await readAll(topic)).map((t) => Number.parseInt(t, 10));
        expect(numbers).toEqual(Array.from({ length: 1_200 }, (_, i) => i));
        await p.close();
      });

      test("a record larger than the broker takes, even compressed, is fatal", async () => {
        const topic = await newTopic();
        const p = await producer(topic);
        await expect(p.send([record(topic, randomBytes(1_500_000).toString("base64"))])).rejects.toMatchObject({
          disposition: "fatal",
        });
        await p.close();
      });

      test("a transaction left open is aborted when its time is up, and its owner learns that it is fenced", async () => {
        const [error, seen] = await timedOut;
        expect(error).toMatchObject({ code: "PRODUCER_FENCED", disposition: "fenced" });
        expect(seen).toEqual([]);
      });
    });

    describe("a group", () => {
      const member = (topic: TopicName) => {
        const one = broker.groupMember();
        const events: GroupEvent[] = [];
        const last = () => events.findLast((e) => e.kind === "assigned");
        return {
          events,
          join: () => one.join(`group of ${topic}`, [topic], (event) => void events.push(event)),
          leave: () => one.leave(),
          partitions: () => last()?.partitions ?? [],
          generation: () => last()?.generation ?? -1,
        };
      };

      test("gives one member everything, and a second one half: the first keeps what it can and was told beforehand", async () => {
        const topic = await newTopic(5);
        const [a, b] = [member(topic), member(topic)];
        await a.join();
        expect(a.partitions()).toEqual([0, 1, 2, 3, 4]);
        await b.join();
        await until("both are of one generation", () => a.generation() === b.generation());
        expect([a.partitions(), b.partitions()]).toEqual([
          [0, 1, 2],
          [3, 4],
        ]);
        expect(a.events.map((e) => e.kind)).toEqual(["assigned", "revoking", "assigned"]);
        await a.leave();
        await until("the other has everything", () => b.partitions().length === 5);
        expect(b.generation()).toBeGreaterThan(a.generation());
        await b.leave();
      });

      test("tells a member that has left nothing more, and leaving twice is leaving once", async () => {
        const topic = await newTopic(1);
        const [a, b] = [member(topic), member(topic)];
        await a.join();
        await a.leave();
        await a.leave();
        const told = a.events.length;
        await b.join();
        expect(b.partitions()).toEqual([0]);
        expect(a.events).toHaveLength(told);
        await b.leave();
      });

      test("gives a partition to one of three at most, and nobody has two more than another", async () => {
        const topic = await newTopic(4);
        const members = [member(topic), member(topic), member(topic)];
        await Promise.all(members.map((m) => m.join()));
        await until("all are of one generation", () => new Set(members.map((m) => m.generation())).size === 1);
        expect(members.flatMap((m) => m.partitions()).sort()).toEqual([0, 1, 2, 3]);
        expect(members.map((m) => m.partitions().length).sort()).toEqual([1, 1, 2]);
        await Promise.all(members.map((m) => m.leave()));
      });
    });

    test("topics are created once; another partition count is refused", async () => {
      const topic = await newTopic();
      const admin = broker.admin();
      const wanted = (partitions: number) => [{ name: topic, partitions, replication: 1, settings: {} }];
      await admin.createTopics(wanted(1));
      expect(await admin.partitionsOf(topic)).toBe(1);
      await expect(admin.createTopics(wanted(3))).rejects.toMatchObject({ code: "PARTITIONS_CHANGED" });
      await admin.close();
    });
  });
}

const record = (topic: TopicName, text: string, key: string | null = "k"): ProducerRecord => ({
  topic,
  partition: 0,
  key,
  value: Buffer.from(text),
  timestampMs: 1_000,
});

function lcg(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return Math.floor((state / 2_147_483_648) * n);
  };
}
