import { WeirError } from "../errors.ts";
import type { Claim, InputIdentity, ProgressRecord, StateVersion } from "./changelog.ts";
import type { ChangelogTail, RestoredState } from "./fold.ts";

/** Who asks for a task. */
export interface Claimant {
  /** Of this process and task: begins the incarnation of each of its claims. */
  readonly owner: string;
  readonly assignmentEpoch: number;
  readonly fingerprint: string;
  /** Whether a claim of this owner was committed before. */
  readonly ownedBefore: boolean;
}

export const isClaimOf = (owner: string, claim: Claim): boolean => claim.incarnation.startsWith(`${owner}.`);

export type ClaimDecision =
  | { readonly action: "claim"; readonly version: StateVersion }
  /** Another process owns the task and may keep it. */
  | { readonly action: "yield"; readonly to: Claim }
  | { readonly action: "refuse"; readonly error: WeirError };

const refuse = (code: string, message: string, nextStep: string) =>
  ({ action: "refuse", error: new WeirError(code, "fatal", message, nextStep) }) as const;

/**
 * Before step T2: may this process claim the task? Decided on the changelog's tail and before anything is initialised,
 * for an initialisation fences whoever is at work: a process that was overtaken or runs another pipeline must not.
 *
 * A first claim goes ahead whatever its epoch: epochs begin anew with a group or a deployment, and its owner may be long
 * gone. If it lives and has the higher epoch, it comes back, and the newcomer is the one that was overtaken.
 */
export function decideClaim(where: string, tail: ChangelogTail, me: Claimant): ClaimDecision {
  if (tail.records === 0) return neverInitialised(where);
  const { progress, owner } = tail;
  if (progress && progress.claim.fingerprint !== me.fingerprint) return otherFingerprint(where, progress, me);
  const overtaken = me.ownedBefore && owner !== undefined && !isClaimOf(me.owner, owner);
  if (overtaken && owner.assignmentEpoch >= me.assignmentEpoch) return { action: "yield", to: owner };
  return { action: "claim", version: progress?.version ?? tail.genesis ?? 1 };
}

export type RecoveryDecision =
  | { readonly action: "resume"; readonly progress: ProgressRecord | undefined }
  | { readonly action: "refuse"; readonly error: WeirError };

/** The input as it is now. */
export interface InputNow extends InputIdentity {
  readonly startOffset: number;
  readonly endOffset: number;
}

/** Step T5: may this task go on from what was restored? Facts in, decision out; a refusal names the gap and the way out. */
export function decideRecovery(where: string, restored: RestoredState, mine: Claim, input: InputNow): RecoveryDecision {
  const { progress, owner } = restored;
  if (owner && owner.incarnation !== mine.incarnation) {
    const message = `${where}: ${owner.incarnation} claimed the task while its state was read.`;
    const error = new WeirError("PRODUCER_FENCED", "fenced", message, "The task looks who owns it and acts.");
    return { action: "refuse", error };
  }
  if (restored.genesis === undefined) {
    return refuse(
      "STATE_INCOMPLETE",
      `${where}: its changelog lacks the genesis record, so its beginning was cut off.`,
      "Restore the changelog topic (its cleanup.policy must be compact alone), or replay the input into new topics.",
    );
  }
  if (!progress) return { action: "resume", progress };
  if (progress.claim.fingerprint !== mine.fingerprint) return otherFingerprint(where, progress, mine);
  const gap = stateGap(restored, progress);
  if (gap) {
    return refuse(
      "STATE_INCOMPLETE",
      `${where}: state records are missing behind commit ${progress.commit}: ${gap}.`,
      "Restore the changelog topic, or replay the input into new topics.",
    );
  }
  return inputGap(where, progress, input) ?? { action: "resume", progress };
}

/** The first difference between the live records and those that the progress speaks of. */
function stateGap({ digests }: RestoredState, progress: ProgressRecord): string | undefined {
  if (!progress.stores) {
    return digests.text === progress.digest ? undefined : `found ${digests.text}, there were ${progress.digest}`;
  }
  const found = digests.byStore;
  for (const store of new Set([...Object.keys(progress.stores), ...Object.keys(found)])) {
    const [was, is] = [progress.stores[store] ?? "0:0", found[store] ?? "0:0"];
    if (was === is) continue;
    const [wasKeys, isKeys] = [Number.parseInt(was, 10), Number.parseInt(is, 10)];
    if (wasKeys !== isKeys) return `store ${store} has ${isKeys} keys, there were ${wasKeys}`;
    return `store ${store} has its ${isKeys} keys, but not all as they were written last (${is}, there was ${was})`;
  }
  return undefined;
}

function inputGap(where: string, { nextOffset, input: was }: ProgressRecord, is: InputNow) {
  if (was && was.partitions !== is.partitions) {
    return refuse(
      "PARTITIONS_CHANGED",
      `${where}: its state was made of ${was.partitions} input partitions, now there are ${is.partitions}.`,
      "State is bound to its partition: go back to the former count in a new topic, or replay the input into new topics.",
    );
  }
  if (was?.topicId && is.topicId && was.topicId !== is.topicId) {
    return refuse(
      "STATE_INCOMPLETE",
      `${where}: its input was deleted and created anew: it was topic ${was.topicId}, now it is ${is.topicId}.`,
      "Its offsets mean other records now: replay the input into new topics with a fresh changelog.",
    );
  }
  if (nextOffset < is.startOffset) {
    return refuse(
      "STATE_INCOMPLETE",
      `${where}: it stands at offset ${nextOffset}, but its input begins at ${is.startOffset}: ${is.startOffset - nextOffset} offsets were deleted unread.`,
      "Raise the input's retention. What is gone can only come from the raw files in the lake: replay into new topics.",
    );
  }
  if (nextOffset > is.endOffset) {
    return refuse(
      "STATE_INCOMPLETE",
      `${where}: it stands at offset ${nextOffset}, but its input ends at ${is.endOffset}: it was cut or created anew.`,
      "Restore the input topic, or replay it into new topics with a fresh changelog.",
    );
  }
  return undefined;
}

const neverInitialised = (where: string) =>
  refuse(
    "STATE_INCOMPLETE",
    `${where}: its changelog is empty: it was never initialised, or was lost.`,
    "Run `weir init` for a new environment; if this one had state, restore the topic or replay its input into new topics.",
  );

const otherFingerprint = (where: string, progress: ProgressRecord, me: { readonly fingerprint: string }) =>
  refuse(
    "FINGERPRINT_CHANGED",
    `${where}: its state was written by pipeline ${progress.claim.fingerprint}, this is ${me.fingerprint}.`,
    "Start the version and settings that wrote the state, or replay into new topics.",
  );

/** The first member in which what the processor says of itself differs from what its last progress record says. */
export function standingGap(was: unknown, is: unknown): string | undefined {
  const [before, now] = [(was ?? {}) as Record<string, unknown>, (is ?? {}) as Record<string, unknown>];
  for (const name of new Set([...Object.keys(before), ...Object.keys(now)])) {
    const [a, b] = [canonical(before[name]), canonical(now[name])];
    if (a !== b) return `${name} was ${a?.slice(0, 500)}, now it is ${b?.slice(0, 500)}`;
  }
  return undefined;
}

/** JSON with sorted members: a restore brings keys back in another order. */
const canonical = (value: unknown): string | undefined =>
  JSON.stringify(value, (_key, v) =>
    v && typeof v === "object" && !Array.isArray(v) ? Object.fromEntries(Object.entries(v).sort()) : v,
  );
