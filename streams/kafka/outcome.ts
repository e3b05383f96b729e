import { WeirError } from "../errors.ts";

interface KafkaError extends Error {
  readonly type?: string;
  readonly code?: number | string;
}

const UNKNOWN_TOPIC = 3;
/** INVALID_PRODUCER_EPOCH, TRANSACTION_COORDINATOR_FENCED, PRODUCER_FENCED. */
const fencedCodes = new Set<unknown>([47, 52, 90]);
/**
 * Errors no retry mends: MESSAGE_TOO_LARGE, INVALID_GROUP_ID, INVALID_SESSION_TIMEOUT, INCONSISTENT_GROUP_PROTOCOL,
 * TOPIC_, GROUP_ and CLUSTER_AUTHORIZATION_FAILED, UNSUPPORTED_VERSION, INVALID_TRANSACTION_TIMEOUT,
 * TRANSACTIONAL_ID_AUTHORIZATION_FAILED, SASL_AUTHENTICATION_FAILED, GROUP_MAX_SIZE_REACHED.
 */
const fatalCodes = new Set<unknown>([10, 24, 26, 23, 29, 30, 31, 35, 50, 53, 58, 81]);

/** A broker's answer that is an error, by its number alone. */
export class CodeError extends Error {
  readonly code: number;

  constructor(code: number, where = "") {
    super(`error ${code}${where && ` for ${where}`}`);
    this.name = "BrokerAnswer";
    this.code = code;
  }
}

/** The number of a broker's answer; undefined if there was none, as with a lost connection. */
export function codeOf(error: unknown): number | undefined {
  if (error === undefined || error === null) return undefined;
  const { code } = innermost(error);
  return typeof code === "number" && code !== -1 ? code : undefined;
}

/**
 * Answers after which the same call of a producer may succeed: metadata that is old or still spreading, leaders and
 * coordinators that move or load, replicas that are missing, a transaction whose markers are still written.
 */
const passingCodes = new Set([3, 5, 6, 7, 8, 9, 13, 14, 15, 16, 19, 20, 41, 51, 56, 74, 75, 78]);

export function retriesInPlace(error: unknown): boolean {
  if (error instanceof WeirError) return error.disposition === "retry";
  const code = codeOf(error);
  if (code !== undefined) return passingCodes.has(code);
  const { name } = innermost(error);
  return name.startsWith("KafkaJS") && !lasting.has(name) && !tlsCodes.has(innermost(error).code);
}

/** Errors of kafkajs's own that come again. */
const lasting = new Set(["KafkaJSSASLAuthenticationError", "KafkaJSNonRetriableError", "KafkaJSNotImplemented"]);

/** Certificates of the brokers that nobody we trust has signed, or for other names. */
const tlsCodes = new Set<unknown>([
  ...["DEPTH_ZERO_SELF_SIGNED_CERT", "SELF_SIGNED_CERT_IN_CHAIN", "UNABLE_TO_VERIFY_LEAF_SIGNATURE"],
  ...["UNABLE_TO_GET_ISSUER_CERT_LOCALLY", "CERT_HAS_EXPIRED", "ERR_TLS_CERT_ALTNAME_INVALID"],
]);

/** What a member of a group does about an answer of its coordinator. */
export type GroupOutcome = "rejoin" | "lost" | "retry" | "fatal";

/** ILLEGAL_GENERATION, REBALANCE_IN_PROGRESS. */
const rejoinCodes = new Set<unknown>([22, 27]);
const UNKNOWN_MEMBER_ID = 25;

export function groupOutcome(error: unknown): GroupOutcome {
  const { code } = innermost(error);
  if (rejoinCodes.has(code)) return "rejoin";
  if (code === UNKNOWN_MEMBER_ID) return "lost";
  return fatalCodes.has(code) ? "fatal" : "retry";
}

/** The innermost error kafkajs wrapped: its retry and non-retry wrappers hide type and code. */
function innermost(error: unknown): KafkaError {
  let current = error as KafkaError & { cause?: unknown; originalError?: unknown };
  for (let depth = 0; depth < 8; depth++) {
    const inner = (current.type === undefined ? (current.cause ?? current.originalError) : undefined) as
      | typeof current
      | undefined;
    if (!inner || inner === current) break;
    current = inner;
  }
  return current;
}

/** Turns whatever kafkajs threw into what the caller must do about it. `what` says which call, on what. */
export function brokerError(error: unknown, what: string): WeirError {
  if (error instanceof WeirError) return error;
  const inner = innermost(error);
  const text = `${what}: ${inner.type ?? inner.name}: ${inner.message}`;
  const options = { cause: error };
  if (fencedCodes.has(inner.code)) {
    return new WeirError(
      "PRODUCER_FENCED",
      "fenced",
      text,
      "Another process owns this task now, or the transaction timed out; the task looks who and acts.",
      options,
    );
  }
  if (inner.name === "KafkaJSSASLAuthenticationError" || tlsCodes.has(inner.code)) {
    const [what, nextStep] = tlsCodes.has(inner.code)
      ? ["TLS", "Name the authority behind the brokers' certificates: WEIR_KAFKA_CA."]
      : ["SASL", "Check WEIR_KAFKA_SASL, user and password."];
    return new WeirError(`KAFKA_${what}_REFUSED`, "fatal", text, nextStep!, options);
  }
  if (fatalCodes.has(inner.code)) {
    return new WeirError(
      `KAFKA_${inner.type}`,
      "fatal",
      text,
      "Check the permissions and settings of the cluster.",
      options,
    );
  }
  if (inner.code === UNKNOWN_TOPIC) {
    return new WeirError("TOPIC_MISSING", "retry", text, "Create the topics: `weir init`.", options);
  }
  return new WeirError(
    "KAFKA_UNAVAILABLE",
    "retry",
    text,
    "The call is repeated; if it lasts, check that the brokers run.",
    options,
  );
}
