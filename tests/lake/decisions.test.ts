import fc from "fast-check";
import { expect, test } from "vitest";
import { chainPrefix, folderOf, hourEndMs, objectKey, parseKey } from "../../sinks/lake/layout.ts";
import {
  isWritten,
  noLakeCounts,
  type ObjectFacts,
  onRefusedCreate,
  planResume,
  safeAfter,
} from "../../sinks/lake/resume.ts";
import { defaultLimits, type OpenFileFacts, rotate } from "../../sinks/lake/rotate.ts";

const at = Date.UTC(2026, 10, 3, 7, 59, 59, 999);

test("features lie in a folder a day, raw logs in a folder an hour, by UTC", () => {
  expect(folderOf("lake-features", at)).toBe("processed-logs/2026-11-03/");
  expect(folderOf("lake-raw", at)).toBe("raw-logs/2026/11/03/07/");
  expect(folderOf("lake-raw", at + 1)).toBe("raw-logs/2026/11/03/08/");
});

test("an object's name holds topic, partition and padded first offset after the asked-for name", () => {
  expect(objectKey("lake-features", folderOf("lake-features", at), "features", 3, 42)).toBe(
    "processed-logs/2026-11-03/features-features-3-00000000000000000042.parquet",
  );
  expect(objectKey("lake-raw", folderOf("lake-raw", at), "logs.raw", 0, 7)).toBe(
    "raw-logs/2026/11/03/07/data_20261103-logs.raw-0-00000000000000000007.parquet",
  );
});

test("a time that no calendar holds has a folder all the same", () => {
  for (const ms of [-1, Number.NaN, Number.POSITIVE_INFINITY, 8.64e15, 253_402_300_800_000])
    expect(folderOf("lake-raw", ms)).toBe("raw-logs/1970/01/01/00/");
});

test("any key reads back as what it was made of, and only by its own stage and topic", () => {
  const topic = fc.stringMatching(/^[a-z][a-z0-9.-]{0,20}$/);
  const stage = fc.constantFrom("lake-features" as const, "lake-raw" as const);
  fc.assert(
    fc.property(stage, topic, topic, fc.nat(1000), fc.nat(), fc.nat(4e12), (s, t, other, partition, first, ms) => {
      const folder = folderOf(s, ms);
      const key = objectKey(s, folder, t, partition, first);
      expect(key.startsWith(chainPrefix(s, folder, t, partition))).toBe(true);
      expect(parseKey(s, t, key)).toEqual({ folder, partition, first });
      if (other !== t) expect(parseKey(s, other, key)).toBeNull();
      expect(parseKey(s === "lake-raw" ? "lake-features" : "lake-raw", t, key)).toBeNull();
    }),
  );
});

test("a topic whose name goes on like a partition is not taken for that partition", () => {
  const folder = folderOf("lake-features", at);
  const key = objectKey("lake-features", folder, "a-1", 2, 5);
  expect(key.startsWith(chainPrefix("lake-features", folder, "a", 1))).toBe(true);
  expect(parseKey("lake-features", "a", key)).toBeNull();
});

test("names of one chain sort as their offsets", () => {
  const key = (n: number) => objectKey("lake-raw", folderOf("lake-raw", at), "t", 0, n);
  fc.assert(fc.property(fc.nat(), fc.nat(), (a, b) => key(a) < key(b) === a < b));
});

const open = (more: Partial<OpenFileFacts> = {}): OpenFileFacts => ({
  folder: "f",
  first: 0,
  rows: 1,
  bytes: 1,
  hourEndMs: hourEndMs(at),
  openedAtWatermarkMs: at,
  ...more,
});
const calm = { watermarkMs: 0, idleForMs: 0, flush: false };

test("a file is closed when the watermark reaches the end of its hour plus the slack, and not a millisecond before", () => {
  const due = hourEndMs(at) + defaultLimits.slackMs;
  expect(rotate([open()], { ...calm, watermarkMs: due - 1 }, defaultLimits)).toEqual([]);
  expect(rotate([open()], { ...calm, watermarkMs: due }, defaultLimits)).toHaveLength(1);
});

test("a file of late rows stays open for its own slack, so that a trickle of them makes no file each", () => {
  const openedAtWatermarkMs = at + 3_600_000 * 5;
  const late = open({ openedAtWatermarkMs });
  expect(rotate([late], { ...calm, watermarkMs: openedAtWatermarkMs }, defaultLimits)).toEqual([]);
  const due = openedAtWatermarkMs + defaultLimits.slackMs;
  expect(rotate([late], { ...calm, watermarkMs: due }, defaultLimits)).toEqual([late]);
});

test("rows, bytes, idling and a flush each close a file", () => {
  const { maxRows, maxBytes, idleMs } = defaultLimits;
  expect(rotate([open()], calm, defaultLimits)).toEqual([]);
  expect(rotate([open({ rows: maxRows })], calm, defaultLimits)).toHaveLength(1);
  expect(rotate([open({ bytes: maxBytes })], calm, defaultLimits)).toHaveLength(1);
  expect(rotate([open()], { ...calm, idleForMs: idleMs }, defaultLimits)).toHaveLength(1);
  expect(rotate([open()], { ...calm, flush: true }, defaultLimits)).toHaveLength(1);
});

test("what stays open is within both caps, and files close in the order that lets safe move", () => {
  const file = fc.record({ first: fc.nat(1000), rows: fc.nat(200), bytes: fc.nat(200) });
  const limits = { ...defaultLimits, maxRows: 150, maxBytes: 150, maxOpenFiles: 3, maxBufferedBytes: 250 };
  fc.assert(
    fc.property(fc.array(file, { maxLength: 8 }), (specs) => {
      const files = specs.map((spec, i) => open({ ...spec, folder: `f${i}` }));
      const closed = rotate(files, calm, limits);
      const left = files.filter((f) => !closed.includes(f));
      expect(left.length).toBeLessThanOrEqual(3);
      expect(left.reduce((sum, f) => sum + f.bytes, 0)).toBeLessThanOrEqual(250);
      expect(closed.map((f) => f.first)).toEqual(closed.map((f) => f.first).sort((a, b) => a - b));
    }),
  );
});

test("a refused create of the same range is ours already; another range means listing again", () => {
  expect(onRefusedCreate({ last: 9, rows: 3 }, { last: 9, rows: 3 })).toBe("written");
  expect(onRefusedCreate({ last: 9, rows: 3 }, { last: 8, rows: 2 })).toBe("list-again");
});

/**
 * Two writers over one log, played on a bucket in memory with the decisions alone. A step: read a record, close a
 * file, crash, crash in the middle of a create that is stored later. At the end the last writer is left in peace.
 */
test("whatever two writers do and however they crash, each record's rows lie in exactly one object of each folder", () => {
  const log = fc.array(fc.uniqueArray(fc.nat(3), { maxLength: 3 }), { minLength: 1, maxLength: 40 });
  const step = fc.record({
    writer: fc.nat(1),
    act: fc.constantFrom("read", "read", "read", "close", "crash", "late"),
    pick: fc.nat(3),
  });
  fc.assert(
    fc.property(log, fc.array(step, { maxLength: 120 }), (records, steps) => {
      const bucket = new Map<string, ObjectFacts & { readonly held: readonly number[] }>();
      const create = (o: ObjectFacts & { readonly held: readonly number[] }): boolean => {
        const key = `${o.folder}/${o.first}`;
        if (bucket.has(key)) return false;
        bucket.set(key, o);
        return true;
      };
      const late: (() => void)[] = [];
      const begin = () => ({
        next: planResume([...bucket.values()])?.beginAt ?? 0,
        files: new Map<string, { first: number; last: number; held: number[] }>(),
        ends: new Map<string, number>(),
      });
      const writers = [begin(), begin()];
      const read = (w: (typeof writers)[number]): void => {
        const folders = records[w.next];
        if (!folders) return;
        for (const folder of folders.map(String)) {
          const end =
            w.ends.get(folder) ??
            Math.max(-1, ...[...bucket.values()].filter((o) => o.folder === folder).map((o) => o.last));
          w.ends.set(folder, end);
          if (isWritten(w.next, end)) continue;
          const file = w.files.get(folder) ?? { first: w.next, last: w.next, held: [] };
          file.held.push(w.next);
          file.last = w.next;
          w.files.set(folder, file);
        }
        w.next++;
      };
      const close = (i: number, folder: string, storedLate: boolean): void => {
        const w = writers[i]!;
        const file = w.files.get(folder);
        if (!file) return;
        const { safe } = safeAfter(
          [...w.files.values()].filter((f) => f !== file),
          w.next,
        );
        const object = {
          folder,
          partition: 0,
          first: file.first,
          last: file.last,
          rows: file.held.length,
          safe,
          belowSafe: noLakeCounts,
          held: [...file.held],
        };
        if (storedLate) {
          late.push(() => create(object));
          writers[i] = begin();
          return;
        }
        if (!create(object) && onRefusedCreate(object, bucket.get(`${folder}/${file.first}`)!) === "list-again") {
          writers[i] = begin();
          return;
        }
        w.files.delete(folder);
        w.ends.set(folder, file.last);
      };
      for (const { writer, act, pick } of steps) {
        if (act === "read") read(writers[writer]!);
        else if (act === "crash") writers[writer] = begin();
        else close(writer, String(pick), act === "late");
        if (pick === 0) late.shift()?.();
      }
      for (const store of late) store();
      for (let round = 0; round < 60; round++) {
        for (let n = 0; n <= records.length; n++) read(writers[0]!);
        for (const folder of [...writers[0]!.files.keys()]) close(0, folder, false);
      }
      const held = [...bucket.values()].flatMap((o) => o.held.map((offset) => `${o.folder}:${offset}`));
      const want = records.flatMap((folders, offset) => folders.map((f) => `${f}:${offset}`));
      expect(held.sort()).toEqual(want.sort());
    }),
    { numRuns: 500 },
  );
});
