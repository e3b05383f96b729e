import { setTimeout as sleep } from "node:timers/promises";
import { Scoring, serveEdge, VerdictView } from "../../edge/index.ts";
import { topics } from "../../pipeline.ts";
import type { PredictionBatch, RoutingConfig } from "../../schemas/index.ts";
import { type Runnable, SideInput } from "../../streams/index.ts";
import { loadModels, modelsIn, RoutingTable, TritonClient } from "../../triton/index.ts";
import { ROUTING_FAMILY } from "../model-names.ts";
import type { RoleContext } from "../roles.ts";

const POLL_MS = 500;
/** Where the view of verdicts begins: so many offsets before the end of each partition. */
const OFFSETS_BACK = 500;
/** How long an answer of the model server about itself is believed. */
const HEALTH_MS = 1_000;

/** The HTTP interface: it owns no partition and writes nothing, so any number of processes may run it. */
export async function create(context: RoleContext): Promise<Runnable[]> {
  const { config, broker, codecs, log } = context;
  const client = new TritonClient({ address: config.tritonGrpc });
  const models = await loadModels({
    client,
    repositoryDir: config.modelRepository,
    names: modelsIn(config.modelRepository),
  });
  const routing = new RoutingTable(ROUTING_FAMILY, (model, version) => models.learn(model, version));
  const decoded = async <T>(topic: string, value: Buffer): Promise<T> => {
    const id = codecs.unknownId(value);
    if (id !== null) await codecs.learn(id);
    return codecs.decode<T>(topic, value);
  };
  const input = new SideInput(broker, topics.routing, async (value) => {
    const faults = routing.offer(await decoded<RoutingConfig>(topics.routing, value));
    if (faults.length > 0) log(`routing record refused, the last good one stays: ${faults.join("; ")}`);
  });
  const scoring = new Scoring({ client, models, routing, choice: config.apiArm, nowMs: () => Date.now() });
  const view = new VerdictView((model, version) => models.get(model, version)?.threshold ?? 1);

  const stop = new AbortController();
  const follow = async () => {
    const [reader, admin] = [broker.reader(), broker.admin()];
    const positions = await Promise.all(
      Array.from({ length: config.partitions }, async (_, p) => {
        const { startOffset, endOffset } = await admin.offsets(topics.predictions, p, "read_committed");
        return Math.max(startOffset, endOffset - OFFSETS_BACK);
      }),
    );
    await admin.close();
    while (!stop.signal.aborted) {
      for (let p = 0; p < positions.length && !stop.signal.aborted; p++) {
        try {
          const batch = await reader.fetch(topics.predictions, p, positions[p]!, { maxWaitMs: 0 });
          for (const { value } of batch.records)
            if (value) view.take(await decoded<PredictionBatch>(topics.predictions, value));
          positions[p] = batch.nextOffset;
        } catch {
          // A view shows what it can; the stages report what is wrong.
        }
      }
      await sleep(POLL_MS, undefined, { signal: stop.signal }).catch(() => undefined);
    }
    await reader.close();
  };

  let health = { ok: false, atMs: Number.NEGATIVE_INFINITY };
  const healthy = async () => {
    if (performance.now() - health.atMs > HEALTH_MS) {
      const ok = await client.serverReady({ timeoutMs: HEALTH_MS }).catch(() => false);
      health = { ok, atMs: performance.now() };
    }
    return health.ok && scoring.inForce() !== null;
  };

  let edge: Awaited<ReturnType<typeof serveEdge>> | undefined;
  let following: Promise<void> = Promise.resolve();
  return [
    {
      failed: new Promise<never>(() => undefined),
      status: () => [],
      start: async () => {
        await input.start();
        following = follow().catch((error) => log(`verdicts cannot be looked up: ${String(error)}`));
        edge = await serveEdge({
          tokens: config.apiTokens.split(","),
          score: (request) => scoring.score(request),
          verdictsOf: (entity) => view.of(entity),
          healthy,
          host: config.apiHost,
          port: config.apiPort,
        });
        log(`HTTP interface at ${edge.url}/docs`);
      },
      stop: async () => {
        stop.abort();
        await Promise.all([edge?.close(), input.stop(), following]);
        client.close();
      },
    },
  ];
}
