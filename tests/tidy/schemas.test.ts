import { readdirSync } from "node:fs";
import path from "node:path";
import avro from "avsc";
import { expect, test } from "vitest";
import { topicDefinitions } from "../../pipeline.ts";
import { standaloneSchema } from "../../schemas/codec.ts";
import { generateTypes, readSchemas } from "../../schemas/generate.ts";
import { read, root } from "./sources.ts";

const files = readdirSync(path.join(root, "schemas/avro")).sort();

test("types.ts is what `npm run generate` writes", () => {
  expect(read("schemas/types.ts")).toBe(generateTypes(readSchemas()));
});

test.each(files)("%s as it is registered stands on its own: every type it names is defined in it", (file) => {
  expect(file).toMatch(/^[a-z-]+\.avsc$/);
  const schema = standaloneSchema(file.replace(".avsc", ""));
  expect(schema).toMatchObject({ type: "record", namespace: "weir" });
  expect(() => avro.Type.forSchema(schema as never)).not.toThrow();
});

test("every schema is a topic's, and every topic's schema is there", () => {
  const named = topicDefinitions.flatMap((t) => (t.schema === null ? [] : [`${t.schema}.avsc`]));
  expect([...new Set(named)].sort()).toEqual(files);
});
