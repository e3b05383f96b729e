import { cpSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { askControl } from "../../commands/experiment.ts";
import { ROUTING_FAMILY } from "../../commands/model-names.ts";
import { publishRecord } from "../../commands/publish.ts";
import type { Config } from "../../config.ts";
import type { StartComparison } from "../../control/index.ts";
import { topics } from "../../pipeline.ts";
import type { Codecs, ExperimentEvent, Label, RoutingConfig } from "../../schemas/index.ts";
import { type Broker, partitionFor } from "../../streams/index.ts";
import type { Environment, FleetScenario } from "./environment.ts";

/**
 * Experiments go on while faults strike, so that measure and control have work. When they begin and end depends on the
 * moment; so that rows, anomalies and incidents do not, the challenger is the champion's twin: another version of the
 * same file, which says the same of every row, whichever of them is asked and whether it answers.
 */
const MODEL = "xgboost_anomaly";
const [CHAMPION, CHALLENGER] = ["1", "2"] as const;
const MINUTE_MS = 60_000;
const DURATION_MS = 30 * MINUTE_MS;
/** Every third command or so meets an experiment that is still running: it is refused. */
const ROUNDS_PER_COMMAND = 3;
const BEGUN_WITHIN_MS = 120_000;
const REST_MS = 500;
const LABEL_EVERY_MS = 10 * MINUTE_MS;
const LABELLED_MS = 2 * 1_440 * MINUTE_MS;

type CommandsOptions = Pick<Environment, "broker" | "codecs" | "config">;

/** Puts both into the model repository, and nothing else: each model is a process of the model server. */
export function putTwins(trained: string, repository: string): void {
  const folder = path.join(repository, MODEL);
  cpSync(path.join(trained, MODEL), folder, { recursive: true });
  cpSync(path.join(folder, CHAMPION), path.join(folder, CHALLENGER), { recursive: true });
  const file = path.join(folder, CHALLENGER, "manifest.json");
  writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, "utf8")), version: CHALLENGER }));
}

/** What stands before the first row: all of it to the champion, and what people will have said of some windows. */
export async function prepareExperiments(
  broker: Broker,
  codecs: Codecs,
  config: Config,
  { plan, startMs }: FleetScenario,
): Promise<void> {
  const { env, partitions } = config;
  const routing: RoutingConfig = {
    family: ROUTING_FAMILY,
    version: 1,
    mode: "split",
    salt: ROUTING_FAMILY,
    effectiveFromMs: 0,
    arms: [{ model: MODEL, modelVersion: CHAMPION, weight: 100 }],
    author: "chaos",
    createdAtMs: 0,
    experiment: "",
    labelledUntilMs: 0,
  };
  const record = { topic: topics.routing, partition: 0, key: `${ROUTING_FAMILY}/1`, value: routing, timestampMs: 0 };
  await publishRecord(broker, codecs, config, record);
  const labels: Label[] = [];
  for (let endMs = startMs + LABEL_EVERY_MS; endMs < startMs + LABELLED_MS; endMs += LABEL_EVERY_MS)
    for (const [i, { entity }] of plan.instances.entries())
      labels.push({
        entity,
        windowEndMs: endMs,
        anomalous: (i + endMs / LABEL_EVERY_MS) % 3 === 0,
        knownAtMs: endMs + MINUTE_MS,
        author: "chaos",
        source: "command",
        modelVersion: "",
        note: "",
      });
  const producer = broker.producer(`${env}.chaos.labels`);
  try {
    await producer.init([topics.labels]);
    await producer.send(
      labels.map((value) => ({
        topic: topics.labels,
        partition: partitionFor(value.entity, partitions),
        key: `${value.entity}/${value.windowEndMs}`,
        value: codecs.encode(topics.labels, value),
        timestampMs: value.knownAtMs,
      })),
    );
    await producer.commit();
    await producer.settle();
  } finally {
    await producer.close();
  }
}

/** Starts one experiment after another. */
export class Commands {
  readonly #env: CommandsOptions;
  #rounds = 0;
  #given = 0;
  #giving: Promise<void> | undefined;

  constructor({ broker, codecs, config }: CommandsOptions) {
    this.#env = { broker, codecs, config };
  }

  /** Resolves when the first one is going on. Before every partition's rows have been measured, control refuses. */
  async begun(): Promise<void> {
    const { broker, codecs, config } = this.#env;
    for (const deadline = performance.now() + BEGUN_WITHIN_MS; performance.now() < deadline; await sleep(REST_MS))
      if ((await askControl(broker, codecs, config, this.#next())).kind === "started") return;
    throw new Error("control began no experiment");
  }

  /** Every few rounds a command. It is not waited for, and one that is lost is not given again: brokers may be away. */
  afterRound(atMs: number): void {
    if (++this.#rounds % ROUNDS_PER_COMMAND > 0 || this.#giving) return;
    this.#giving = this.#give(atMs)
      .catch(() => undefined)
      .finally(() => {
        this.#giving = undefined;
      });
  }

  async given(): Promise<void> {
    await this.#giving;
  }

  async #give(timestampMs: number): Promise<void> {
    const { broker, codecs, config } = this.#env;
    const command = this.#next();
    const value: ExperimentEvent = {
      kind: "command",
      family: ROUTING_FAMILY,
      source: command.author,
      clockMs: 0,
      tallies: [],
      command: JSON.stringify(command),
    };
    const partition = partitionFor(ROUTING_FAMILY, config.partitions);
    const record = { topic: topics.experiments, partition, key: ROUTING_FAMILY, value, timestampMs };
    await publishRecord(broker, codecs, config, record);
  }

  #next(): StartComparison {
    const experiment = `twins-${++this.#given}`;
    return {
      id: experiment,
      experiment,
      author: "chaos",
      action: "start-comparison",
      champion: `${MODEL}/${CHAMPION}`,
      challenger: `${MODEL}/${CHALLENGER}`,
      compare: this.#given % 2 === 0 ? "split" : "paired",
      weightPercent: 50,
      durationMs: DURATION_MS,
      labelDelayMs: MINUTE_MS,
      leastRows: 2,
      leastEntities: 2,
      leastGain: 0,
      expectedRows: 20,
    };
  }
}
