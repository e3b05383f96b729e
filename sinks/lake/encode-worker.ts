import { parentPort } from "node:worker_threads";
import type { EncodeRequest } from "./encoder.ts";
import { encodeParquet } from "./parquet.ts";
import { columnsOf } from "./rows.ts";

/** The thread behind `encoder.ts`. */
parentPort?.on("message", ({ id, file, metadata }: EncodeRequest) => {
  try {
    const bytes = encodeParquet(columnsOf(file), metadata);
    parentPort?.postMessage({ id, bytes }, [bytes.buffer as ArrayBuffer]);
  } catch (error) {
    parentPort?.postMessage({ id, error: (error as Error).stack ?? String(error) });
  }
});
