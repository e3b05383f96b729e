import { type Config, type OptionName, partitionsOf } from "../config.ts";
import { stages, topics } from "../pipeline.ts";
import { createFeaturesProcessor, createScoreProcessor, IncidentsProcessor, rulesForHop } from "../processors/index.ts";
import type { AnomalyEdge, Codecs, FeatureBatch, LogBatch, RoutingConfig } from "../schemas/index.ts";
import { createLake } from "../sinks/index.ts";
import { createBridge, kinesisShards } from "../sources/index.ts";
import {
  type Broker,
  type Runnable,
  SideInput,
  type StageBinding,
  StageRunner,
  type StateVersion,
} from "../streams/index.ts";
import { loadModels, RoutingTable, TritonClient, TritonScorer } from "../triton/index.ts";
import { featureSetOf, groupsOf, kinesisOf, s3Of } from "./clients.ts";
import { controlRole } from "./control-role.ts";
import { explainRole } from "./explain-role.ts";

/** What a process can be: `weir run <role>`. The options are those it cannot do without. */
export const roles = {
  bridge: ["kinesisStream"],
  features: [],
  score: ["tritonGrpc", "modelRepository"],
  incidents: [],
  control: ["modelRepository"],
  explain: ["qdrantUrl", "embeddingUrl", "llmUrl"],
  lake: ["s3Bucket"],
} as const satisfies Record<string, readonly OptionName[]>;

export type Role = keyof typeof roles;
export const roleNames = Object.keys(roles) as Role[];
export const ROUTING_FAMILY = "anomaly";
export const modelNames = ["isolation_forest", "xgboost_anomaly", "catboost_anomaly"] as const;

export interface RoleContext {
  readonly config: Config;
  readonly broker: Broker;
  readonly codecs: Codecs;
  readonly log: (line: string) => void;
}

const MINUTE_MS = 60_000;

/** Builds what a role runs. Nothing is started. */
export async function createRole(role: Role, context: RoleContext): Promise<Runnable[]> {
  return await builders[role](context);
}

const builders: Record<Role, (context: RoleContext) => Promise<Runnable[]> | Runnable[]> = {
  bridge: ({ config, broker, codecs, log }) => {
    const client = kinesisOf(config);
    const bridge = createBridge({
      broker,
      codecs,
      kinesis: kinesisShards(client),
      stream: config.kinesisStream,
      topics: { logsRaw: topics.logsRaw, checkpoints: topics.checkpoints, dead: topics.kinesisDead },
      partitions: config.partitions,
      env: config.env,
      clockMode: config.clockMode,
      tuning: { maxSkewMs: config.maxSkewMs },
      log,
    });
    // An emulator waits with its end for connections that are kept alive.
    return [closingAfter(bridge, async () => client.destroy())];
  },

  features: (context) => {
    const { partitions, graceMs } = context.config;
    const featureSet = featureSetOf(context.config);
    const binding: StageBinding = {
      stage: stages.features.name,
      input: topics.logsRaw,
      create: (partition) =>
        createFeaturesProcessor({ featureSet, topic: topics.features, partition, partitions, graceMs }),
      eventsOf: (batch: LogBatch) => (batch.kind === "events" ? batch.events.length : 1),
      watermarkOf: (batch: LogBatch) => batch.clockMs,
      fingerprint: `features/1/${featureSet.hash}/${partitions}/${graceMs}`,
    };
    return [stageRunner(context, binding)];
  },

  score: scoreRole,

  incidents: (context) => {
    const { partitions } = context.config;
    const hopMs = featureSetOf(context.config).hopMinutes * MINUTE_MS;
    const rules = rulesForHop(hopMs);
    const sources = Array.from({ length: partitions }, (_, p) => `score/${p}`);
    const binding: StageBinding = {
      stage: stages.incidents.name,
      input: topics.anomaliesByGroup,
      create: () => new IncidentsProcessor({ output: topics.incidents, rules, sources }),
      watermarkOf: (edge: AnomalyEdge) => edge.clockMs,
      fingerprint: `incidents/1/${partitions}/${JSON.stringify(rules)}`,
    };
    return [stageRunner(context, binding)];
  },

  control: (context) => controlRole(context),

  explain: (context) => explainRole(context),

  lake: ({ config, broker, codecs }) => {
    const featureSet = featureSetOf(config);
    const common = { broker, codecs, s3: s3Of(config), bucket: config.s3Bucket, partitions: partitionsOf(config) };
    return [
      createLake({ ...common, stage: "lake-features", topic: topics.features, columns: () => featureSet.columns }),
      createLake({ ...common, stage: "lake-raw", topic: topics.logsRaw }),
    ];
  },
};

export function stageRunner({ config, broker, codecs }: RoleContext, binding: StageBinding): StageRunner {
  const { env, commitIntervalMs, stateVersion } = config;
  const version = stateVersion > 0 && { stateVersion: stateVersion as StateVersion };
  return new StageRunner(binding, partitionsOf(config), { broker, codecs, env, commitIntervalMs, ...version });
}

async function scoreRole(context: RoleContext): Promise<Runnable[]> {
  const { config, broker, codecs, log } = context;
  const featureSet = featureSetOf(config);
  const client = new TritonClient({ address: config.tritonGrpc });
  const models = await loadModels({ client, repositoryDir: config.modelRepository, names: modelNames });
  const router = new RoutingTable(ROUTING_FAMILY, (model, version) => models.learn(model, version));
  const scorer = new TritonScorer({
    client,
    models,
    onWait: (error, waitMs) => log(`score waits ${waitMs} ms: ${error.message}`),
  });
  // A version that was published after this process began is proved on the server before rows may go to it.
  const learnModels = async ({ family, arms }: RoutingConfig) => {
    const unknown = arms.filter((arm) => !models.has(arm.model, arm.modelVersion)).map((arm) => arm.model);
    if (family !== ROUTING_FAMILY) return;
    for (const name of new Set(unknown)) {
      try {
        const fresh = await loadModels({ client, repositoryDir: config.modelRepository, names: [name] });
        for (const version of fresh.versionsOf(name)) models.add(fresh.get(name, version)!);
      } catch (error) {
        log(`${name} cannot be routed to: ${(error as Error).message}`);
      }
    }
  };
  const routing = new SideInput(broker, topics.routing, async (value) => {
    const id = codecs.unknownId(value);
    if (id !== null) await codecs.learn(id);
    const offered = codecs.decode<RoutingConfig>(topics.routing, value);
    await learnModels(offered);
    const faults = router.offer(offered);
    if (faults.length > 0) log(`routing record refused, the last good one stays: ${faults.join("; ")}`);
  });
  const groupOf = groupsOf(config);
  const binding: StageBinding = {
    stage: stages.score.name,
    input: topics.features,
    create: () =>
      createScoreProcessor({
        topics: {
          predictions: topics.predictions,
          anomalies: topics.anomalies,
          anomaliesByGroup: topics.anomaliesByGroup,
          evidence: topics.logsRaw,
        },
        partitions: config.partitions,
        routingFamily: ROUTING_FAMILY,
        featureSet,
        models,
        router,
        scorer,
        groupOf,
      }),
    eventsOf: (batch: FeatureBatch) => Math.max(1, batch.entities.length),
    watermarkOf: (batch: FeatureBatch) => batch.watermarkMs,
    fingerprint: `score/1/${featureSet.hash}/${config.partitions}`,
  };
  const runner = stageRunner(context, binding);
  // The side input is read whole before the first row is scored, and ends after the last.
  const withRouting = closingAfter(runner, async () => {
    await routing.stop();
    client.close();
  });
  withRouting.start = async () => {
    await routing.start();
    await runner.start();
  };
  return [withRouting];
}

/** A runnable that closes what it was built from once it has stopped. */
function closingAfter(runnable: Runnable, close: () => Promise<void>): Runnable {
  return {
    failed: runnable.failed,
    status: () => runnable.status(),
    start: () => runnable.start(),
    stop: async () => {
      await runnable.stop();
      await close();
    },
  };
}
