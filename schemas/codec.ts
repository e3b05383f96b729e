import { readFileSync } from "node:fs";
import { SchemaRegistry, SchemaType } from "@kafkajs/confluent-schema-registry";
import avro, { type Type } from "avsc";

/** Schemas that others refer to by name, in the order they must be known. */
const shared: Record<string, readonly string[]> = { "anomaly-edge": ["anomaly"], incident: ["anomaly"] };

type Schema = Record<string, unknown>;

/** The schema of `avro/<name>.avsc` with the types it borrows from other files written in, so that it stands alone. */
export function standaloneSchema(name: string): Schema {
  const borrowed = new Map<string, Schema>();
  const collect = (node: unknown): void => {
    if (Array.isArray(node)) node.forEach(collect);
    else if (node && typeof node === "object") {
      const schema = node as Schema;
      if (schema.type === "record" || schema.type === "enum") borrowed.set(`weir.${schema.name}`, schema);
      Object.values(schema).forEach(collect);
    }
  };
  for (const file of shared[name] ?? []) collect(readAvsc(file));
  const placed = new Set<string>();
  const place = (node: unknown): unknown => {
    if (typeof node === "string" && borrowed.has(node) && !placed.has(node)) {
      placed.add(node);
      return place(borrowed.get(node));
    }
    if (Array.isArray(node)) return node.map(place);
    if (node && typeof node === "object") {
      return Object.fromEntries(Object.entries(node).map(([k, v]) => [k, k === "doc" || k === "name" ? v : place(v)]));
    }
    return node;
  };
  return place(readAvsc(name)) as Schema;
}

const readAvsc = (name: string): Schema =>
  JSON.parse(readFileSync(new URL(`avro/${name}.avsc`, import.meta.url), "utf8")) as Schema;

export const typeOf = (schema: Schema): Type => avro.Type.forSchema(schema as never);

/** What values are written into before their length is known; grows to the largest so far. */
let scratch = Buffer.allocUnsafeSlow(65_536);

/** The value's bytes behind `headBytes` free ones. avsc's own `toBuffer` writes whatever is longer than 1 KB twice. */
export function encodeAvro(type: Type, value: unknown, headBytes = 0): Buffer {
  let end = type.encode(value, scratch, headBytes);
  while (end < 0) {
    // It tells how much was missing, as a negative number.
    scratch = Buffer.allocUnsafeSlow(2 * (scratch.length - end));
    end = type.encode(value, scratch, headBytes);
  }
  return Buffer.from(scratch.subarray(0, end));
}

/**
 * Avro values in the registry's wire format (byte 0, big-endian schema id, body), one subject `<topic>-value` a topic.
 *
 * Encoding and decoding are synchronous; a writer schema met for the first time is fetched once with `learn`.
 */
export class Codecs {
  #registry: SchemaRegistry;
  #byTopic = new Map<string, { id: number; type: Type }>();
  #writers = new Map<number, Type>();

  private constructor(registry: SchemaRegistry) {
    this.#registry = registry;
  }

  /** Registers every schema (idempotent). A subject that refuses one throws the registry's own 409 with the subject named. */
  static async connect(registryUrl: string, subjects: ReadonlyMap<string, string>): Promise<Codecs> {
    const codecs = new Codecs(new SchemaRegistry({ host: registryUrl, retry: { retries: 5 } }));
    for (const [topic, schemaName] of subjects) {
      const schema = standaloneSchema(schemaName);
      const { id } = await codecs.#registry.register(
        { type: SchemaType.AVRO, schema: JSON.stringify(schema) },
        { subject: `${topic}-value` },
      );
      const type = typeOf(schema);
      codecs.#byTopic.set(topic, { id, type });
      codecs.#writers.set(id, type);
    }
    return codecs;
  }

  encode(topic: string, value: unknown): Buffer {
    const entry = this.#byTopic.get(topic);
    if (!entry) throw new Error(`No schema is registered for topic ${topic}.`);
    const out = encodeAvro(entry.type, value, 5);
    out[0] = 0;
    out.writeInt32BE(entry.id, 1);
    return out;
  }

  /** The id to `learn` before `decode`, or null if the schema is known. Throws on bytes that are not in the wire format. */
  unknownId(bytes: Buffer): number | null {
    if (bytes.length < 5 || bytes[0] !== 0)
      throw new Error("The value does not begin with magic byte 0 and a schema id.");
    const id = bytes.readInt32BE(1);
    return this.#writers.has(id) ? null : id;
  }

  async learn(id: number): Promise<void> {
    const schema = await this.#registry.getSchema(id);
    this.#writers.set(id, schema as unknown as Type);
  }

  /** Reads with the writer's schema and resolves to the topic's own, so that older records get new defaults. */
  decode<T>(topic: string, bytes: Buffer): T {
    const id = bytes.readInt32BE(1);
    const writer = this.#writers.get(id);
    if (bytes[0] !== 0 || !writer) throw new Error(`Schema id ${id} is not known.`);
    const reader = this.#byTopic.get(topic);
    const body = bytes.subarray(5);
    if (!reader || reader.id === id) return writer.fromBuffer(body) as T;
    return reader.type.fromBuffer(body, this.#resolver(reader.type, id, writer)) as T;
  }

  #resolvers = new Map<string, ReturnType<Type["createResolver"]>>();

  #resolver(reader: Type, id: number, writer: Type) {
    const key = `${reader.name}/${id}`;
    let resolver = this.#resolvers.get(key);
    if (!resolver) {
      resolver = reader.createResolver(writer);
      this.#resolvers.set(key, resolver);
    }
    return resolver;
  }
}
