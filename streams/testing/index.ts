export type { Appended } from "./partition-log.ts";
export { SeededRandom } from "./random.ts";
export { SimulatedBroker } from "./simulated-broker.ts";
export { type CallFault, type CallName, SimulatedProcess } from "./simulated-process.ts";
export { VirtualTime } from "./virtual-time.ts";
