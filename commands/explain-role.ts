import { setTimeout as sleep } from "node:timers/promises";
import {
  EvidenceGatherer,
  EvidenceReader,
  ExplanationWriter,
  OpenAiEmbedder,
  OpenAiLanguageModel,
  QdrantStore,
  type WriterStatus,
} from "../explainer/index.ts";
import { stages, topics } from "../pipeline.ts";
import { ExplainProcessor } from "../processors/index.ts";
import type { PartitionReader, Runnable, StageBinding } from "../streams/index.ts";
import { type RoleContext, stageRunner } from "./roles.ts";

/** For one answer of the language model, its queue included: a small model on two busy cores takes most of a minute. */
const MODEL_DEADLINE_MS = 120_000;
/** Of the whole environment. */
const TEXTS_PER_HOUR = 60;
const POLL_MS = 200;

/** A runnable whose texts come in their own time. */
export interface Texting extends Runnable {
  /** Resolves with the texts written once `count` came to an end, nothing is left to write, or the time is up. */
  textsWritten(count: number, limitMs: number): Promise<number>;
}

export const isTexting = (runnable: Runnable): runnable is Texting => "textsWritten" in runnable;

/** The explain stage: each task with a reader for evidence and a writer of texts of its own. */
export function explainRole(context: RoleContext): Texting[] {
  const { config, broker, codecs } = context;
  const embedder = new OpenAiEmbedder({
    baseUrl: config.embeddingUrl,
    model: config.embeddingModel,
    apiKey: config.llmKey,
  });
  const store = new QdrantStore({ url: config.qdrantUrl });
  const model = new OpenAiLanguageModel({
    baseUrl: config.llmUrl,
    model: config.llmModel,
    apiKey: config.llmKey,
    deadlineMs: MODEL_DEADLINE_MS,
  });
  const owned = new Map<number, { readonly reader: PartitionReader; readonly writer: ExplanationWriter }>();
  const release = async (partition: number) => {
    const before = owned.get(partition);
    owned.delete(partition);
    await Promise.all([before?.reader.close(), before?.writer.stop()]);
  };
  const binding: StageBinding = {
    stage: stages.explain.name,
    input: topics.incidents,
    create: (partition) => {
      void release(partition);
      const reader = broker.reader();
      const writer = new ExplanationWriter({ model, perHour: Math.ceil(TEXTS_PER_HOUR / config.partitions) });
      writer.start();
      owned.set(partition, { reader, writer });
      const evidence = new EvidenceGatherer({ reader: new EvidenceReader(reader, codecs), embedder, store });
      return new ExplainProcessor({ output: topics.explanations, evidence, texts: writer });
    },
    fingerprint: "explain/1",
  };
  const runner = stageRunner(context, binding);
  const writers = () => [...owned.values()].map(({ writer }) => writer.status());
  const texting: Texting = {
    failed: runner.failed,
    status: () => runner.status(),
    start: () => runner.start(),
    stop: async () => {
      await runner.stop();
      await Promise.all([...owned.keys()].map(release));
    },
    textsWritten: async (count, limitMs) => {
      const sum = (of: (w: WriterStatus) => number) => writers().reduce((total, w) => total + of(w), 0);
      const ended = () => sum((w) => w.written + w.refused + w.failed);
      const busy = () => writers().some((w) => w.queued + w.running + w.ready > 0);
      for (const deadline = performance.now() + limitMs; ended() < count && busy() && performance.now() < deadline; )
        await sleep(POLL_MS);
      return sum((w) => w.written);
    },
  };
  return [texting];
}
