import { randomUUID } from "node:crypto";
import { changelogTopicFor, type TaskId, type TopicName, taskIdText, transactionalIdFor } from "../names.ts";
import type { Admin, Broker, PartitionReader, TxnProducer } from "../ports.ts";
import type { StageBinding, TaskOptions, TaskStep } from "./binding.ts";
import { ChangelogFold, CLAIM, type Claim, decideRecovery, GENESIS, type RestoredState } from "./changelog.ts";
import type { TaskTime } from "./time.ts";

const RESTORE_FETCH_BYTES = 4_194_304;

export interface Ownership {
  readonly producer: TxnProducer;
  readonly claim: Claim;
  readonly restored: RestoredState;
  readonly nextOffset: number;
}

/**
 * Makes this process the one owner of a task (design §5; the order is the proof).
 *
 *   T1 the input is not read yet
 *   T2 initialise the producer: the predecessor is fenced, its open transaction finished; then commit a claim
 *   T3 ask the changelog's true end, whatever transactions are open on it
 *   T4 read it read_committed until the position reaches that end
 *   T5 decide by the last progress whether the state is whole
 *   T6 the caller seeks to `nextOffset` and resumes: never from the group's offsets
 *
 * Throws the refusal of T5, or the broker's error; the producer is closed then.
 */
export async function takeOver(
  binding: StageBinding,
  task: TaskId,
  options: TaskOptions,
  admin: Admin,
  time: TaskTime,
): Promise<Ownership> {
  const { broker, env } = options;
  const step = (name: TaskStep) => options.onStep?.(task, name);
  const changelog = changelogTopicFor(task.stage);
  step("T1");
  const producer = broker.producer(transactionalIdFor(env, task));
  const reader = broker.reader();
  try {
    step("T2");
    await producer.init();
    const claim: Claim = { incarnation: randomUUID(), fingerprint: binding.fingerprint };
    const value = Buffer.from(JSON.stringify(claim));
    const timestampMs = time.wallMs();
    await producer.send([{ topic: changelog, partition: task.partition, key: CLAIM, value, timestampMs }]);
    await producer.commit();
    const restored = await foldChangelog(reader, admin, changelog, task.partition, step);
    step("T5");
    const log = await admin.offsets(binding.input, task.partition, "read_uncommitted");
    const decision = decideRecovery(taskIdText(task), restored, binding.fingerprint, log);
    if (decision.action === "refuse") throw decision.error;
    step("T6");
    return { producer, claim, restored, nextOffset: decision.progress?.nextOffset ?? log.startOffset };
  } catch (error) {
    await producer.close();
    throw error;
  } finally {
    await reader.close();
  }
}

/** T3 and T4. The position moves by batch headers, over markers and holes, so it reaches the end of any log. */
async function foldChangelog(
  reader: PartitionReader,
  admin: Admin,
  topic: TopicName,
  partition: number,
  step: (name: TaskStep) => void = () => undefined,
): Promise<RestoredState> {
  step("T3");
  const { startOffset, endOffset } = await admin.offsets(topic, partition, "read_uncommitted");
  const fold = new ChangelogFold();
  step("T4");
  for (let position = startOffset; position < endOffset; ) {
    const batch = await reader.fetch(topic, partition, position, { maxBytes: RESTORE_FETCH_BYTES, maxWaitMs: 100 });
    fold.add(batch.records);
    position = batch.nextOffset;
  }
  return fold.result;
}

/** Whose claim stands last: asked after a fencing, before anything is initialised. */
export async function lastClaim(broker: Broker, admin: Admin, task: TaskId): Promise<Claim | undefined> {
  const reader = broker.reader();
  try {
    return (await foldChangelog(reader, admin, changelogTopicFor(task.stage), task.partition)).claim;
  } finally {
    await reader.close();
  }
}

/** Writes the genesis record where there is none and nothing else either. Part of `weir init`. */
export async function initialiseChangelog(broker: Broker, admin: Admin, env: string, task: TaskId): Promise<boolean> {
  const topic = changelogTopicFor(task.stage);
  const { endOffset } = await admin.offsets(topic, task.partition, "read_uncommitted");
  if (endOffset > 0) return false;
  const producer = broker.producer(transactionalIdFor(env, task));
  try {
    await producer.init();
    const value = Buffer.from(JSON.stringify({ version: 1 }));
    await producer.send([{ topic, partition: task.partition, key: GENESIS, value, timestampMs: Date.now() }]);
    await producer.commit();
    return true;
  } finally {
    await producer.close();
  }
}
