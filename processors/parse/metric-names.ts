interface Naming {
  readonly name: string;
  /** The agent reports the share not used: 100 minus it is ours. */
  readonly complement?: true;
}

/**
 * Names that agents and other namespaces give to the metrics of EC2. A guest's and a hypervisor's CPU are not equal, but
 * a fleet reports one of the two.
 */
const namings: ReadonlyMap<string, Naming> = new Map<string, Naming>([
  ["cpu_usage_active", { name: "CPUUtilization" }],
  ["cpu_usage_idle", { name: "CPUUtilization", complement: true }],
  ["mem_used_percent", { name: "MemoryUtilization" }],
  ["net_bytes_recv", { name: "NetworkIn" }],
  ["net_bytes_sent", { name: "NetworkOut" }],
  ["diskio_reads", { name: "DiskReadOps" }],
  ["diskio_writes", { name: "DiskWriteOps" }],
  ["EBSReadOps", { name: "DiskReadOps" }],
  ["EBSWriteOps", { name: "DiskWriteOps" }],
]);

/** The name under which a metric is known here; unknown names stay as they are. */
export const canonicalMetricName = (name: string): string => namings.get(name)?.name ?? name;

/** True where the writer's value is 100 minus ours. */
export const isComplement = (name: string): boolean => namings.get(name)?.complement === true;
