export {
  type Audit,
  audit,
  countTopics,
  eventHash,
  type FoundIds,
  idOfDeadLetter,
  readEventIds,
  type TopicCount,
} from "./audit.ts";
export {
  compareLakeWithTopic,
  type LakeComparison,
  type LakeRowCounts,
  type LakeSource,
  lakeRowCounts,
  withLake,
} from "./lake-read.ts";
export { type QualityOfDay, qualityReport } from "./quality-report.ts";
export { decodeValue, readTopic, type TopicCodecs, type TopicRecord, tryDecode } from "./read-topic.ts";
export { renderSummary, type Summary } from "./summary.ts";
export { type TailOptions, tailTopic } from "./tail.ts";
export { evaluateTruth, type TruthIncident, type TruthReport, truthSlackMs } from "./truth.ts";
