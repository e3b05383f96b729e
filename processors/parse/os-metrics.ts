import { type FoundMetrics, isObject, type JsonObject, type MetricSample } from "./types.ts";

/** True for a document of RDS Enhanced Monitoring, of either engine family. */
export const claimsOsMetrics = (document: JsonObject): boolean =>
  typeof document.instanceResourceID === "string" && "cpuUtilization" in document;

/**
 * Samples of one document of RDS Enhanced Monitoring under the names that CloudWatch gives them, or where it is wrong.
 *
 * Rates stay rates: the document tells no period, so they cannot become counts per period such as NetworkIn. Disks are
 * read in both shapes: devices, of which `rdsdev` holds the data where it is named, and Aurora's storage volume, which
 * tells latencies and a queue depth instead of waits. The standby of a Multi-AZ instance reports under the same
 * instance name in a stream of its own and becomes an entity of its own. A part that is there and not what it should be
 * is left out and named; the others are read.
 */
export function readOsMetrics(document: JsonObject, stream: string): FoundMetrics | string {
  const { instanceID, cpuUtilization: cpu } = document;
  if (typeof instanceID !== "string" || instanceID === "") return "instanceID";
  if (!isObject(cpu)) return "cpuUtilization";
  if (typeof cpu.total !== "number") return "cpuUtilization.total";
  const reader = new PartReader(document);
  const samples: MetricSample[] = [];
  const add = (name: string, value: number | undefined, unit: string, factor = 1) => {
    if (value !== undefined) samples.push({ name, values: [value * factor], unit });
  };
  add("CPUUtilization", cpu.total, "Percent");
  const memory = reader.numbers("memory", ["total", "free", "cached", "buffers"]);
  add("MemoryUtilization", usedPercent(memory), "Percent");
  add("FreeableMemory", memory.free, "Bytes", 1024);
  const swap = reader.numbers("swap", ["total", "free"]);
  if (swap.total !== undefined && swap.free !== undefined) add("SwapUsage", swap.total - swap.free, "Bytes", 1024);
  add("LoadAverage", reader.numbers("loadAverageMinute", ["one"]).one, "None");
  const network = reader.lists("network", ["rx", "tx"]);
  add("NetworkReceiveThroughput", sumOf(network.rx), "Bytes/Second");
  add("NetworkTransmitThroughput", sumOf(network.tx), "Bytes/Second");
  const disks = reader.lists("diskIO", diskMembers, isDataDisk);
  add("ReadIOPS", sumOf(disks.readIOsPS), "Count/Second");
  add("WriteIOPS", sumOf(disks.writeIOsPS), "Count/Second");
  add("DiskQueueDepth", sumOf(disks.avgQueueLen) ?? sumOf(disks.diskQueueDepth), "Count");
  add("ReadLatency", meanOf(disks.readLatency), "Milliseconds");
  add("WriteLatency", meanOf(disks.writeLatency), "Milliseconds");
  add("FileSystemUtilization", largestOf(reader.lists("fileSys", ["usedPercent"]).usedPercent), "Percent");
  const entity = stream.endsWith("-secondary") ? `${instanceID}-secondary` : instanceID;
  const { firstFault } = reader;
  return firstFault === undefined
    ? { entity, samples }
    : { entity, samples, flaw: "os_metrics_shape", flawAt: firstFault };
}

const diskMembers = [
  "readIOsPS",
  "writeIOsPS",
  "avgQueueLen",
  "diskQueueDepth",
  "readLatency",
  "writeLatency",
] as const;
/** Where one device is named so it holds the data; the others are parts of it or the system's. */
const isDataDisk = (disk: JsonObject): boolean => disk.device === "rdsdev";

/** Reads the parts of a document that may be missing, and remembers the first that is there and not what it should be. */
class PartReader {
  firstFault: string | undefined;
  readonly #document: JsonObject;

  constructor(document: JsonObject) {
    this.#document = document;
  }

  numbers<K extends string>(part: string, members: readonly K[]): Partial<Record<K, number>> {
    const value = this.#document[part];
    const numbers: Partial<Record<K, number>> = {};
    if (!isObject(value)) {
      if (value !== undefined && value !== null) this.firstFault ??= part;
      return numbers;
    }
    for (const member of members) {
      const number = value[member];
      if (Number.isFinite(number)) numbers[member] = number as number;
      else if (number !== undefined && number !== null) this.firstFault ??= `${part}.${member}`;
    }
    return numbers;
  }

  /** By member, the numbers of all items, or of those preferred where there are any. */
  lists<K extends string>(
    part: string,
    members: readonly K[],
    preferred: (item: JsonObject) => boolean = () => false,
  ): Record<K, number[]> {
    const value = this.#document[part];
    const numbers = Object.fromEntries(members.map((m) => [m, [] as number[]])) as Record<K, number[]>;
    if (!Array.isArray(value)) {
      if (value !== undefined && value !== null) this.firstFault ??= part;
      return numbers;
    }
    const items = (value as unknown[]).filter(isObject);
    if (items.length < value.length) this.firstFault ??= `${part}[]`;
    const chosen = items.filter(preferred);
    for (const item of chosen.length > 0 ? chosen : items) {
      for (const member of members) {
        const number = item[member];
        if (Number.isFinite(number)) numbers[member].push(number as number);
        else if (number !== undefined && number !== null) this.firstFault ??= `${part}[].${member}`;
      }
    }
    return numbers;
  }
}

/** Buffers and cache count as free: the kernel gives them up when asked. All in KB. */
function usedPercent({ total, free, cached = 0, buffers = 0 }: Partial<Record<string, number>>): number | undefined {
  if (total === undefined || free === undefined || !(total > 0)) return undefined;
  return (100 * (total - free - cached - buffers)) / total;
}

const sumOf = (numbers: readonly number[]): number | undefined =>
  numbers.length > 0 ? numbers.reduce((sum, v) => sum + v, 0) : undefined;

const meanOf = (numbers: readonly number[]): number | undefined =>
  numbers.length > 0 ? numbers.reduce((sum, v) => sum + v, 0) / numbers.length : undefined;

const largestOf = (numbers: readonly number[]): number | undefined =>
  numbers.length > 0 ? numbers.reduce((largest, v) => Math.max(largest, v)) : undefined;
