import type { Assignments, Runnable, Share } from "../streams/index.ts";
import type { ChildMessage, ShareMessage } from "./processes.ts";
import type { Sharing } from "./sharing.ts";

const STATUS_EVERY_MS = 500;

/** The child's end of `--processes N`: its shares come from its parent, its status goes there. */
export class Parent {
  readonly #shares = new Map<string, Share>();
  readonly #takers = new Map<string, (share: Share) => void>();
  /** Resolves when the parent is gone: nobody else would stop this process then. */
  readonly gone: Promise<void>;

  constructor() {
    process.on("message", ({ stage, ...share }: ShareMessage) => {
      this.#shares.set(stage, share);
      this.#takers.get(stage)?.(share);
    });
    this.gone = new Promise((resolve) => process.once("disconnect", resolve));
  }

  readonly sharing: Sharing = ({ name }): Assignments => ({
    start: async (take) => {
      const first = Promise.withResolvers<void>();
      this.#takers.set(name, (share) => {
        take(share);
        first.resolve();
      });
      const known = this.#shares.get(name);
      if (known) this.#takers.get(name)!(known);
      await first.promise;
    },
    stop: async () => void this.#takers.delete(name),
  });

  ready(): void {
    this.#tell({ kind: "ready" });
  }

  /** Returns what ends it. */
  report(runnables: readonly Runnable[]): () => void {
    const tell = () => this.#tell({ kind: "status", tasks: runnables.flatMap((r) => r.status()) });
    const timer = setInterval(tell, STATUS_EVERY_MS);
    return () => clearInterval(timer);
  }

  #tell(message: ChildMessage): void {
    if (process.connected) process.send!(message, undefined, undefined, () => undefined);
  }
}
