import { WeirError } from "../errors.ts";
import { changelogTopicFor, type TaskId, type TopicName, taskIdText, transactionalIdFor } from "../names.ts";
import type { Admin, PartitionReader, TxnProducer } from "../ports.ts";
import type { AnyProcessor } from "../processor.ts";
import type { StageBinding, TaskOptions, TaskStep } from "./binding.ts";
import {
  CLAIM,
  type Claim,
  claimValue,
  type InputIdentity,
  type ProgressRecord,
  type StateVersion,
} from "./changelog.ts";
import type { StateDigests } from "./digest.ts";
import { ChangelogFold, type ChangelogTail, type RestoredState } from "./fold.ts";
import { type Claimant, decideClaim, decideRecovery, standingGap } from "./recovery.ts";
import type { TaskTime } from "./time.ts";

/** One fetch of a restore; tasks of this process that restore at the same time share it. */
const RESTORE_BYTES = 16_777_216;
const MIN_FETCH_BYTES = 1_048_576;
const TAIL_OFFSETS = 500;
const WAIT_MS = 100;
let restoring = 0;

export interface Ownership {
  readonly producer: TxnProducer;
  readonly claim: Claim;
  /** In which the claim and each progress are written. */
  readonly version: StateVersion;
  readonly input: InputIdentity;
  /** As it was at `progress`. */
  readonly processor: AnyProcessor;
  readonly digests: StateDigests;
  readonly progress: ProgressRecord | undefined;
  readonly nextOffset: number;
}

/** Another process owns the task and may keep it. */
export interface Yielded {
  readonly yieldedTo: Claim;
}

/**
 * Makes this process the one owner of a task (design §5; the order is the proof).
 *
 *   T1 the input is not read yet; the changelog's tail says whether the task may be claimed at all
 *   T2 initialise the producer: the predecessor is fenced, its last transaction finished; then commit a claim
 *   T3 ask the changelog's true end, whatever transactions are open on it
 *   T4 read it read_committed until the position reaches that end
 *   T5 decide by the last progress whether the state is whole, and restore it
 *   T6 the caller seeks to `nextOffset` and resumes: never from the group's offsets
 *
 * Throws the refusal of T1 or T5, the broker's error, or the reason of `stop`; the producer is closed then.
 */
export async function takeOver(
  binding: StageBinding,
  task: TaskId,
  options: TaskOptions,
  me: Claimant & { readonly incarnation: string },
  admin: Admin,
  time: TaskTime,
  stop: AbortSignal,
): Promise<Ownership | Yielded> {
  const { broker, env } = options;
  const step = (name: TaskStep) => options.onStep?.(task, name);
  const changelog = changelogTopicFor(task.stage);
  const { partition } = task;
  const where = taskIdText(task);
  const reader = broker.reader();
  // A waiting fetch ends with its connection, so that a stop does not wait for the broker.
  const leave = () => void reader.close();
  stop.addEventListener("abort", leave, { once: true });
  let producer: TxnProducer | undefined;
  try {
    step("T1");
    const may = decideClaim(where, await readTail(reader, admin, changelog, partition, stop), me);
    if (may.action === "refuse") throw may.error;
    if (may.action === "yield") return { yieldedTo: may.to };
    const version = options.stateVersion ?? may.version;

    stop.throwIfAborted(); // whoever is about to leave must not fence who comes after it
    step("T2");
    producer = broker.producer(transactionalIdFor(env, task));
    await producer.init([changelog, ...binding.outputs]);
    const { assignmentEpoch, incarnation, fingerprint } = me;
    const claim: Claim = { assignmentEpoch, incarnation, fingerprint };
    const value = claimValue(claim, version);
    await producer.send([{ topic: changelog, partition, key: CLAIM, value, timestampMs: time.wallMs() }]);
    await producer.commit();
    await producer.settle(); // else it might stand before T4 for ever

    const restored = await restore(reader, admin, changelog, partition, step, stop);

    step("T5");
    const [log, partitions, topicId] = await Promise.all([
      admin.offsets(binding.input, partition, "read_uncommitted"),
      admin.partitionsOf(binding.input),
      admin.topicId?.(binding.input) ?? null,
    ]);
    const input = { partitions, topicId };
    const decision = decideRecovery(where, restored, claim, { ...log, ...input });
    if (decision.action === "refuse") throw decision.error;
    const { progress } = decision;
    const processor = restoreProcessor(where, binding.create(partition), restored);

    step("T6");
    const nextOffset = progress?.nextOffset ?? log.startOffset;
    return { producer, claim, version, input, processor, digests: restored.digests, progress, nextOffset };
  } catch (error) {
    await producer?.close();
    throw error;
  } finally {
    stop.removeEventListener("abort", leave);
    await reader.close();
  }
}

/** T3 and T4. The position moves by batch headers, over markers and holes, so it reaches the end of any log. */
async function restore(
  reader: PartitionReader,
  admin: Admin,
  topic: TopicName,
  partition: number,
  step: (name: TaskStep) => void,
  stop: AbortSignal,
): Promise<RestoredState> {
  step("T3");
  const { startOffset, endOffset } = await admin.offsets(topic, partition, "read_uncommitted");
  step("T4");
  const fold = new ChangelogFold();
  restoring++;
  try {
    await read(reader, topic, partition, startOffset, endOffset, fold, stop);
  } finally {
    restoring--;
  }
  return fold.result;
}

async function read(
  reader: PartitionReader,
  topic: TopicName,
  partition: number,
  from: number,
  to: number,
  fold: ChangelogFold,
  stop: AbortSignal,
): Promise<void> {
  for (let position = from; position < to; stop.throwIfAborted()) {
    const maxBytes = Math.max(MIN_FETCH_BYTES, Math.floor(RESTORE_BYTES / Math.max(1, restoring)));
    const batch = await reader.fetch(topic, partition, position, { maxBytes, maxWaitMs: WAIT_MS });
    fold.add(batch.records);
    position = batch.nextOffset;
  }
}

/** The last progress and whatever stands behind it: read backwards in growing steps, for a tail may be all aborted. */
async function readTail(
  reader: PartitionReader,
  admin: Admin,
  topic: TopicName,
  partition: number,
  stop: AbortSignal,
): Promise<ChangelogTail> {
  const { startOffset, endOffset } = await admin.offsets(topic, partition, "read_committed");
  for (let span = TAIL_OFFSETS; ; span *= 20) {
    const from = Math.max(startOffset, endOffset - span);
    const fold = new ChangelogFold(false);
    await read(reader, topic, partition, from, endOffset, fold, stop);
    if (fold.result.progress) return fold.result;
    if (from > startOffset) continue;
    // Nothing readable is not nothing written: the end of `weir init`'s transaction may be on its way.
    if (fold.result.records === 0) await refuseUnreadable(admin, topic, partition, endOffset);
    return fold.result;
  }
}

async function refuseUnreadable(admin: Admin, topic: TopicName, partition: number, readable: number): Promise<void> {
  const { endOffset } = await admin.offsets(topic, partition, "read_uncommitted");
  if (endOffset === readable) return;
  throw new WeirError(
    "KAFKA_UNAVAILABLE",
    "retry",
    `${topic}/${partition} cannot be read beyond ${readable} of ${endOffset} yet: a transaction is open on it.`,
    "The call is repeated.",
  );
}

function restoreProcessor(where: string, processor: AnyProcessor, restored: RestoredState): AnyProcessor {
  const { progress } = restored;
  const stores = new Map(processor.stores.map((store) => [store.name as string, store]));
  const unreadable = (what: string, cause?: unknown) =>
    new WeirError(
      "STATE_UNREADABLE",
      "fatal",
      `${where}: ${what}`,
      "Start the version that wrote this state, or replay the input into new topics.",
      { cause },
    );
  for (const [name, live] of restored.stores) {
    const store = stores.get(name);
    if (!store && live.size > 0) throw unreadable(`its changelog holds a store ${name} that this stage does not have.`);
    for (const [key, value] of live) {
      try {
        store!.restore(key, value);
      } catch (error) {
        if (error instanceof WeirError) throw error;
        throw unreadable(`record ${key} of store ${name}: ${(error as Error).message}`, error);
      }
    }
  }
  const gap = progress?.standing === undefined ? undefined : standingGap(progress.standing, processor.standing?.());
  if (gap) {
    throw new WeirError(
      "STATE_INCOMPLETE",
      "fatal",
      `${where}: the state restored is not that of commit ${progress!.commit}: ${gap}.`,
      "Start the version that wrote it, and report this: the records were whole but were read differently.",
    );
  }
  return processor;
}
