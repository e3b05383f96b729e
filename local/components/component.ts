import type { Endpoints } from "../endpoints.ts";

export interface ComponentContext {
  readonly cacheDir: string;
  /** The component's own folder; it outlives the process. */
  readonly dataDir: string;
  readonly logFile: string;
  /** As many free ports as the component asked for. */
  readonly ports: readonly number[];
  /** Shards of a stream that is created. */
  readonly shards: number;
}

/** How to run a component with these ports: data, so that one supervisor starts and stops them all. */
export interface Launch {
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  readonly endpoints: Partial<Endpoints>;
  /** What a person should know, shown behind the port. */
  readonly remark?: string;
  /** Asked again and again until it says yes. It must not throw. */
  isReady(): Promise<boolean>;
  /** Called once after the first yes: topics, buckets, streams. */
  afterReady?(): Promise<void>;
}

/** A server of the local stack. */
export interface Component {
  readonly portCount: number;
  /** The longest it may take on a busy laptop until it is ready. */
  readonly startTimeoutMs: number;
  /** After SIGTERM, how long it may take to end by itself; 8 s by default. */
  readonly stopTimeoutMs?: number;
  /** The stack does not wait for it. */
  readonly background?: boolean;
  /** Removes what a killed process leaves outside its data folder. Called with no process running. */
  sweep?(dataDir: string): void;
  /** Prepares the data folder and says what to run. Called again with other ports if one was taken meanwhile. */
  launch(context: ComponentContext): Promise<Launch>;
}
