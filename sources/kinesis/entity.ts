/** One line of the ordered table that names what a log stream is about. Absent patterns match everything. */
export interface EntityRule {
  readonly account?: RegExp;
  readonly group?: RegExp;
  readonly stream?: RegExp;
  /** `{account}`, `{group}`, `{stream}` and the patterns' named groups are filled in. */
  readonly entity: string;
}

export interface EntityOptions {
  readonly rules?: readonly EntityRule[];
  /** The dimension of embedded metric documents that names their entity; it wins over the rules. */
  readonly dimension?: string;
}

export const defaultEntityRules: readonly EntityRule[] = [
  { stream: /(?<![0-9A-Za-z])(?<id>i-[0-9a-f]{8,17})(?![0-9A-Za-z])/, entity: "{id}" },
  // An instance's streams may be numbered; a cluster's are named by its instances.
  { group: /^\/aws\/rds\/instance\/(?<id>[^/]+)\//, entity: "rds/{id}" },
  { group: /^\/aws\/rds\//, entity: "rds/{stream}" },
  // One group for all functions, as some teams set it up: the stream names the function.
  { group: /^\/aws\/lambda\/functions$/, entity: "lambda/{stream}" },
  { group: /^\/aws\/lambda\/(?<fn>.+)$/, entity: "lambda/{fn}" },
];

/** Entity of one message of the stream it was made for. */
export type EntityOf = (message: string) => string;

/** The first rule that matches names the stream's entity; none: `account/group/stream`. */
export function entityOfStream(
  account: string,
  group: string,
  stream: string,
  rules: readonly EntityRule[] = defaultEntityRules,
): string {
  for (const rule of rules) {
    const values: Record<string, string | undefined> = { account, group, stream };
    const parts = [
      [rule.account, account],
      [rule.group, group],
      [rule.stream, stream],
    ] as const;
    const matches = parts.every(([pattern, text]) => {
      // With flag g or y a pattern goes on where its last match ended, which here was in another text.
      if (pattern) pattern.lastIndex = 0;
      const match = pattern ? pattern.exec(text) : undefined;
      Object.assign(values, match?.groups);
      return match !== null;
    });
    if (matches) return rule.entity.replace(/\{(\w+)\}/g, (_, name: string) => values[name] ?? "");
  }
  return `${account}/${group}/${stream}`;
}

/** Made once a record: the rules look at the stream, the scan at each message. */
export function entityOf(account: string, group: string, stream: string, options: EntityOptions = {}): EntityOf {
  const ofStream = entityOfStream(account, group, stream, options.rules);
  const dimension = options.dimension ?? "InstanceId";
  if (group === "RDSOSMetrics") {
    // All instances share the group, and the stream is named by a resource id: the document names the instance, as its
    // logs do. A standby is an entity of its own.
    const suffix = stream.endsWith("-secondary") ? "-secondary" : "";
    return (message) => {
      const instance = rootMember(message, "instanceID", '"instanceResourceID"');
      return instance === null ? ofStream : `rds/${instance}${suffix}`;
    };
  }
  return (message) => emfDimension(message, dimension) ?? ofStream;
}

/**
 * The root member `name` of an embedded metric document if it is a string, else null. One pass without parsing: a
 * document is recognised by its `_aws` member, and text before the first brace (Lambda writes some) is skipped.
 */
export const emfDimension = (message: string, name: string): string | null => rootMember(message, name, '"_aws"');

/** The same of any document that holds `marker`. */
function rootMember(message: string, name: string, marker: string): string | null {
  let at = message.indexOf("{");
  if (at < 0 || !message.includes(marker, at)) return null;
  const needle = `"${name}"`;
  let depth = 0;
  for (let hit = message.indexOf(needle, at); hit >= 0; hit = message.indexOf(needle, hit + 1)) {
    while (at < hit) {
      const c = message.charCodeAt(at);
      if (c === 0x22) at = stringEnd(message, at);
      else {
        if (c === 0x7b || c === 0x5b) depth++;
        else if (c === 0x7d || c === 0x5d) depth--;
        at++;
      }
    }
    // Beyond the hit: it stood inside another string. Deeper than 1: a member of some inner object.
    if (at !== hit || depth !== 1) continue;
    stringValue.lastIndex = hit + needle.length;
    const value = stringValue.exec(message)?.[1];
    if (value) return value.includes("\\") ? unescapeText(value) : value;
  }
  return null;
}

/** A dimension's value has at most 1,024 characters. */
const stringValue = /\s*:\s*"((?:[^"\\]|\\.){1,1024})"/y;

function stringEnd(text: string, quote: number): number {
  for (let i = quote + 1; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === 0x5c) i++;
    else if (c === 0x22) return i + 1;
  }
  return text.length;
}

function unescapeText(literal: string): string | null {
  try {
    return JSON.parse(`"${literal}"`) as string;
  } catch {
    return null;
  }
}
