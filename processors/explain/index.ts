export {
  type Chunk,
  cite,
  type EvidenceLine,
  type Gathered,
  type Hit,
  MAX_CITATIONS,
  MIN_SIMILARITY,
  prepare,
  queryOf,
} from "./evidence.ts";
export {
  type EvidenceSource,
  type ExplainOptions,
  ExplainProcessor,
  type FinishedText,
  type TextJob,
  type TextQueue,
} from "./explain.ts";
export { type Grounded, ground } from "./grounding.ts";
export { type Prompt, parseAnswer, promptFor } from "./prompt.ts";
export { faultOf, type Sections, written } from "./sections.ts";
