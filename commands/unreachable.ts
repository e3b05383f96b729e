import { WeirError } from "../streams/index.ts";

const codes = new Set(["ECONNREFUSED", "ENOTFOUND", "EHOSTUNREACH", "ETIMEDOUT"]);

interface ConnectionFailure extends Error {
  readonly code?: string;
  readonly address?: string;
  readonly hostname?: string;
  readonly port?: number;
}

/** What a person reads when a library's connection failed; undefined for any other error. Names tried in turn come as one. */
export function unreachable(error: unknown): WeirError | undefined {
  const failure = (error instanceof AggregateError ? error.errors[0] : error) as ConnectionFailure | undefined;
  if (!failure?.code || !codes.has(failure.code)) return undefined;
  const where = [failure.address ?? failure.hostname, failure.port].filter((part) => part !== undefined).join(":");
  return new WeirError(
    "SERVICE_UNREACHABLE",
    "fatal",
    `Nothing answers at ${where} (${failure.code}).`,
    "Start it, or name where it runs (docs/configuration.md). Without WEIR_KAFKA_BROKERS all addresses are those of the local stack that was started last: `npm start`.",
    { cause: error },
  );
}
