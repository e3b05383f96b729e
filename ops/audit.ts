import { hash } from "node:crypto";
import type { DeadLetter, Explanation, FeatureBatch, Incident, LogBatch } from "../schemas/index.ts";
import type { Broker, TopicName } from "../streams/index.ts";
import { readTopic, type TopicCodecs, tryDecode } from "./read-topic.ts";

/** First eight bytes, big-endian, of the sha-256 of an event id: what the audit compares instead of ids. */
export const eventHash = (id: string): bigint => hash("sha256", id, "buffer").readBigUInt64BE(0);

/** A dead letter's event id; where its bytes could not be taken apart, the first 16 hex digits of their sha-256. */
export const idOfDeadLetter = (letter: Pick<DeadLetter, "eventId" | "bytes">): string =>
  letter.eventId || hash("sha256", letter.bytes, "hex").slice(0, 16);

/** Hashes in a typed array that grows: eight bytes an id. */
class HashList {
  #values = new BigUint64Array(1024);
  #length = 0;

  push(value: bigint): void {
    if (this.#length === this.#values.length) {
      const grown = new BigUint64Array(this.#values.length * 2);
      grown.set(this.#values);
      this.#values = grown;
    }
    this.#values[this.#length++] = value;
  }

  sorted(): BigUint64Array {
    return this.#values.slice(0, this.#length).sort();
  }
}

export interface FoundIds {
  /** Sorted hashes of every event in the log topic, a repeated id as often as it stands there. */
  readonly logged: BigUint64Array;
  /** The same of the dead letters. */
  readonly dead: BigUint64Array;
  /** Records that could not be decoded: none of their ids is known. */
  readonly unreadable: number;
}

/** Reads the ids of all events in the log topic and in the dead-letter topics, committed records only. */
export async function readEventIds(options: {
  readonly broker: Broker;
  readonly codecs: TopicCodecs;
  readonly logs: TopicName;
  readonly dead: readonly TopicName[];
}): Promise<FoundIds> {
  const { broker, codecs, logs } = options;
  const logged = new HashList();
  const dead = new HashList();
  let unreadable = 0;
  for await (const { value } of readTopic(broker, logs)) {
    const batch = await tryDecode<LogBatch>(codecs, logs, value);
    if (batch) for (const event of batch.events) logged.push(eventHash(event.id));
    else unreadable++;
  }
  for (const topic of options.dead)
    for await (const { value } of readTopic(broker, topic)) {
      const letter = await tryDecode<DeadLetter>(codecs, topic, value);
      if (letter) dead.push(eventHash(idOfDeadLetter(letter)));
      else unreadable++;
    }
  return { logged: logged.sorted(), dead: dead.sorted(), unreadable };
}

export interface Audit {
  /** Distinct ids that the writer says it wrote. */
  readonly written: number;
  /** Of those, how many stand in the log topic or among the dead letters. */
  readonly found: number;
  readonly lost: number;
  /** Hashes of the first ten lost ids, ascending. */
  readonly lostSample: readonly bigint[];
  /** Ids that stand in the log topic more than once, counted once for each time too many. */
  readonly duplicates: number;
  /** Ids found that nobody says to have written. */
  readonly unknown: number;
}

const sampleSize = 10;

/** Holds what was found against the ledger of what was written; both as hashes of event ids. */
export function audit(ledger: BigUint64Array | ReadonlySet<bigint>, found: FoundIds): Audit {
  const written = distinct(
    ledger instanceof BigUint64Array ? ledger.slice().sort() : BigUint64Array.from(ledger).sort(),
  );
  const logged = distinct(found.logged);
  const all = new BigUint64Array(found.logged.length + found.dead.length);
  all.set(found.logged);
  all.set(found.dead, found.logged.length);
  const seen = distinct(all.sort());
  const lostSample: bigint[] = [];
  let lost = 0;
  let j = 0;
  for (const id of written) {
    while (j < seen.length && seen[j]! < id) j++;
    if (seen[j] === id) continue;
    lost++;
    if (lostSample.length < sampleSize) lostSample.push(id);
  }
  const matched = written.length - lost;
  return {
    written: written.length,
    found: matched,
    lost,
    lostSample,
    duplicates: found.logged.length - logged.length,
    unknown: seen.length - matched,
  };
}

const distinct = (sorted: BigUint64Array): BigUint64Array => sorted.filter((v, i) => i === 0 || v !== sorted[i - 1]);

export interface TopicCount {
  readonly records: number;
  /**
   * What the topic is about: events (log-batch), rows (feature-batch, prediction-batch), distinct incidents (incident),
   * distinct incidents explained (explanation), else records.
   */
  readonly things: number;
  /** Explanations: distinct incidents with a text of the language model. Else 0. */
  readonly byModel: number;
}

/** Counts what lies in topics, committed records only. `schema` is the Avro record's file name, as in `pipeline.ts`. */
export async function countTopics(options: {
  readonly broker: Broker;
  readonly codecs: TopicCodecs;
  readonly topics: readonly { readonly name: TopicName; readonly schema: string | null }[];
}): Promise<Record<string, TopicCount>> {
  const counts: Record<string, TopicCount> = {};
  for (const { name, schema } of options.topics) {
    let records = 0;
    let things = 0;
    const ids = new Set<string>();
    const byModel = new Set<string>();
    for await (const { value } of readTopic(options.broker, name)) {
      records++;
      const decode = <T>() => tryDecode<T>(options.codecs, name, value);
      if (schema === "log-batch") things += (await decode<LogBatch>())?.events.length ?? 0;
      else if (schema === "feature-batch" || schema === "prediction-batch")
        things += (await decode<FeatureBatch>())?.entities.length ?? 0;
      else if (schema === "incident") ids.add((await decode<Incident>())?.incidentId ?? "");
      else if (schema === "explanation") {
        const text = await decode<Explanation>();
        ids.add(text?.incidentId ?? "");
        if (text?.mode === "model") byModel.add(text.incidentId);
      } else if (schema !== null) things++;
    }
    ids.delete(""); // a tombstone, or bytes nobody can read
    const perId = schema === "incident" || schema === "explanation";
    counts[name] = { records, things: perId ? ids.size : things, byModel: byModel.size };
  }
  return counts;
}
