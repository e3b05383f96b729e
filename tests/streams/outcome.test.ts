import { describe, expect, test } from "vitest";
import { brokerError, CodeError, codeOf, groupOutcome, retriesInPlace } from "../../streams/kafka/outcome.ts";

/** As kafkajs throws: the answer inside, once or twice wrapped. */
const wrapped = (inner: Error) =>
  Object.assign(new Error("retries exceeded"), { name: "KafkaJSNumberOfRetriesExceeded", cause: inner });
const protocol = (type: string, code: number) =>
  Object.assign(new Error(type), { name: "KafkaJSProtocolError", type, code });
const connection = Object.assign(new Error("socket closed"), { name: "KafkaJSConnectionClosedError" });

describe("what a broker's answer means", () => {
  test.each([
    ["INVALID_PRODUCER_EPOCH", 47],
    ["TRANSACTION_COORDINATOR_FENCED", 52],
    ["PRODUCER_FENCED", 90],
  ])("%s is a fencing, or the end of a transaction's time: the task looks who owns it", (type, code) => {
    expect(brokerError(wrapped(protocol(type, code)), "EndTxn")).toMatchObject({
      code: "PRODUCER_FENCED",
      disposition: "fenced",
    });
    expect(retriesInPlace(protocol(type, code))).toBe(false);
  });

  test.each([
    ["MESSAGE_TOO_LARGE", 10],
    ["TOPIC_AUTHORIZATION_FAILED", 29],
    ["UNSUPPORTED_VERSION", 35],
    ["TRANSACTIONAL_ID_AUTHORIZATION_FAILED", 53],
  ])("%s is mended by people, not by trying again", (type, code) => {
    expect(brokerError(wrapped(protocol(type, code)), "Produce").disposition).toBe("fatal");
    expect(retriesInPlace(protocol(type, code))).toBe(false);
  });

  test.each([
    ["NOT_LEADER_OR_FOLLOWER", 6],
    ["COORDINATOR_LOAD_IN_PROGRESS", 14],
    ["NOT_COORDINATOR", 16],
    ["CONCURRENT_TRANSACTIONS", 51],
    ["NOT_ENOUGH_REPLICAS", 19],
  ])("%s passes: the same call is repeated", (type, code) => {
    expect(retriesInPlace(wrapped(protocol(type, code)))).toBe(true);
    expect(retriesInPlace(new CodeError(code))).toBe(true);
    expect(brokerError(protocol(type, code), "Produce").disposition).toBe("retry");
  });

  test.each([
    ["OUT_OF_ORDER_SEQUENCE_NUMBER", 45],
    ["INVALID_TXN_STATE", 48],
    ["INVALID_PRODUCER_ID_MAPPING", 49],
  ])("%s kills the producer, not the task: it takes over anew", (type, code) => {
    expect(retriesInPlace(protocol(type, code))).toBe(false);
    expect(brokerError(protocol(type, code), "Produce").disposition).toBe("retry");
  });

  test("no answer has no number, so that a commit without one is told from a commit that was refused", () => {
    expect(codeOf(connection)).toBeUndefined();
    expect(codeOf(wrapped(connection))).toBeUndefined();
    expect(codeOf(undefined)).toBeUndefined();
    expect(codeOf(wrapped(protocol("NOT_COORDINATOR", 16)))).toBe(16);
    expect(retriesInPlace(wrapped(connection))).toBe(true);
  });

  test("a wrong password and a certificate that nobody signed are refused for good, each with its next step", () => {
    const password = Object.assign(new Error("no"), { name: "KafkaJSSASLAuthenticationError" });
    expect(brokerError(password, "connect")).toMatchObject({ code: "KAFKA_SASL_REFUSED", disposition: "fatal" });
    const certificate = Object.assign(new Error("no"), { name: "KafkaJSConnectionError", code: "CERT_HAS_EXPIRED" });
    expect(brokerError(certificate, "connect")).toMatchObject({ code: "KAFKA_TLS_REFUSED", disposition: "fatal" });
    expect(retriesInPlace(password) || retriesInPlace(certificate)).toBe(false);
  });

  test("an error of ours, not of the wire, is not tried again in place", () => {
    expect(retriesInPlace(new TypeError("x is undefined"))).toBe(false);
  });
});

test("a member of a group joins anew after a rebalance, and knows its partitions lost once the group has forgotten it", () => {
  expect(groupOutcome(protocol("REBALANCE_IN_PROGRESS", 27))).toBe("rejoin");
  expect(groupOutcome(protocol("ILLEGAL_GENERATION", 22))).toBe("rejoin");
  expect(groupOutcome(protocol("UNKNOWN_MEMBER_ID", 25))).toBe("lost");
  expect(groupOutcome(protocol("GROUP_AUTHORIZATION_FAILED", 30))).toBe("fatal");
  expect(groupOutcome(connection)).toBe("retry");
});
