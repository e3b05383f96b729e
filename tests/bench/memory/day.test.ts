import { describe, expect, test } from "vitest";
import type { ShardRecord } from "../../../sources/index.ts";
import { decodeRecord } from "../../../sources/kinesis/decode.ts";
import { simulatedDay } from "./day.ts";

const startMs = Date.UTC(2026, 0, 5);
const day = simulatedDay({ instances: 8, minutes: 3, shards: 2, startMs, bytesPerMinute: 8 * 2_000 });

async function recordsOf(shard: string): Promise<ShardRecord[]> {
  const records: ShardRecord[] = [];
  for (let iterator = await day.source.iterator("s", shard, ""); ; ) {
    const page = await day.source.records(iterator);
    records.push(...page.records);
    if (page.millisBehindLatest === 0) return records;
    iterator = page.next!;
  }
}

describe("the simulated day", () => {
  test("each minute every instance's events lie in it, and then its shard's clock says that it is over", async () => {
    let events = 0;
    for (const shard of ["shard-0", "shard-1"]) {
      let minute = 0;
      for (const { data, arrivalMs } of await recordsOf(shard)) {
        const decoded = decodeRecord(data, { arrivalMs, clockMode: "records" });
        const fromMs = startMs + minute * 60_000;
        if (decoded.kind === "clock") {
          expect(decoded.clockMs).toBe(fromMs + 60_000);
          minute++;
          continue;
        }
        if (decoded.kind !== "data") throw new Error(`a ${decoded.kind} record`);
        for (const item of decoded.items) {
          if ("code" in item) throw new Error(item.reason);
          expect(item.timestampMs).toBeGreaterThanOrEqual(fromMs);
          expect(item.timestampMs).toBeLessThan(fromMs + 60_000);
          events++;
        }
        const document = (decoded.items[0] as { message: string }).message;
        expect(JSON.parse(document)._aws.Timestamp).toBe((decoded.items[0] as { timestampMs: number }).timestampMs);
      }
      expect(minute).toBe(3);
    }
    expect(events).toBe(day.events);
  });

  test("its bytes are about those asked for", () => {
    expect(day.rawBytes / (3 * 16_000)).toBeGreaterThan(0.85);
    expect(day.rawBytes / (3 * 16_000)).toBeLessThan(1.15);
  });
});
