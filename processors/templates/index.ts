export { WILDCARD } from "./mask.ts";
export { type MinedMinute, maskedText, mineMinute } from "./minute.ts";
export { signalsOf, type TemplateSignal, type TemplateSignals, templateSignalNames } from "./signals.ts";
export { snapshotOf, type Template, type TemplateSnapshot } from "./template.ts";
export {
  MAX_TEMPLATES,
  type Mined,
  type MinerChange,
  type MinerOptions,
  TemplateMiner,
} from "./template-miner.ts";
