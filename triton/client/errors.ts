import { type ServiceError, status } from "@grpc/grpc-js";
import { WeirError } from "../../streams/index.ts";

export const isServiceError = (error: unknown): error is ServiceError =>
  error instanceof Error && typeof (error as Partial<ServiceError>).code === "number";

/** Triton calls a model that was unloaded UNAVAILABLE, and one it never had NOT_FOUND: the server itself is well. */
const isModelMissing = (error: ServiceError): boolean =>
  error.code === status.NOT_FOUND ||
  (error.code === status.UNAVAILABLE && /unknown model|not at ready state/.test(error.details));

/**
 * Whether the server did not answer: a failure for the breaker, and worth sending the same call again. Scoring is
 * pure, so it may; whatever the server has refused it will refuse again.
 */
export const isUnanswered = (error: ServiceError): boolean =>
  error.code === status.DEADLINE_EXCEEDED || (error.code === status.UNAVAILABLE && !isModelMissing(error));

/** The server has more to do than it can: fewer calls at once would help. */
export const isOverload = ({ code, details }: ServiceError): boolean =>
  code === status.RESOURCE_EXHAUSTED ||
  code === status.DEADLINE_EXCEEDED ||
  (code === status.UNAVAILABLE && /maximum queue size|timeout expired/i.test(details));

export const overloaded = (what: string, address: string): WeirError =>
  new WeirError(
    "MODEL_SERVER_OVERLOADED",
    "retry",
    `${what} at ${address}: its time was up before it was its turn to be sent.`,
    "Add a model server or send less.",
  );

/** What a gRPC status means here. Disposition `retry`: waiting may help, nothing is wrong with the request. */
export function toWeirError(error: ServiceError, what: string, address: string): WeirError {
  // Model servers send whole stack traces: the first line says it, the cause keeps the rest.
  const details = (error.details || error.message).split("\n", 1)[0]!.slice(0, 500);
  const said = `${what} at ${address}: ${details} (gRPC ${status[error.code] ?? error.code}).`;
  const make = (code: string, disposition: "retry" | "fatal", nextStep: string) =>
    new WeirError(code, disposition, said, nextStep, { cause: error });
  if (isModelMissing(error))
    return make("MODEL_NOT_FOUND", "retry", "Load that model version, or route to one that is loaded.");
  switch (error.code) {
    case status.UNAVAILABLE:
      return serverUnavailable(said, error);
    case status.DEADLINE_EXCEEDED:
      return make("MODEL_SERVER_TIMEOUT", "retry", "See the model server's load; raise the time limit if it is busy.");
    case status.RESOURCE_EXHAUSTED:
      return make("MODEL_SERVER_OVERLOADED", "retry", "Add a model server or send less.");
    case status.INVALID_ARGUMENT:
    case status.FAILED_PRECONDITION:
    case status.OUT_OF_RANGE:
      return make("MODEL_REQUEST_REFUSED", "fatal", "Compare the model's manifest with what the server has loaded.");
    case status.UNIMPLEMENTED:
      return make("MODEL_SERVER_UNSUPPORTED", "fatal", "Use a model server with this part of the protocol.");
    case status.UNAUTHENTICATED:
    case status.PERMISSION_DENIED:
      return make("MODEL_SERVER_DENIED", "fatal", "Check the credentials for the model server.");
    default:
      return make(
        "MODEL_FAILED",
        "retry",
        "Read the model server's log; unload and load the model if its process died.",
      );
  }
}

export const serverUnavailable = (message: string, cause?: unknown): WeirError =>
  new WeirError(
    "MODEL_SERVER_UNAVAILABLE",
    "retry",
    message,
    "Start the model server or check its address; scoring goes on by itself once it answers.",
    { cause },
  );
