export { WILDCARD } from "./mask.ts";
export {
  advanceBaseline,
  rekey,
  type TemplateBaseline,
  type TemplateCounts,
  type TemplateSignals,
  templateSignals,
} from "./signals.ts";
export {
  MAX_TEMPLATES,
  type Mined,
  type MinerOptions,
  type MinerSnapshot,
  type Template,
  TemplateMiner,
  type TemplateSnapshot,
} from "./template-miner.ts";
