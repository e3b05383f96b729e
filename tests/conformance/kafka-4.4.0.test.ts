import { brokerSuite } from "./broker-suite.ts";
import { kafka44 } from "./brokers.ts";

brokerSuite("Kafka 4.4.0", kafka44);
