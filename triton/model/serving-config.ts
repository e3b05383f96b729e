import { fileURLToPath } from "node:url";
import { loadSync } from "@grpc/proto-loader";
import { parseTextFormat, type TextField, type TextValue } from "./text-format.ts";

/** What stands in a config.pbtxt: every field of the message by its name, repeated ones as lists, maps as objects. */
export type ConfigMessage = { readonly [field: string]: ConfigValue };
export type ConfigValue = string | number | boolean | ConfigMessage | readonly ConfigValue[];

/** The parts of a message definition that the text is checked against. */
interface Descriptor {
  readonly name: string;
  readonly field: readonly Field[];
  readonly nestedType: readonly Descriptor[];
  readonly enumType: readonly EnumDescriptor[];
  readonly options: { readonly mapEntry?: boolean } | null;
}
interface Field {
  readonly name: string;
  readonly label: string;
  readonly type: string;
  readonly typeName: string;
}
interface EnumDescriptor {
  readonly name: string;
  readonly value: readonly { readonly name: string }[];
}

const definition = loadSync(fileURLToPath(new URL("model-config.proto", import.meta.url)), { keepCase: true });
const typeOf = <T>(name: string): T => (definition[`inference.${name}`] as unknown as { type: T }).type;

/** Exactly one of them may be given: a `oneof` of the protocol. */
const ONE_OF: Readonly<Record<string, readonly string[]>> = {
  ModelVersionPolicy: ["latest", "all", "specific"],
  Input: ["zero_data", "random_data", "input_data_file"],
};
const WHOLE: Readonly<Record<string, readonly [number, number]>> = {
  TYPE_INT32: [-(2 ** 31), 2 ** 31 - 1],
  TYPE_UINT32: [0, 2 ** 32 - 1],
  TYPE_INT64: [-Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
  TYPE_UINT64: [0, Number.MAX_SAFE_INTEGER],
};

/** Reads config.pbtxt and checks every field's name and type against the protocol's message, all faults together. */
export function readServingConfig(text: string): {
  readonly config: ConfigMessage;
  readonly faults: readonly string[];
} {
  let fields: TextField[];
  try {
    fields = parseTextFormat(text);
  } catch (error) {
    return { config: {}, faults: [(error as Error).message] };
  }
  const faults: string[] = [];
  return { config: message(fields, typeOf<Descriptor>("ModelConfig"), faults), faults };
}

function message(fields: readonly TextField[], of: Descriptor, faults: string[]): ConfigMessage {
  const into: Record<string, ConfigValue> = {};
  for (const { name, values, line } of fields) {
    const field = of.field.find((f) => f.name === name);
    const say = (fault: string) => faults.push(`line ${line}: ${fault}`);
    if (!field) {
      say(`${of.name} has no field ${name}`);
      continue;
    }
    const isRepeated = field.label === "LABEL_REPEATED";
    if (!isRepeated && (values.length !== 1 || name in into)) {
      say(`${of.name}.${name} may be given once`);
      continue;
    }
    const entry = field.type === "TYPE_MESSAGE" ? descriptor(field.typeName, of) : undefined;
    const got = values.map((value) => read(value, field, of, entry, say, faults));
    if (!isRepeated) into[name] = got[0]!;
    else if (entry?.options?.mapEntry) {
      for (const pair of got as { key?: string | number; value?: ConfigValue }[]) {
        const map = (into[name] ?? {}) as Record<string, ConfigValue>;
        into[name] = { ...map, [String(pair.key ?? "")]: pair.value ?? {} };
      }
    } else into[name] = [...((into[name] as readonly ConfigValue[]) ?? []), ...got];
  }
  const given = (ONE_OF[of.name] ?? []).filter((name) => name in into);
  if (given.length > 1) faults.push(`${of.name} holds ${given.join(" and ")}: one of them is possible`);
  return into;
}

function read(
  value: TextValue,
  field: Field,
  of: Descriptor,
  entry: Descriptor | undefined,
  say: (fault: string) => void,
  faults: string[],
): ConfigValue {
  const where = `${of.name}.${field.name}`;
  if (entry) {
    if (value.kind === "message") return message(value.fields, entry, faults);
    say(`${where} is a message, ${entry.name}`);
    return {};
  }
  if (value.kind === "message") {
    say(`${where} is no message`);
    return {};
  }
  if (field.type === "TYPE_STRING") {
    if (value.kind !== "string") say(`${where} is a text in quotes, not ${value.value}`);
  } else if (field.type === "TYPE_BOOL") {
    if (value.kind !== "word" || !/^(true|false)$/.test(value.value)) say(`${where} is true or false`);
    return value.value === "true";
  } else if (field.type === "TYPE_ENUM") {
    const names = enumNames(field.typeName, of);
    if (value.kind !== "word" || !names.includes(value.value))
      say(`${where} is one of ${names.join(", ")}, not ${value.value}`);
  } else {
    const [least, most] = WHOLE[field.type] ?? [0, 0];
    const isWhole = value.kind === "number" && Number.isInteger(value.value);
    if (!isWhole || value.value < least || value.value > most)
      say(`${where} is a whole number from ${least} to ${most}, not ${value.value}`);
  }
  return value.value;
}

/** A type's name is relative to the message that uses it, or one of the file's. */
function descriptor(name: string, near: Descriptor): Descriptor {
  const short = name.slice(name.lastIndexOf(".") + 1);
  return near.nestedType.find((type) => type.name === short) ?? typeOf<Descriptor>(short);
}

function enumNames(name: string, near: Descriptor): string[] {
  const short = name.slice(name.lastIndexOf(".") + 1);
  const found = near.enumType.find((type) => type.name === short) ?? typeOf<EnumDescriptor>(short);
  return found.value.map((value) => value.name);
}
