import type { Runnable } from "../streams/index.ts";
import type { RoleContext } from "./roles.ts";
export const explainRole = async (_context: RoleContext): Promise<Runnable[]> => [];
export const languageTexts = async (_r: readonly Runnable[], _n: number, _ms: number): Promise<void> => undefined;
