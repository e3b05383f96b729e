import { Worker } from "node:worker_threads";
import { type FileRows, transferOf } from "./rows.ts";

type Reply = { readonly id: number } & ({ readonly bytes: Uint8Array } | { readonly error: string });
export interface EncodeRequest {
  readonly id: number;
  readonly file: FileRows;
  readonly metadata: Readonly<Record<string, string>>;
}

interface Waiting {
  readonly resolve: (bytes: Uint8Array) => void;
  readonly reject: (error: Error) => void;
}

/**
 * Encodes Parquet files in a thread of its own, one after another: a full file takes seconds, in which the tasks of the
 * process could commit nothing. One for the process, begun with the first file; it does not keep the process alive.
 */
class Encoder {
  #worker: Worker | undefined;
  #waiting = new Map<number, Waiting>();
  #nextId = 0;

  /** The rows' memory goes over to the thread. Rejects if the file cannot be made, which another attempt would not mend. */
  encode(file: FileRows, metadata: Readonly<Record<string, string>>): Promise<Uint8Array> {
    this.#worker ??= this.#start();
    const worker = this.#worker;
    const request: EncodeRequest = { id: this.#nextId++, file, metadata };
    return new Promise((resolve, reject) => {
      this.#waiting.set(request.id, { resolve, reject });
      worker.ref();
      worker.postMessage(request, transferOf(file));
    });
  }

  #start(): Worker {
    const worker = new Worker(new URL("encode-worker.ts", import.meta.url));
    worker.unref();
    worker.on("message", (reply: Reply) => {
      const waiting = this.#waiting.get(reply.id);
      this.#waiting.delete(reply.id);
      if (this.#waiting.size === 0) worker.unref();
      if ("bytes" in reply) waiting?.resolve(reply.bytes);
      else waiting?.reject(new Error(reply.error));
    });
    const ended = (error: Error) => {
      if (this.#worker === worker) this.#worker = undefined;
      for (const { reject } of this.#waiting.values()) reject(error);
      this.#waiting.clear();
    };
    worker.on("error", ended);
    worker.on("exit", (code) => ended(new Error(`The thread that encodes Parquet ended with code ${code}.`)));
    return worker;
  }
}

const encoder = new Encoder();

export const encodeFile = (file: FileRows, metadata: Readonly<Record<string, string>>): Promise<Uint8Array> =>
  encoder.encode(file, metadata);
