import { ai } from "./ai.ts";
import type { Component } from "./component.ts";
import { kafka } from "./kafka.ts";
import { kinesis } from "./kinesis.ts";
import { moto } from "./moto.ts";
import { qdrant } from "./qdrant.ts";
import { registry } from "./registry.ts";
import { s3 } from "./s3.ts";
import { triton } from "./triton.ts";

export const componentNames = ["kafka", "registry", "s3", "kinesis", "triton", "qdrant", "ai", "moto"] as const;
export type ComponentName = (typeof componentNames)[number];

/** What `weir local up` starts. moto is for one test. */
export const defaultComponents: readonly ComponentName[] = componentNames.filter((name) => name !== "moto");

export const components: Readonly<Record<ComponentName, Component>> = {
  kafka,
  registry,
  s3,
  kinesis,
  triton,
  qdrant,
  ai,
  moto,
};
