import { setTimeout as sleep } from "node:timers/promises";
import {
  EvidenceGatherer,
  EvidenceReader,
  ExplanationWriter,
  OpenAiEmbedder,
  OpenAiLanguageModel,
  QdrantStore,
  type WriterStatus,
} from "../../explainer/index.ts";
import { stages, topics, writtenBy } from "../../pipeline.ts";
import { ExplainProcessor } from "../../processors/index.ts";
import {
  fixedShare,
  PartitionedRunner,
  type PartitionReader,
  type Runnable,
  type StageBinding,
  StageRunner,
} from "../../streams/index.ts";
import { type RoleContext, taskOptions } from "../roles.ts";

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

/** What a partition's task reads evidence and writes texts with; made anew with every take-over. */
interface Hands {
  readonly reader: PartitionReader;
  readonly writer: ExplanationWriter;
}

/** The explain stage: each task with a reader for evidence and a writer of texts of its own. */
export function create(context: RoleContext): Runnable[] {
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
  const perHour = Math.ceil(TEXTS_PER_HOUR / config.partitions);
  const hands = (): Hands => ({ reader: broker.reader(), writer: new ExplanationWriter({ model, perHour }) });
  const processor = ({ reader, writer }: Hands) => {
    const evidence = new EvidenceGatherer({ reader: new EvidenceReader(reader, codecs), embedder, store });
    return new ExplainProcessor({ output: topics.explanations, evidence, texts: writer });
  };
  const one = (partition: number, epoch: number) => new ExplainPartition(context, partition, epoch, hands, processor);
  return [new ExplainRunner(one, context.sharing(stages.explain))];
}

class ExplainPartition extends StageRunner {
  #hands: Hands | undefined;

  constructor(
    context: RoleContext,
    partition: number,
    epoch: number,
    hands: () => Hands,
    processor: (hands: Hands) => ExplainProcessor,
  ) {
    const create = () => {
      void this.#release();
      this.#hands = hands();
      this.#hands.writer.start();
      return processor(this.#hands);
    };
    const binding: StageBinding = {
      stage: stages.explain.name,
      input: topics.incidents,
      outputs: writtenBy(stages.explain),
      create,
      fingerprint: "explain/1",
    };
    super(binding, fixedShare([partition], epoch), taskOptions(context));
  }

  override async stop(): Promise<void> {
    await super.stop();
    await this.#release();
  }

  get texts(): WriterStatus | undefined {
    return this.#hands?.writer.status();
  }

  async #release(): Promise<void> {
    const before = this.#hands;
    this.#hands = undefined;
    await Promise.all([before?.reader.close(), before?.writer.stop()]);
  }
}

class ExplainRunner extends PartitionedRunner<ExplainPartition> implements Texting {
  async textsWritten(count: number, limitMs: number): Promise<number> {
    const writers = () => [...this.parts.values()].flatMap((part) => part.texts ?? []);
    const sum = (of: (w: WriterStatus) => number) => writers().reduce((total, w) => total + of(w), 0);
    const ended = () => sum((w) => w.written + w.refused + w.failed);
    const busy = () => writers().some((w) => w.queued + w.running + w.ready > 0);
    for (const deadline = performance.now() + limitMs; ended() < count && busy() && performance.now() < deadline; )
      await sleep(POLL_MS);
    return sum((w) => w.written);
  }
}
