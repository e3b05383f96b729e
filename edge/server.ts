import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { Counter, Histogram, Registry } from "prom-client";
import { WeirError } from "../streams/index.ts";
import { openApi, openApiPage } from "./openapi.ts";
import { RequestFault, readRequest, type Scored, type ScoreRequest } from "./scoring.ts";
import { tokenCheck } from "./tokens.ts";
import type { SeenVerdict } from "./verdicts.ts";

const MAX_BODY_BYTES = 65_536;
/** Rows waiting for the model server at once; beyond it callers are told to come back. */
const MAX_IN_FLIGHT = 256;
const MAX_CONNECTIONS = 1_000;
const REQUEST_LIMIT_MS = 10_000;

export interface EdgeOptions {
  readonly tokens: readonly string[];
  readonly score: (request: ScoreRequest) => Promise<Scored>;
  readonly verdictsOf: (entity: string) => readonly SeenVerdict[];
  /** Whether rows can be scored now. */
  readonly healthy: () => Promise<boolean>;
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
}

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly type?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** The HTTP edge: bounded, token-checked, described by `openApi`. */
export async function serveEdge(options: EdgeOptions): Promise<{ readonly url: string; close(): Promise<void> }> {
  const registry = new Registry();
  const requests = new Counter({
    name: "weir_api_requests_total",
    help: "Requests by route and status.",
    labelNames: ["route", "status"],
    registers: [registry],
  });
  const seconds = new Histogram({
    name: "weir_api_request_seconds",
    help: "From a request's head to its answer.",
    labelNames: ["route"],
    buckets: [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5],
    registers: [registry],
  });
  const isAllowed = tokenCheck(options.tokens);
  let inFlight = 0;

  const score = async (request: IncomingMessage): Promise<Answer> => {
    if (!/^application\/json(;|$)/i.test(request.headers["content-type"] ?? ""))
      return problem(415, "send application/json");
    if (inFlight >= MAX_IN_FLIGHT) return problem(503, "too many requests at once", { "retry-after": "1" });
    inFlight++;
    try {
      return json(200, await options.score(readRequest(parsed(await bodyOf(request)))));
    } finally {
      inFlight--;
    }
  };

  const routes: Readonly<
    Record<string, Partial<Record<string, (request: IncomingMessage, of: string) => Promise<Answer> | Answer>>>
  > = {
    "/v1/score": { POST: score },
    "/v1/entities/{entity}/verdicts": {
      GET: (_request, entity) => json(200, { entity, verdicts: options.verdictsOf(entity) }),
    },
    "/healthz": {
      GET: async () => ((await options.healthy()) ? json(200, { ok: true }) : json(503, { ok: false })),
    },
    "/metrics": { GET: async () => ({ status: 200, body: await registry.metrics(), type: registry.contentType }) },
    "/openapi.json": { GET: () => json(200, openApi) },
    "/docs": { GET: () => ({ status: 200, body: openApiPage(), type: "text/html; charset=utf-8" }) },
  };

  const answer = async (request: IncomingMessage): Promise<{ readonly route: string; readonly answer: Answer }> => {
    const { route, entity } = routeOf(request.url ?? "");
    const methods = routes[route];
    if (!methods) return { route: "none", answer: problem(404, "there is no such page; see /docs") };
    const handler = methods[request.method ?? ""];
    if (!handler)
      return { route, answer: problem(405, "not by this method", { allow: Object.keys(methods).join(", ") }) };
    if (route.startsWith("/v1/") && !isAllowed(request.headers.authorization))
      return { route, answer: problem(401, "a token is needed", { "www-authenticate": "Bearer" }) };
    try {
      return { route, answer: await handler(request, entity) };
    } catch (error) {
      return { route, answer: answerTo(error) };
    }
  };

  const server = createServer(
    {
      requestTimeout: REQUEST_LIMIT_MS,
      headersTimeout: REQUEST_LIMIT_MS,
      keepAliveTimeout: 65_000,
      maxHeaderSize: 16_384,
    },
    (request, response) => {
      const startedAt = performance.now();
      void answer(request).then(({ route, answer: given }) => {
        send(request, response, given);
        requests.inc({ route, status: given.status });
        seconds.observe({ route }, (performance.now() - startedAt) / 1_000);
      });
    },
  );
  server.maxConnections = MAX_CONNECTIONS;
  await new Promise<void>((resolve, reject) =>
    server.once("error", reject).listen(options.port, options.host, () => resolve()),
  );
  const { port } = server.address() as { port: number };
  return {
    url: `http://${options.host}:${port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeIdleConnections();
        // What is still being answered has its own time limit.
        setTimeout(() => server.closeAllConnections(), 2_000).unref();
      }),
  };
}

function routeOf(url: string): { route: string; entity: string } {
  const path = url.split("?", 1)[0]!;
  const [, encoded] = /^\/v1\/entities\/([^/]{1,1536})\/verdicts$/.exec(path) ?? [];
  if (encoded === undefined) return { route: path, entity: "" };
  try {
    return { route: "/v1/entities/{entity}/verdicts", entity: decodeURIComponent(encoded) };
  } catch {
    return { route: "none", entity: "" };
  }
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    bytes += part.length;
    if (bytes > MAX_BODY_BYTES) throw new RequestFault(413, `a body has at most ${MAX_BODY_BYTES} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts).toString("utf8");
}

function parsed(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    throw new RequestFault(400, "the body is no JSON");
  }
}

const json = (status: number, value: unknown): Answer => ({ status, body: `${JSON.stringify(value)}\n` });
const problem = (status: number, error: string, headers: Record<string, string> = {}): Answer => ({
  ...json(status, { error }),
  headers,
});

/** A caller learns what they can mend; what is wrong inside is told by code alone. */
function answerTo(error: unknown): Answer {
  if (error instanceof RequestFault)
    return problem(error.status, error.message, error.status === 413 ? { connection: "close" } : {});
  if (error instanceof WeirError && error.disposition === "retry")
    return problem(503, error.code, { "retry-after": "1" });
  return problem(502, error instanceof WeirError ? error.code : "INTERNAL");
}

function send(request: IncomingMessage, response: ServerResponse, { status, body, type, headers }: Answer): void {
  if (response.destroyed) return;
  response.writeHead(status, {
    "content-type": type ?? "application/json",
    "content-length": Buffer.byteLength(body),
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    ...headers,
  });
  response.end(body);
  // A body that nobody reads would hold the connection.
  if (!request.complete) request.resume();
}
