/** Scores over HTTP, for callers who are no Kafka clients. */
export { openApi } from "./openapi.ts";
export { type ArmChoice, RequestFault, readRequest, type Scored, type ScoreRequest, Scoring } from "./scoring.ts";
export { type EdgeOptions, serveEdge } from "./server.ts";
export { type SeenVerdict, VerdictView } from "./verdicts.ts";
