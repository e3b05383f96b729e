/**
 * The nouns of the runtime. They are all strings; their brands keep a topic from being passed for a store.
 *
 * Pipeline: the whole graph. Stage: one step between topics. Task: one stage on one partition number, the unit of
 * work, of state and of fencing.
 */
declare const brand: unique symbol;
type Branded<Name extends string> = string & { readonly [brand]: Name };

export type TopicName = Branded<"topic">;
export type StageName = Branded<"stage">;
export type StoreName = Branded<"store">;

export const topicName = (name: string): TopicName => name as TopicName;
export const stageName = (name: string): StageName => name as StageName;
export const storeName = (name: string): StoreName => name as StoreName;

export const deadTopicFor = (topic: TopicName): TopicName => topicName(`${topic}.dead`);
export const lateTopicFor = (topic: TopicName): TopicName => topicName(`${topic}.late`);
export const changelogTopicFor = (stage: StageName): TopicName => topicName(`${stage}.changelog`);

/** One stage on one partition of its input. */
export interface TaskId {
  readonly stage: StageName;
  readonly partition: number;
}

export const taskIdText = (id: TaskId): string => `${id.stage}/${id.partition}`;

/** transactional.id of the task's producer: whoever initialises it last owns the task. */
export const transactionalIdFor = (env: string, id: TaskId): string => `${env}.${id.stage}.${id.partition}`;
