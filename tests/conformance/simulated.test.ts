import { brokerSuite } from "./broker-suite.ts";
import { simulated } from "./brokers.ts";

brokerSuite("the simulated broker", simulated);
