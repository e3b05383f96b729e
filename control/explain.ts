import type { Decision } from "../schemas/index.ts";
import { type DecisionRecord, type LadderDecision, recompute, type Verdict } from "../trainer/index.ts";

/** One decision of the log, made again from its own record. */
export interface Explained {
  readonly decision: Decision;
  /** Null: a command, which nothing follows from by rule. */
  readonly again: {
    readonly equal: boolean;
    /** Where the log says otherwise. */
    readonly differences: readonly string[];
    readonly outcome: Verdict | LadderDecision;
  } | null;
}

/** Decides anew what the log says was decided by rule. Throws DECISION_RULES_UNKNOWN for records of other rules. */
export function explainDecisions(decisions: readonly Decision[]): Explained[] {
  return decisions.map((decision) => {
    if (decision.kind !== "ladder" && decision.kind !== "verdict") return { decision, again: null };
    const record = JSON.parse(decision.record) as DecisionRecord;
    const { outcome, differences } = recompute(record);
    const action = "verdict" in outcome ? outcome.verdict : outcome.action;
    const all = action === decision.action ? differences : [...differences, "action"];
    return { decision, again: { equal: all.length === 0, differences: all, outcome } };
  });
}
