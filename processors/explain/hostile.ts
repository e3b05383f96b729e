/**
 * Log text is written by whoever can make a machine log something. Here it is stripped of what could work on a reader
 * or a language model in another way than as text.
 */

/** Control characters, zero-width and direction marks, soft hyphens, tag characters, private use. Line ends become spaces. */
const invisible = /[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}\u115f\u1160\u3164]|\p{Variation_Selector}/gu;

/** Marks that chat templates of current models give a meaning to: special tokens, turns, instruction headings. */
const templateMarks =
  /<\|[^|<>]{0,40}\|>|<\/?s>|<<\/?SYS>>|\[\/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS)\]|<\/?(?:start|end)_of_turn>|<\/?(?:bos|eos|pad|unk|think|tool_call)>|#{2,}\s*(?:system|instruction|response|user|assistant|human)s?\s*:?/gi;

/** One line of plain visible text. What is removed leaves a space, so that its surroundings cannot join into a new mark. */
export function neutralise(text: string): string {
  // Compatibility forms first: a full-width `<|` is a `<|` to some tokenizers.
  let out = text
    .normalize("NFKC")
    .replace(/[\r\n\t]+/g, " ")
    .replace(invisible, "");
  for (let before = ""; before !== out; ) {
    before = out;
    out = out.replace(templateMarks, " ");
  }
  return out.replace(/\s{2,}/g, " ").trim();
}

const instructionLike: readonly RegExp[] = [
  /\b(?:ignore|disregard|forget|override|bypass)\b.{0,40}\b(?:previous|prior|above|earlier|all|any|your|these|the)\b.{0,40}\b(?:instructions?|prompts?|rules?|directions?|guidelines?|context|evidence)\b/i,
  /\b(?:you are|you're|act as|pretend to be|behave as)\b.{0,30}\b(?:now|an? (?:ai|assistant|model|admin|expert))\b/i,
  /\b(?:new|updated|real|following|hidden)\s+(?:system\s+)?(?:instructions?|prompt)\b/i,
  /\bsystem\s+prompt\b/i,
  /(?:^|[.;"'\s])(?:system|assistant|developer)\s*:\s*(?:you|please|do|don't|never|always|respond|answer|say|write|output|reply|ignore)\b/i,
  /\b(?:respond|answer|reply|say|write|output|print)\b.{0,20}\b(?:only|exactly|instead|with the (?:word|text|following))\b/i,
  /\bdo not (?:mention|report|reveal|tell|include|explain)\b/i,
  /\bas an? (?:ai|language model)\b/i,
];

/** True for text that speaks to its reader as instructions do. Such lines stay evidence but are kept from the model. */
export const looksLikeInstruction = (text: string): boolean => instructionLike.some((pattern) => pattern.test(text));

/** A name that came from outside (a host, a log stream) as one word: nothing in it can pass for text. */
export const nameOf = (name: string): string =>
  neutralise(name)
    .replace(/[^\p{L}\p{N}_.:/@-]+/gu, "_")
    .slice(0, 80);
