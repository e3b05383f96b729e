import { WeirError } from "../streams/index.ts";

/** Turns whatever a client library throws into an error with a code. An abort stays what it is. */
export function serviceError(code: string, service: string, nextStep: string, cause: unknown): unknown {
  if (cause instanceof WeirError) return cause;
  const message = cause instanceof Error ? cause.message : String(cause);
  return new WeirError(code, "retry", `${service}: ${message}`, nextStep, { cause });
}

/** Settles as `work` does, or rejects with the signal's reason as soon as it aborts. */
export async function until<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  signal.throwIfAborted();
  const { promise, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
