/**
 * Writes what was committed to `bench.features`, rows or batches, as `peers/check.py` reads it: for each row a byte with
 * the length of its key, the key, two bytes with the length of its value, the value.
 *
 *   node tests/bench/window/dump.ts --bootstrap HOST:PORT --file outputs.bin
 */
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { finished } from "node:stream/promises";
import { connectBroker } from "../../../streams/index.ts";
import { flagsOf } from "../../support/flags.ts";
import { rowsIn } from "./stage.ts";
import { OUTPUT, PARTITION_NUMBERS, ROW_BYTES } from "./topics.ts";

const flags = flagsOf(import.meta.url, { bootstrap: { type: "string" }, file: { type: "string" } });
const broker = connectBroker({ brokers: [flags.bootstrap!], clientId: "window-dump" });
const reader = broker.reader();
const file = createWriteStream(flags.file!);
for (const partition of PARTITION_NUMBERS) {
  for (let at = 0; ; ) {
    const batch = await reader.fetch(OUTPUT, partition, at, { maxBytes: 4_000_000, maxWaitMs: 10 });
    const parts: Buffer[] = [];
    for (const { key, value } of batch.records) {
      for (const { entity, bytes } of rowsIn(key, value!)) {
        const name = Buffer.from(entity);
        parts.push(Buffer.from([name.length]), name, Buffer.from([0, ROW_BYTES]), bytes);
      }
    }
    if (!file.write(Buffer.concat(parts))) await once(file, "drain");
    at = batch.nextOffset;
    if (at >= batch.endOffset) break;
  }
}
file.end();
await finished(file);
await reader.close();
