import type { Codecs } from "../../schemas/index.ts";
import { type TopicName, WeirError } from "../../streams/index.ts";
import type { FolderPart, LakeFormat } from "./format.ts";

export type LakeCodecs = Pick<Codecs, "unknownId" | "learn" | "decode">;

/**
 * The rows of a record by folder. "dead": nobody can read it; that is counted here, and the stage that works on the
 * topic puts its bytes to the dead letters. Throws where the fault is not the record's.
 */
export async function readRecord(
  value: Buffer,
  topic: TopicName,
  codecs: LakeCodecs,
  format: LakeFormat,
): Promise<readonly FolderPart[] | "dead"> {
  try {
    const id = codecs.unknownId(value);
    if (id !== null) await codecs.learn(id).catch(rethrowUnlessRefused);
    return format.read(codecs.decode(topic, value));
  } catch (error) {
    if (error instanceof WeirError) throw error;
    return "dead";
  }
}

/** The registry's own refusal belongs to the record; no answer from it does not. */
function rethrowUnlessRefused(error: unknown): never {
  const status = (error as { status?: number }).status ?? 0;
  if (status >= 400 && status < 500) throw error;
  throw new WeirError(
    "REGISTRY_UNAVAILABLE",
    "retry",
    `The schema registry did not answer: ${(error as Error).message}`,
    "Check that the schema registry runs.",
    { cause: error },
  );
}
