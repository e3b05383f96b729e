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
  ["mem_available_percent", { name: "MemoryUtilization", complement: true }],
  ["Processor % Processor Time", { name: "CPUUtilization" }],
  ["Processor % Idle Time", { name: "CPUUtilization", complement: true }],
  ["Memory % Committed Bytes In Use", { name: "MemoryUtilization" }],
  ["net_bytes_recv", { name: "NetworkIn" }],
  ["net_bytes_sent", { name: "NetworkOut" }],
  ["diskio_reads", { name: "DiskReadOps" }],
  ["diskio_writes", { name: "DiskWriteOps" }],
  ["EBSReadOps", { name: "DiskReadOps" }],
  ["EBSWriteOps", { name: "DiskWriteOps" }],
]);

/** Classic load balancers name as the application load balancers do; only in their namespace, for `Latency` is others' too. */
const classicLoadBalancer: ReadonlyMap<string, string> = new Map([
  ["Latency", "TargetResponseTime"],
  ["BackendConnectionErrors", "TargetConnectionErrorCount"],
  ["HTTPCode_Backend_2XX", "HTTPCode_Target_2XX_Count"],
  ["HTTPCode_Backend_3XX", "HTTPCode_Target_3XX_Count"],
  ["HTTPCode_Backend_4XX", "HTTPCode_Target_4XX_Count"],
  ["HTTPCode_Backend_5XX", "HTTPCode_Target_5XX_Count"],
  ["HTTPCode_ELB_4XX", "HTTPCode_ELB_4XX_Count"],
  ["HTTPCode_ELB_5XX", "HTTPCode_ELB_5XX_Count"],
  ["SpilloverCount", "RejectedConnectionCount"],
]);

/** Network load balancers count flows where the others count connections. */
const networkLoadBalancer: ReadonlyMap<string, string> = new Map([
  ["ActiveFlowCount", "ActiveConnectionCount"],
  ["NewFlowCount", "NewConnectionCount"],
]);

const namespaces: ReadonlyMap<string, ReadonlyMap<string, string>> = new Map([
  ["AWS/ELB", classicLoadBalancer],
  ["AWS/NetworkELB", networkLoadBalancer],
]);

/** The name under which a metric of a namespace is known here; unknown names stay as they are. */
export const canonicalMetricName = (name: string, namespace = ""): string =>
  namespaces.get(namespace)?.get(name) ?? namings.get(name)?.name ?? name;

/** True where the writer's value is 100 minus ours. */
export const isComplement = (name: string): boolean => namings.get(name)?.complement === true;
