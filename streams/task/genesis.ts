import { WeirError } from "../errors.ts";
import {
  changelogTopicFor,
  type StageName,
  type TaskId,
  type TopicName,
  taskIdText,
  transactionalIdFor,
} from "../names.ts";
import type { Admin } from "../ports.ts";
import type { TaskOptions } from "./binding.ts";
import { GENESIS, genesisValue, NEWEST_STATE_VERSION } from "./changelog.ts";
import { systemTime } from "./time.ts";

/**
 * `weir init` for one stage: writes the genesis record into every empty changelog partition, which says that from now on
 * an empty one is a lost one. Idempotent. Where the stage's group has offsets in the input (C4) it was at work before:
 * an empty changelog is refused there with `STATE_INCOMPLETE` (fatal).
 */
export async function initialiseStage(
  binding: { readonly stage: StageName; readonly input?: TopicName },
  partitions: number,
  options: Pick<TaskOptions, "broker" | "env" | "stateVersion" | "time">,
): Promise<void> {
  const admin = options.broker.admin();
  try {
    const all = Array.from({ length: partitions }, (_, partition) => ({ stage: binding.stage, partition }));
    await Promise.all(all.map((task) => initialiseChangelog(task, binding.input, admin, options)));
  } finally {
    await admin.close();
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
  const { endOffset } = await admin.offsets(topic, partition, "read_uncommitted");
  if (endOffset > 0) return;
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
    await producer.init();
    const value = genesisValue(stateVersion);
    await producer.send([{ topic, partition, key: GENESIS, value, timestampMs: time.wallMs() }]);
    await producer.commit();
  } finally {
    await producer.close();
  }
}
