import { channel } from "node:diagnostics_channel";
import type { Config, OptionName } from "../config.ts";
import { type StageDefinition, stages } from "../pipeline.ts";
import type { Codecs } from "../schemas/index.ts";
import {
  type Assignments,
  type Broker,
  type Runnable,
  type SideInput,
  type StageBinding,
  StageRunner,
  type StateVersion,
  type TaskId,
} from "../streams/index.ts";

/**
 * What a process can be: `weir run <role>`, with the stages it runs and the options it cannot do without. A role's code
 * is loaded when it is created, so that a process starts as fast as its roles allow.
 */
export const roles = {
  bridge: { needs: ["kinesisStream"], stages: [stages.bridge], load: () => import("./roles/bridge.ts") },
  features: { needs: [], stages: [stages.features], load: () => import("./roles/features.ts") },
  samples: {
    needs: [],
    stages: [stages.samples],
    load: () => import("./roles/samples.ts"),
    onlyByName: true,
  },
  score: {
    needs: ["tritonGrpc", "modelRepository"],
    stages: [stages.score],
    load: () => import("./roles/score.ts"),
  },
  incidents: { needs: [], stages: [stages.incidents], load: () => import("./roles/incidents.ts") },
  control: {
    needs: ["modelRepository"],
    stages: [stages.measure, stages.control],
    load: () => import("./roles/control.ts"),
  },
  explain: {
    needs: ["qdrantUrl", "embeddingUrl", "llmUrl"],
    stages: [stages.explain],
    load: () => import("./roles/explain.ts"),
  },
  api: { needs: ["tritonGrpc", "modelRepository", "apiTokens"], stages: [], load: () => import("./roles/api.ts") },
  lake: { needs: ["s3Bucket"], stages: [stages.lakeFeatures, stages.lakeRaw], load: () => import("./roles/lake.ts") },
} as const satisfies Record<string, RoleDefinition>;

interface RoleDefinition {
  readonly needs: readonly OptionName[];
  readonly stages: readonly StageDefinition[];
  readonly load: () => Promise<{ create: (context: RoleContext) => Promise<Runnable[]> | Runnable[] }>;
  /** Reads what others write: `all` does not mean it. */
  readonly onlyByName?: boolean;
}

export type Role = keyof typeof roles;
export const roleNames = Object.keys(roles) as Role[];
/** What `all` and `weir start` mean: the roles that run stages of the pipeline from Kinesis. */
export const stageRoles = roleNames.filter((name) => {
  const role: RoleDefinition = roles[name];
  return role.stages.length > 0 && !role.onlyByName;
});

export interface RoleContext {
  readonly config: Config;
  readonly broker: Broker;
  readonly codecs: Codecs;
  /** Where this process learns its share of a stage's partitions; that of the bridge is partition 0 or nothing. */
  readonly sharing: (stage: StageDefinition) => Assignments;
  readonly log: (line: string) => void;
}

/** Builds what a role runs. Nothing is started. */
export async function createRole(role: Role, context: RoleContext): Promise<Runnable[]> {
  const { create } = await roles[role].load();
  return await create(context);
}

export function stageRunner(context: RoleContext, stage: StageDefinition, binding: StageBinding): StageRunner {
  return new StageRunner(binding, context.sharing(stage), taskOptions(context));
}

export const taskOptions = ({ config, broker, codecs }: RoleContext) => {
  const { env, commitIntervalMs, stateVersion } = config;
  const version = stateVersion > 0 && { stateVersion: stateVersion as StateVersion };
  return {
    broker,
    codecs,
    env,
    commitIntervalMs,
    onStep: (task: TaskId, step: string) => tellStep(task.stage, step),
    ...version,
  };
};

const steps = channel("weir:step");
/** Says where a stage stands to whoever subscribed in this process (`node:diagnostics_channel`); else it costs nothing. */
export const tellStep = (stage: string, step: string): void => {
  if (steps.hasSubscribers) steps.publish({ stage, step });
};

/** A runnable that closes what it was built from once it has stopped. */
export function closingAfter(runnable: Runnable, close: () => Promise<void>): Runnable {
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

/**
 * Runnables that rest on the same side inputs: these are read whole before the first of them begins, and end after the
 * last.
 */
export function afterInputs(inputs: readonly Pick<SideInput, "start" | "stop">[], of: readonly Runnable[]): Runnable[] {
  let reading: Promise<unknown> | undefined;
  let running = of.length;
  return of.map((runnable) => ({
    failed: runnable.failed,
    status: () => runnable.status(),
    start: async () => {
      reading ??= Promise.all(inputs.map((input) => input.start()));
      await reading;
      await runnable.start();
    },
    stop: async () => {
      await runnable.stop();
      if (--running === 0) await Promise.all(inputs.map((input) => input.stop()));
    },
  }));
}
