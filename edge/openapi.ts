/** The HTTP interface as OpenAPI 3.1. The tests hold it against what the server does. */

const problem = (description: string) => ({
  description,
  content: { "application/json": { schema: { $ref: "#/components/schemas/Problem" } } },
});
const json = (description: string, schema: string) => ({
  description,
  content: { "application/json": { schema: { $ref: `#/components/schemas/${schema}` } } },
});
const guarded = { security: [{ token: [] }] };
const number = { type: "number" };
const text = { type: "string" };
const verdict = { type: "string", enum: ["anomaly", "normal"] };
const object = (properties: Record<string, object>, optional: readonly string[] = []) => ({
  type: "object",
  properties,
  required: Object.keys(properties).filter((name) => !optional.includes(name)),
  additionalProperties: false,
});

export const openApi = {
  openapi: "3.1.0",
  info: {
    title: "Weir: scores over HTTP",
    version: "1",
    description: "Scores rows by the models and the routing of the stream, and shows the newest verdicts of an entity.",
  },
  paths: {
    "/v1/score": {
      post: {
        summary: "Score one row",
        ...guarded,
        requestBody: { required: true, ...json("", "ScoreRequest") },
        responses: {
          200: json("The row's score and verdict.", "Scored"),
          400: problem("Something in the body cannot be used; all of it is named."),
          401: problem("No token, or a wrong one."),
          413: problem("The body is larger than 64 KiB."),
          415: problem("The body is not application/json."),
          503: problem("Too much at once, no routing version in force, or the model server does not answer."),
        },
      },
    },
    "/v1/entities/{entity}/verdicts": {
      get: {
        summary: "The newest verdicts of an entity, newest first",
        ...guarded,
        parameters: [{ name: "entity", in: "path", required: true, schema: text }],
        responses: {
          200: json("At most 15; none for an entity not heard of lately.", "Verdicts"),
          401: problem("No token, or a wrong one."),
        },
      },
    },
    "/healthz": {
      get: {
        summary: "200 while rows can be scored, else 503",
        responses: { 200: { description: "yes" }, 503: { description: "no" } },
      },
    },
    "/metrics": { get: { summary: "Prometheus", responses: { 200: { description: "text" } } } },
    "/openapi.json": { get: { summary: "This description", responses: { 200: { description: "JSON" } } } },
    "/docs": { get: { summary: "This description as a page", responses: { 200: { description: "HTML" } } } },
  },
  components: {
    securitySchemes: { token: { type: "http", scheme: "bearer" } },
    schemas: {
      Problem: object({ error: text }),
      ScoreRequest: object({
        entity: { ...text, minLength: 1, maxLength: 512 },
        features: {
          type: "object",
          minProperties: 1,
          additionalProperties: { type: ["number", "null"] },
          description: "Values by column name of the model; null or absent: missing.",
        },
      }),
      Scored: object({
        entity: text,
        score: { ...number, description: "0 to 1; 0.85 is the operating point." },
        probability: number,
        verdict,
        threshold: number,
        arm: object({ model: text, version: text }),
        routingVersion: { type: "integer" },
        missing: { type: "array", items: text },
      }),
      Verdicts: object({
        entity: text,
        verdicts: {
          type: "array",
          items: object({
            windowEnd: text,
            score: number,
            verdict,
            model: text,
            version: text,
            routingVersion: { type: "integer" },
          }),
        },
      }),
    },
  },
} as const;

const escaped = (value: string): string => value.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

/** The description as one page that loads nothing from elsewhere. */
export function openApiPage(): string {
  const paths = Object.entries(openApi.paths).flatMap(([path, methods]) =>
    Object.entries(
      methods as Record<string, { summary: string; responses: Record<string, { description: string }> }>,
    ).map(
      ([method, { summary, responses }]) =>
        `<h2><code>${method.toUpperCase()} ${escaped(path)}</code></h2><p>${escaped(summary)}.</p><ul>${Object.entries(
          responses,
        )
          .map(([status, { description }]) => `<li><b>${status}</b> ${escaped(description)}</li>`)
          .join("")}</ul>`,
    ),
  );
  const schemas = escaped(JSON.stringify(openApi.components.schemas, null, 2));
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>${openApi.info.title}</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem}code,pre{background:#f3f3f3;padding:.1em .3em}pre{padding:1em;overflow:auto}</style>
<h1>${openApi.info.title}</h1><p>${openApi.info.description} Send <code>Authorization: Bearer TOKEN</code>. The same as <a href="/openapi.json">OpenAPI JSON</a>.</p>
${paths.join("\n")}<h2>Schemas</h2><pre>${schemas}</pre></html>
`;
}
