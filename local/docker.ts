import type { Stack, StackOptions } from "./stack.ts";
export declare function startDockerStack(options: StackOptions): Promise<Stack>;
