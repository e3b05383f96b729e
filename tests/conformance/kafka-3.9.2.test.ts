import { brokerSuite } from "./broker-suite.ts";
import { kafka39 } from "./brokers.ts";

brokerSuite("Kafka 3.9.2", kafka39);
