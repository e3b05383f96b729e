import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { loadFeatureSet } from "../../../processors/features/index.ts";
import { Fleet } from "./fleet.ts";

/** No partition follows more than 100,000 entities. */
const MAX_INSTANCES_PER_PARTITION = 75_000;

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;
function bytesNow(): number {
  collect();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}
/** After so many minutes with every window full; a day of hourly panes is added, which would take a day to gather. */
export function bytesPerEntity(instances: number): number {
  const empty = bytesNow();
  const partitions = Math.ceil(instances / MAX_INSTANCES_PER_PARTITION);
  const held = Array.from(
    { length: partitions },
    () => new Fleet(loadFeatureSet("wide"), Math.ceil(instances / partitions), 2),
  );
  let hours = 0;
  for (const fleet of held) {
    fleet.run(64);
    hours += fleet.processor.stores.find((store) => store.name === "hours")!.size.bytes;
  }
  const bytes = bytesNow() - empty + 24 * hours;
  // Behind the measurement: what is not used any more may have been collected in it.
  const entities = held.reduce((sum, fleet) => sum + fleet.rows, 0);
  if (entities !== Math.ceil(instances / partitions) * partitions) throw new Error(`${entities} rows at the end.`);
  return bytes / entities;
}
