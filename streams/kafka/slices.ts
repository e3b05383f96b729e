import type { ProducerRecord } from "../ports.ts";

/** The broker refuses a batch over 1 MB, and one request is to stay small beside the memory of both sides. */
const MAX_BATCH_BYTES = 900_000;
const MAX_BATCH_RECORDS = 10_000;
const MAX_REQUEST_BYTES = 8_000_000;
const RECORD_OVERHEAD_BYTES = 80;

/** Cuts records into requests of one batch a partition, within the limits of both, in order. */
export function* slices(records: readonly ProducerRecord[]): Generator<readonly ProducerRecord[]> {
  let slice: ProducerRecord[] = [];
  let total = 0;
  let used = new Map<string, { records: number; bytes: number }>();
  for (const record of records) {
    const key = `${record.topic}/${record.partition}`;
    const bytes = (record.value?.length ?? 0) + (record.key?.length ?? 0) * 3 + RECORD_OVERHEAD_BYTES;
    const sofar = used.get(key);
    const full = sofar && (sofar.records >= MAX_BATCH_RECORDS || sofar.bytes + bytes > MAX_BATCH_BYTES);
    if (full || (slice.length > 0 && total + bytes > MAX_REQUEST_BYTES)) {
      yield slice;
      slice = [];
      total = 0;
      used = new Map();
    }
    const now = used.get(key);
    if (now) {
      now.records++;
      now.bytes += bytes;
    } else used.set(key, { records: 1, bytes });
    total += bytes;
    slice.push(record);
  }
  if (slice.length > 0) yield slice;
}
