export { WILDCARD } from "./mask.ts";
export { type MinedMinute, maskedText, mineMinute } from "./minute.ts";
export {
  type TemplateBaseline,
  type TemplateCounts,
  type TemplateSignal,
  type TemplateSignals,
  templateSignalNames,
  templateSignals,
} from "./signals.ts";
export { snapshotOf, type Template, type TemplateSnapshot } from "./template.ts";
export {
  MAX_TEMPLATES,
  type Mined,
  type MinerChange,
  type MinerOptions,
  TemplateMiner,
} from "./template-miner.ts";
