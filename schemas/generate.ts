/** Writes `types.ts` from `avro/*.avsc`: `npm run generate`. A test fails when the two differ. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";

interface Field {
  name: string;
  type: AvroType;
  doc?: string;
}
type AvroType =
  | string
  | AvroType[]
  | { type: "array"; items: AvroType }
  | { type: "map"; values: AvroType }
  | { type: "enum"; name: string; symbols: string[] }
  | { type: "record"; name: string; doc?: string; fields: Field[] };

const primitives: Record<string, string> = {
  null: "null",
  boolean: "boolean",
  int: "number",
  long: "number",
  float: "number",
  double: "number",
  string: "string",
  bytes: "Buffer",
};

/** TypeScript text of all interfaces that the schemas name, in the order they are met. */
export function generateTypes(schemas: readonly AvroType[]): string {
  const out: string[] = [];
  const nameOf = (type: AvroType): string => {
    if (typeof type === "string") return primitives[type] ?? type.replace(/^.*\./, "");
    if (Array.isArray(type)) return type.map(nameOf).join(" | ");
    if (type.type === "array") return `${nameOf(type.items)}[]`;
    if (type.type === "map") return `Record<string, ${nameOf(type.values)}>`;
    if (type.type === "enum") out.push(`export type ${type.name} = ${type.symbols.map((s) => `"${s}"`).join(" | ")};`);
    else {
      const fields = type.fields.map((f) => `${f.doc ? `  /** ${f.doc} */\n` : ""}  ${f.name}: ${nameOf(f.type)};`);
      out.push(`${type.doc ? `/** ${type.doc} */\n` : ""}export interface ${type.name} {\n${fields.join("\n")}\n}`);
    }
    return type.name;
  };
  for (const schema of schemas) nameOf(schema);
  return `// Generated from avro/*.avsc by \`npm run generate\`. Do not edit.\n\n${out.join("\n\n")}\n`;
}

export function readSchemas(): AvroType[] {
  const folder = new URL("avro/", import.meta.url);
  return readdirSync(folder)
    .sort()
    .map((file) => JSON.parse(readFileSync(new URL(file, folder), "utf8")) as AvroType);
}

if (import.meta.main) writeFileSync(new URL("types.ts", import.meta.url), generateTypes(readSchemas()));
