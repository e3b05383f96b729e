/** A stream in one of its lives: recreated under the same name it reuses shard ids, so its creation time tells them apart. */
export interface StreamId {
  readonly name: string;
  readonly createdMs: number;
}

/** The shard as a writer into logs.raw; also the key of its checkpoint. */
export const sourceIdOf = (stream: StreamId, shard: string): string => `${stream.name}@${stream.createdMs}/${shard}`;

export const shardProducerId = (env: string, stream: StreamId, shard: string): string =>
  `${env}.bridge.${stream.name}@${stream.createdMs}.${shard}`;

export const coordinatorProducerId = (env: string, stream: string): string => `${env}.bridge.${stream}`;
