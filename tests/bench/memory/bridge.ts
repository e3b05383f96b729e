/**
 * The bridge in a process of its own, as `weir run bridge` is one, but reading a simulated day from this very process.
 * Tells its parent how far it is; ends on SIGTERM.
 */
import { brokerOf } from "../../../commands/clients.ts";
import { connectCodecs } from "../../../commands/init.ts";
import { readConfig } from "../../../config.ts";
import { topics } from "../../../pipeline.ts";
import { createBridge } from "../../../sources/index.ts";
import { type DayOptions, simulatedDay } from "./day.ts";

export interface BridgeReport {
  readonly accepted: number;
  readonly dead: number;
  /** Of the slowest shard. */
  readonly clockMs: number;
}

const day = simulatedDay(JSON.parse(process.argv[2]!) as DayOptions);
const config = readConfig(process.env, []);
const bridge = createBridge({
  broker: brokerOf(config),
  codecs: await connectCodecs(config),
  kinesis: day.source,
  stream: "replay",
  topics: { logsRaw: topics.logsRaw, checkpoints: topics.checkpoints, dead: topics.kinesisDead },
  partitions: config.partitions,
  env: config.env,
  clockMode: "records",
  tuning: { minPollMs: 0 },
});
const told = setInterval(() => {
  const tasks = bridge.status();
  const sum = (of: "accepted" | "dead") => tasks.reduce((total, t) => total + t.counters[of], 0);
  const report: BridgeReport = {
    accepted: sum("accepted"),
    dead: sum("dead"),
    clockMs: tasks.length > 0 ? Math.min(...tasks.map((t) => t.watermarkMs)) : 0,
  };
  process.send?.(report);
}, 100);
process.once("SIGTERM", async () => {
  clearInterval(told);
  await bridge.stop();
  process.exit();
});
await bridge.start();
