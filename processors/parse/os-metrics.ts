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
 * instance name in a stream of its own and becomes an entity of its own.
 */
export function readOsMetrics(document: JsonObject, stream: string): FoundMetrics | string {
  const { instanceID, cpuUtilization: cpu, memory, swap, loadAverageMinute: load } = document;
  if (typeof instanceID !== "string" || instanceID === "") return "instanceID";
  if (!isObject(cpu) || typeof cpu.total !== "number") return "cpuUtilization.total";
  const samples: MetricSample[] = [];
  const add = (name: string, value: unknown, unit: string, factor = 1) => {
    if (typeof value === "number") samples.push({ name, values: [value * factor], unit });
  };
  add("CPUUtilization", cpu.total, "Percent");
  if (isObject(memory)) {
    add("MemoryUtilization", usedPercent(memory), "Percent");
    add("FreeableMemory", memory.free, "Bytes", 1024);
  }
  if (isObject(swap)) add("SwapUsage", usedSwap(swap), "Bytes", 1024);
  if (isObject(load)) add("LoadAverage", load.one, "None");
  add("NetworkReceiveThroughput", sumOf(document.network, "rx"), "Bytes/Second");
  add("NetworkTransmitThroughput", sumOf(document.network, "tx"), "Bytes/Second");
  const disks = dataDisks(document.diskIO);
  add("ReadIOPS", sumOf(disks, "readIOsPS"), "Count/Second");
  add("WriteIOPS", sumOf(disks, "writeIOsPS"), "Count/Second");
  add("DiskQueueDepth", sumOf(disks, "avgQueueLen") ?? sumOf(disks, "diskQueueDepth"), "Count");
  add("ReadLatency", meanOf(disks, "readLatency"), "Milliseconds");
  add("WriteLatency", meanOf(disks, "writeLatency"), "Milliseconds");
  add("FileSystemUtilization", largestOf(document.fileSys, "usedPercent"), "Percent");
  return { entity: stream.endsWith("-secondary") ? `${instanceID}-secondary` : instanceID, samples };
}

/** Buffers and cache count as free: the kernel gives them up when asked. All in KB. */
function usedPercent({ total, free, cached, buffers }: JsonObject): number | undefined {
  if (typeof total !== "number" || typeof free !== "number" || !(total > 0)) return undefined;
  const reclaimable = (typeof cached === "number" ? cached : 0) + (typeof buffers === "number" ? buffers : 0);
  return (100 * (total - free - reclaimable)) / total;
}

const usedSwap = ({ total, free }: JsonObject): number | undefined =>
  typeof total === "number" && typeof free === "number" ? total - free : undefined;

function dataDisks(diskIO: unknown): unknown {
  if (!Array.isArray(diskIO)) return [];
  const data = (diskIO as unknown[]).filter((disk) => isObject(disk) && disk.device === "rdsdev");
  return data.length > 0 ? data : diskIO;
}

function numbersOf(list: unknown, key: string): number[] {
  if (!Array.isArray(list)) return [];
  return (list as unknown[]).flatMap((item) => {
    const value = isObject(item) ? item[key] : undefined;
    return typeof value === "number" ? [value] : [];
  });
}

function sumOf(list: unknown, key: string): number | undefined {
  const numbers = numbersOf(list, key);
  return numbers.length > 0 ? numbers.reduce((sum, v) => sum + v, 0) : undefined;
}

function meanOf(list: unknown, key: string): number | undefined {
  const numbers = numbersOf(list, key);
  return numbers.length > 0 ? numbers.reduce((sum, v) => sum + v, 0) / numbers.length : undefined;
}

function largestOf(list: unknown, key: string): number | undefined {
  const numbers = numbersOf(list, key);
  return numbers.length > 0 ? numbers.reduce((largest, v) => Math.max(largest, v)) : undefined;
}
