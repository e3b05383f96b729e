import {
  deadTopicFor,
  type InputRecord,
  KeyValueStore,
  lateTopicFor,
  type Output,
  type Processor,
  type Rejection,
  SourceClocks,
  type SourceClocksSnapshot,
  stageName,
  type TaskOptions,
  topicName,
} from "../../streams/index.ts";
import { SeededRandom } from "../../streams/testing/index.ts";
import type { InputOperation, SimulatedPipeline } from "./pipeline.ts";

/** An event, or with an empty id a tick: its source's word on time. */
interface Event {
  readonly id: string;
  readonly source: string;
  readonly clockMs: number;
  readonly atMs: number;
}

const WINDOW_MS = 1_000;
const GRACE_MS = 500;
const input = topicName("events");
const output = topicName("counts");
const PARTITIONS = 2;

/**
 * The smallest stage with everything a task has to keep: sources with clocks, late events, duplicates, windows that
 * close once, state that is deleted, and a record that makes it throw when half of it is written.
 */
class CountedWindows implements Processor<Event> {
  readonly #time = new KeyValueStore<SourceClocksSnapshot>("time");
  readonly #open = new KeyValueStore<{ endMs: number; key: string; count: number }>("open");
  readonly #seen = new KeyValueStore<number>("seen");
  readonly stores = [this.#time, this.#open, this.#seen];

  process({ key, value, timestampMs }: InputRecord<Event>, out: Output): void {
    const clocks = new SourceClocks(this.#time.get("now"));
    const { id, source, clockMs, atMs } = value;
    if (id === "") out.count("control", 1);
    else if (atMs < clocks.clockOf(source) - GRACE_MS) out.late(rejectionOf(value, "late", timestampMs));
    else if (this.#seen.get(id) !== undefined) out.count("duplicate", 1);
    else {
      const endMs = atMs - (atMs % WINDOW_MS) + WINDOW_MS;
      const name = `${endMs}/${key}`;
      this.#seen.put(id, endMs);
      this.#open.put(name, { endMs, key: key!, count: (this.#open.get(name)?.count ?? 0) + 1 });
      if (id.startsWith("bad")) throw new Error(`cannot take ${id}`);
      out.count("accepted", 1);
    }
    clocks.advance(source, clockMs);
    this.#close(clocks.watermarkMs - GRACE_MS, out);
    this.#time.put("now", clocks.snapshot());
  }

  #close(untilMs: number, out: Output): void {
    const due = [...this.#open.entries()].filter(([, w]) => w.endMs <= untilMs);
    due.sort(([, a], [, b]) => a.endMs - b.endMs || (a.key < b.key ? -1 : 1));
    for (const [name, { endMs, key, count }] of due) {
      out.send(output, key, { endMs, count }, endMs);
      this.#open.delete(name);
    }
    for (const [id, endMs] of [...this.#seen.entries()]) if (endMs <= untilMs) this.#seen.delete(id);
  }
}

const rejectionOf = ({ id, atMs }: Event, code: string, timestampMs: number): Rejection => ({
  code,
  reason: `at ${atMs}`,
  eventId: id,
  timestampMs,
  entity: "",
  bytes: Buffer.from(id),
});

/** JSON instead of Avro: the registry is not what is simulated. */
const codecs: TaskOptions["codecs"] = {
  unknownId: () => null,
  learn: async () => undefined,
  decode: <T>(_topic: string, bytes: Buffer) => JSON.parse(bytes.toString()) as T,
  encode: (_topic, value) => Buffer.from(JSON.stringify(value)),
};

const EVENTS = 45;
const sources = ["a", "b", "c"];

/** Sources at their own pace; some events out of order, late, twice; rubbish of aborted transactions in between. */
function inputOf(seed: number): Pick<SimulatedPipeline, "input" | "lastCalls"> {
  const random = new SeededRandom(seed);
  const operations: InputOperation[] = [];
  const lastCalls: InputOperation[][] = [[], [], []];
  for (let partition = 0; partition < PARTITIONS; partition++) {
    const add = (event: Event, key: string | null, producerId: number | null = null) =>
      operations.push(operationOf(partition, event, key, producerId));
    for (const source of sources) add({ id: "", source, clockMs: 0, atMs: 0 }, null);
    const clocks = sources.map(() => 0);
    let last: Event | undefined;
    for (let i = 0; i < EVENTS; i++) {
      const s = random.between(0, sources.length - 1);
      clocks[s]! += random.between(50, 400);
      const clockMs = clocks[s]!;
      const back = random.next() < 0.15 ? random.between(0, 1_500) : random.between(0, 300);
      const name = random.next() < 0.05 ? "bad" : "event";
      const event = { id: `${name}${partition}-${i}`, source: sources[s]!, clockMs, atMs: Math.max(0, clockMs - back) };
      const again = last && random.next() < 0.1 ? { ...last, source: event.source, clockMs } : event;
      add(again, `k${random.between(0, 4)}`);
      last = event;
      if (random.next() < 0.1) {
        const producerId = 1 + random.between(0, 9);
        add({ ...event, id: "of an aborted transaction" }, "k0", producerId);
        if (random.next() < 0.5) add({ ...event, id: `behind it ${i}` }, "k1");
        operations.push({ topic: input, partition, mark: "abort", producerId });
      }
    }
    for (const source of sources) add({ id: "", source, clockMs: 60_000, atMs: 60_000 }, null);
    lastCalls.forEach((call, i) => {
      const atMs = 61_000 + i;
      call.push(operationOf(partition, { id: "", source: "a", clockMs: atMs, atMs }, null));
    });
  }
  return { input: interleaved(operations, random), lastCalls };
}

function operationOf(
  partition: number,
  event: Event,
  key: string | null,
  producerId: number | null = null,
): InputOperation {
  const value = Buffer.from(JSON.stringify(event));
  const record = { key: key === null ? null : Buffer.from(key), value, timestampMs: event.atMs };
  return { topic: input, partition, producerId, append: [record] };
}

/** Partitions side by side, each in its own order. */
function interleaved(operations: readonly InputOperation[], random: SeededRandom): InputOperation[] {
  const queues = [...Map.groupBy(operations, (o) => o.partition).values()];
  const all: InputOperation[] = [];
  while (queues.some((q) => q.length > 0)) {
    const next = random.pick(queues.filter((q) => q.length > 0)).shift();
    if (next) all.push(next);
  }
  return all;
}

const outputs = [output, deadTopicFor(input), lateTopicFor(input)];

/** On two fixed slots, or in two processes that share the partitions through a group. */
export function countedWindows(sharing: "fixed" | "by group" = "fixed", seed = 1): SimulatedPipeline {
  return {
    name: sharing === "fixed" ? "counted-windows" : "counted-windows-by-group",
    partitions: PARTITIONS,
    topics: [input, ...outputs],
    codecs,
    slots: [0, 1].map((partition) => ({ stage: 0, partitions: sharing === "fixed" ? [partition] : sharing })),
    stages: () => [
      { stage: stageName("count"), input, outputs, create: () => new CountedWindows(), fingerprint: "count/1" },
    ],
    ...inputOf(seed),
    judged: outputs,
  };
}

/**
 * What must come out, counted anew and in another way: all events of a partition at once, without clocks that advance.
 * An event is late below its own source's highest clock before it; a window holds the distinct events in time.
 */
export function recount(pipeline: SimulatedPipeline, partition: number) {
  const aborted = new Set(
    pipeline.input.flatMap((o) => ("mark" in o && o.partition === partition ? [o.producerId] : [])),
  );
  const events = [...pipeline.input, ...pipeline.lastCalls.flat()].flatMap((o) =>
    "append" in o && o.partition === partition && !aborted.has(o.producerId ?? -1)
      ? o.append.map(({ key, value }) => ({ key: `${key}`, ...(JSON.parse(`${value}`) as Event) }))
      : [],
  );
  const counters = { in: events.length, accepted: 0, late: 0, dead: 0, duplicate: 0, control: 0 };
  const windows = new Map<string, { endMs: number; key: string; ids: Set<string> }>();
  events.forEach((event, i) => {
    if (event.id === "") counters.control++;
    else {
      const clocks = events.slice(0, i).filter((e) => e.source === event.source && !e.id.startsWith("bad"));
      const endMs = Math.floor(event.atMs / WINDOW_MS) * WINDOW_MS + WINDOW_MS;
      const window = windows.get(`${endMs}/${event.key}`) ?? { endMs, key: event.key, ids: new Set() };
      const isKnown = [...windows.values()].some((w) => w.ids.has(event.id));
      if (event.atMs < Math.max(...clocks.map((e) => e.clockMs)) - GRACE_MS) counters.late++;
      else if (isKnown) counters.duplicate++;
      else if (event.id.startsWith("bad")) counters.dead++;
      else {
        counters.accepted++;
        window.ids.add(event.id);
        windows.set(`${endMs}/${event.key}`, window);
      }
    }
  });
  const sorted = [...windows.values()].sort((a, b) => a.endMs - b.endMs || (a.key < b.key ? -1 : 1));
  const counts = sorted.map(({ endMs, key, ids }) => `${endMs} ${key} ${JSON.stringify({ endMs, count: ids.size })}`);
  return { counts, counters };
}
