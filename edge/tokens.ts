import { createHash, timingSafeEqual } from "node:crypto";

const digest = (text: string): Buffer => createHash("sha256").update(text).digest();

/**
 * Whether an `Authorization` header carries one of the tokens. Digests are compared, each of them, so that the time it
 * takes tells neither how much of a token was right nor which one.
 */
export function tokenCheck(tokens: readonly string[]): (authorization: string | undefined) => boolean {
  const known = tokens.map(digest);
  return (authorization) => {
    const [, given = ""] = /^Bearer ([\x21-\x7e]{1,512})$/.exec(authorization ?? "") ?? [];
    const asked = digest(given);
    let holds = false;
    for (const token of known) holds = timingSafeEqual(token, asked) || holds;
    return holds && given !== "";
  };
}
