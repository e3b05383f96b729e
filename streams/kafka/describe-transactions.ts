import type { Decision } from "../left-open.ts";
import type { PartitionName } from "../ports.ts";
import { array, type FlexibleReader, flexibleRequest, int32, NO_TAGS, text } from "./flexible.ts";
import type { KafkaRequest } from "./kafkajs.ts";
import { CodeError } from "./outcome.ts";

const DESCRIBE_TRANSACTIONS = { apiKey: 65, apiVersion: 0, apiName: "DescribeTransactions" };
const DESCRIBE_PRODUCERS = { apiKey: 61, apiVersion: 0, apiName: "DescribeProducers" };

const TRANSACTIONAL_ID_NOT_FOUND = 105;
const TOPIC_AUTHORIZATION_FAILED = 29;

/** How the last transaction of an id was decided; undefined: there was none, or it is no longer known. */
export type Decided = Decision | "under way" | undefined;

const decisions: Readonly<Record<string, Decided>> = {
  PrepareCommit: "commit",
  CompleteCommit: "commit",
  PrepareAbort: "abort",
  PrepareEpochFence: "abort",
  CompleteAbort: "abort",
  Ongoing: "under way",
};

export interface DescribedTransaction {
  readonly decided: Decided;
  /** The decision stands, and markers are on their way. */
  readonly isEnding: boolean;
}

/** DescribeTransactions v0, of one id, to its coordinator. Needs DESCRIBE of the id, which WRITE implies. */
export const describeTransaction = (transactionalId: string): KafkaRequest<DescribedTransaction> =>
  flexibleRequest(DESCRIBE_TRANSACTIONS, [array([transactionalId], text)], readTransaction);

function readTransaction(answer: FlexibleReader): DescribedTransaction {
  answer.int32(); // throttle time
  const [described] = answer.array(() => {
    const errorCode = answer.int16();
    answer.text(); // transactional id
    const state = answer.text();
    answer.int32(); // its time-out
    answer.int64(); // its start
    answer.int64(); // producer id
    answer.int16(); // epoch
    answer.array(() => {
      answer.text();
      answer.array(() => answer.int32());
      answer.tags();
    });
    answer.tags();
    return { errorCode, state };
  });
  const { errorCode, state } = described!;
  if (errorCode === TRANSACTIONAL_ID_NOT_FOUND) return { decided: undefined, isEnding: false };
  if (errorCode !== 0) throw new CodeError(errorCode);
  return { decided: decisions[state], isEnding: state.startsWith("Prepare") };
}

export interface OpenTransaction extends PartitionName {
  readonly producerId: bigint;
}

/**
 * DescribeProducers v0, to the leader of all these partitions: who has a transaction open there. Needs READ of the
 * topics; one that may not be read is left out.
 */
export const describeProducers = (partitions: readonly PartitionName[]): KafkaRequest<OpenTransaction[]> => {
  const topics = [...Map.groupBy(partitions, (p) => p.topic)];
  const body = array(topics, ([topic, own]) =>
    Buffer.concat([text(topic), array(own, (p) => int32(p.partition)), NO_TAGS]),
  );
  return flexibleRequest(DESCRIBE_PRODUCERS, [body], readOpen);
};

function readOpen(answer: FlexibleReader): OpenTransaction[] {
  const open: OpenTransaction[] = [];
  answer.int32(); // throttle time
  answer.array(() => {
    const topic = answer.text();
    answer.array(() => {
      const partition = answer.int32();
      const errorCode = answer.int16();
      answer.text(); // the error in words
      answer.array(() => {
        const producerId = answer.int64();
        answer.int32(); // epoch
        answer.int32(); // last sequence
        answer.int64(); // last timestamp
        answer.int32(); // coordinator's epoch
        if (answer.int64() >= 0n) open.push({ topic, partition, producerId });
        answer.tags();
      });
      answer.tags();
      if (errorCode !== 0 && errorCode !== TOPIC_AUTHORIZATION_FAILED)
        throw new CodeError(errorCode, `${topic}/${partition}`);
    });
    answer.tags();
  });
  return open;
}
