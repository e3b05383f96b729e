import { settingsOf } from "../../../pipeline.ts";
import {
  type Broker,
  changelogTopicFor,
  deadTopicFor,
  lateTopicFor,
  stageName,
  topicName,
} from "../../../streams/index.ts";

export const INPUT = topicName("bench.samples");
export const OUTPUT = topicName("bench.features");
export const PARTITIONS = 4;
export const PARTITION_NUMBERS = [...Array(PARTITIONS).keys()];
/** A row's bytes where each is a record: time as int64, 24 float32, big-endian. */
export const ROW_BYTES = 104;

const MINUTE_MS = 60_000;
/** Where in its minute each sample lies; see `peers/gen.py`. A row of ours carries its minute's end. */
const SAMPLE_MS = 1_700_000_000_000 % MINUTE_MS;
export const sampleTimeOf = (windowEndMs: number): number => windowEndMs - MINUTE_MS + SAMPLE_MS;

/** The topics that a stage of ours needs beside the job's own two. */
export async function createTopics(broker: Broker, app: string): Promise<void> {
  const of = (name: ReturnType<typeof topicName>, cleanup: "delete" | "compact") => ({
    name,
    partitions: PARTITIONS,
    replication: 1,
    settings: settingsOf(cleanup, 1),
  });
  const admin = broker.admin();
  await admin.createTopics([
    of(OUTPUT, "delete"),
    of(deadTopicFor(INPUT), "delete"),
    of(lateTopicFor(INPUT), "delete"),
    of(changelogTopicFor(stageName(app)), "compact"),
  ]);
  await admin.close();
}
