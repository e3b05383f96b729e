import { stages, topics, writtenBy } from "../../pipeline.ts";
import { createScoreProcessor } from "../../processors/index.ts";
import type { FeatureBatch, RoutingConfig } from "../../schemas/index.ts";
import { type Runnable, SideInput, type StageBinding } from "../../streams/index.ts";
import { loadModels, loadVersion, modelsIn, RoutingTable, TritonClient, TritonScorer } from "../../triton/index.ts";
import { featureSetOf, groupsOf } from "../clients.ts";
import { ROUTING_FAMILY } from "../model-names.ts";
import { closingAfter, type RoleContext, stageRunner } from "../roles.ts";

export async function create(context: RoleContext): Promise<Runnable[]> {
  const { config, broker, codecs, log } = context;
  const featureSet = featureSetOf(config);
  const client = new TritonClient({ address: config.tritonGrpc });
  const models = await loadModels({
    client,
    repositoryDir: config.modelRepository,
    names: modelsIn(config.modelRepository),
  });
  const router = new RoutingTable(ROUTING_FAMILY, (model, version) => models.has(model, version));
  const scorer = new TritonScorer({
    client,
    models,
    ...(config.scoreFallbackAfterMs > 0 && { fallbackAfterMs: config.scoreFallbackAfterMs }),
    onWait: (error, waitMs) => log(`score waits ${waitMs} ms: ${error.message}`),
  });
  // A version that was published after this process began is proved on the server before rows may go to it.
  const learnModels = async ({ family, arms }: RoutingConfig) => {
    const unknown = arms.filter((arm) => !models.has(arm.model, arm.modelVersion));
    for (const { model, modelVersion } of family === ROUTING_FAMILY ? unknown : []) {
      try {
        models.add(await loadVersion(client, config.modelRepository, model, modelVersion));
      } catch (error) {
        log(`${model} version ${modelVersion} cannot be routed to: ${(error as Error).message}`);
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
    outputs: writtenBy(stages.score),
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
  const runner = stageRunner(context, stages.score, binding);
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
