import { WeirError } from "../errors.ts";
import {
  changelogTopicFor,
  type StageName,
  type TaskId,
  type TopicName,
  taskIdText,
  transactionalIdFor,
} from "../names.ts";
import type { Admin, Broker } from "../ports.ts";
import type { TaskOptions } from "./binding.ts";
import { GENESIS, genesisValue, NEWEST_STATE_VERSION } from "./changelog.ts";
import { systemTime, type TaskTime } from "./time.ts";

/**
 * `weir init` for one stage: writes the genesis record into every changelog partition that holds no committed record,
 * which says that from now on an empty one is a lost one. May be broken off and repeated. Where the stage's group has
 * offsets in the input (C4) it was at work before: an empty changelog is refused there with `STATE_INCOMPLETE` (fatal).
 */
export async function initialiseStage(
  binding: { readonly stage: StageName; readonly input?: TopicName },
  partitions: number,
  options: Pick<TaskOptions, "broker" | "env" | "stateVersion" | "time">,
): Promise<void> {
  const admin = options.broker.admin();
  try {
    const all = Array.from({ length: partitions }, (_, partition) => ({ stage: binding.stage, partition }));
    await Promise.all(
      all.map((task) => patiently(options, () => initialiseChangelog(task, binding.input, admin, options))),
    );
  } finally {
    await admin.close();
  }
}

/** Brokers under load take long to find leaders and coordinators for new topics; each step may be repeated. */
const PATIENCE_MS = 60_000;
const PAUSE_MS = 500;

async function patiently(
  { time = systemTime }: { readonly time?: TaskTime },
  call: () => Promise<void>,
): Promise<void> {
  const deadlineMs = time.nowMs() + PATIENCE_MS;
  for (;;) {
    try {
      return await call();
    } catch (error) {
      const passes = error instanceof WeirError && error.disposition === "retry";
      if (!passes || time.nowMs() > deadlineMs) throw error;
      await time.sleep(PAUSE_MS);
    }
  }
}

async function initialiseChangelog(
  task: TaskId,
  input: TopicName | undefined,
  admin: Admin,
  { broker, env, stateVersion = NEWEST_STATE_VERSION, time = systemTime }: Parameters<typeof initialiseStage>[2],
): Promise<void> {
  const topic = changelogTopicFor(task.stage);
  const { partition } = task;
  const { startOffset, endOffset } = await admin.offsets(topic, partition, "read_uncommitted");
  const isBegun = () => holdsRecord(broker, topic, partition, startOffset);
  if (endOffset > 0 && (await isBegun())) return;
  const group = `${env}.${task.stage}`;
  const readTo = input && (await admin.groupOffset?.(group, input, partition));
  if (readTo) {
    throw new WeirError(
      "STATE_INCOMPLETE",
      "fatal",
      `${taskIdText(task)}: its changelog is empty, but group ${group} has read ${input} to offset ${readTo}: the state is lost.`,
      `Restore ${topic}, or replay the input into new topics; to begin anew all the same, delete the group ${group} first.`,
    );
  }
  const producer = broker.producer(transactionalIdFor(env, task));
  try {
    await producer.init([topic]);
    // A former attempt's commit may have been finished by that.
    if (endOffset > 0 && (await isBegun())) return;
    const value = genesisValue(stateVersion);
    await producer.send([{ topic, partition, key: GENESIS, value, timestampMs: time.wallMs() }]);
    await producer.commit();
    await producer.settle();
  } finally {
    await producer.close();
  }
}

/** Whether anything is committed there: an attempt that broke off leaves no more than an aborted record and a marker. */
async function holdsRecord(broker: Broker, topic: TopicName, partition: number, startOffset: number): Promise<boolean> {
  const reader = broker.reader();
  try {
    for (let offset = startOffset; ; ) {
      const { records, nextOffset, endOffset } = await reader.fetch(topic, partition, offset, { maxWaitMs: 0 });
      if (records.length > 0) return true;
      if (nextOffset >= endOffset || nextOffset === offset) return false;
      offset = nextOffset;
    }
  } finally {
    await reader.close();
  }
}
