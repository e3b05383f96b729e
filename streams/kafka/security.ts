import { readFileSync } from "node:fs";
import type { KafkaConfig, SASLOptions } from "kafkajs";
import { WeirError } from "../errors.ts";
import { type AwsCredentials, mskToken } from "./msk-token.ts";

/** Who we are to the brokers. */
export type Sasl =
  | {
      readonly mechanism: "plain" | "scram-sha-256" | "scram-sha-512";
      readonly username: string;
      readonly password: string;
    }
  | {
      /** IAM of Amazon MSK: an OAuth bearer token signed with the AWS credentials. Not run against MSK. */
      readonly mechanism: "aws-msk-iam";
      readonly region: string;
      readonly credentials: () => Promise<AwsCredentials>;
    };

export interface Security {
  /** Encrypts the connection. */
  readonly tls?: boolean;
  /** PEM file of the authority that signed the brokers' certificates, where it is not a public one. */
  readonly caFile?: string;
  readonly sasl?: Sasl;
}

/** Throws `FILE_UNREADABLE` for a CA file that is not there. */
export function securityOf({ tls = false, caFile, sasl }: Security): Pick<KafkaConfig, "ssl" | "sasl"> {
  return {
    ssl: tls && caFile !== undefined ? { ca: [pem(caFile)] } : tls,
    ...(sasl && { sasl: saslOf(sasl) }),
  };
}

function saslOf(sasl: Sasl): SASLOptions {
  if (sasl.mechanism !== "aws-msk-iam") return sasl as SASLOptions;
  const { region, credentials } = sasl;
  return {
    mechanism: "oauthbearer",
    oauthBearerProvider: async () => ({ value: mskToken(region, await credentials(), Date.now()) }),
  };
}

function pem(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new WeirError(
      "FILE_UNREADABLE",
      "fatal",
      `${file}: ${(error as Error).message}`,
      "Name the PEM file of the authority that signed the brokers' certificates.",
      { cause: error },
    );
  }
}
