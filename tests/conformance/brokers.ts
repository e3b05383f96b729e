import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { setUp, setUpOldKafka, startStack } from "../../local/index.ts";
import type { Broker, Groups } from "../../streams/index.ts";
import { SimulatedBroker, VirtualTime } from "../../streams/testing/index.ts";
import { brokerOf } from "../support/kafka.ts";

export interface RunningBroker {
  readonly broker: Broker & Groups;
  /** Lets a transaction come to its timeout. */
  passMs(ms: number): Promise<void>;
  stop(): Promise<void>;
}

export type BrokerUnderTest = () => Promise<RunningBroker>;

export const simulated: BrokerUnderTest = async () => {
  const time = new VirtualTime({ auto: true });
  return {
    broker: new SimulatedBroker({ time, seed: 4 }),
    passMs: (ms) => new Promise((resolve) => time.after(ms, resolve)),
    stop: async () => undefined,
  };
};

export const kafka44: BrokerUnderTest = async () => {
  await setUp({ components: ["kafka"] });
  return await start();
};

/** Its jars stand where the stack looks for the broker's. */
export const kafka39: BrokerUnderTest = async () => {
  const jars = await setUpOldKafka();
  const cacheDir = mkdtempSync(path.join(tmpdir(), "weir-old-kafka-"));
  symlinkSync(jars, path.join(cacheDir, "kafka"));
  const running = await start(cacheDir);
  return {
    ...running,
    stop: async () => {
      await running.stop();
      rmSync(cacheDir, { recursive: true, force: true });
    },
  };
};

async function start(cacheDir?: string): Promise<RunningBroker> {
  const runDir = mkdtempSync(path.join(tmpdir(), "weir-test-"));
  const stack = await startStack({ runDir, components: ["kafka"], ...(cacheDir === undefined ? {} : { cacheDir }) });
  return {
    broker: brokerOf(stack),
    passMs: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    stop: async () => {
      await stack.stop();
      rmSync(runDir, { recursive: true, force: true });
    },
  };
}
