import { WeirError } from "../../streams/index.ts";
import { type Incident, type IncidentKind, scheduleIncidents } from "./incidents.ts";
import { below, hash, uniform } from "./noise.ts";
import { dayMs, type FleetOptions, minuteMs, type Topology, type TruthIncident } from "./types.ts";

/** Something that happens to one instance for a while. Restarts and deploys are part of normal life. */
export interface Happening {
  readonly kind: IncidentKind | "restart" | "deploy";
  readonly startMs: number;
  readonly endMs: number;
  readonly severity: number;
}

export interface Instance {
  readonly number: number;
  /** `i-0` and sixteen hex digits. */
  readonly entity: string;
  /** Its service. */
  readonly entityGroup: string;
  readonly service: number;
  readonly host: string;
  /** Application servers log JSON to /application/logs, plain hosts log syslog only. */
  readonly logs: "application" | "syslog";
  readonly happenings: readonly Happening[];
}

/** A database or function: it sends logs only. */
export interface LogSource {
  readonly entity: string;
  readonly entityGroup: string;
  readonly service: number;
  readonly name: string;
  readonly storms: readonly Incident[];
}

export interface FleetPlan {
  readonly options: FleetOptions;
  readonly instances: readonly Instance[];
  readonly services: readonly string[];
  readonly databases: readonly LogSource[];
  readonly functions: readonly LogSource[];
  readonly truth: readonly TruthIncident[];
  readonly topology: Topology;
}

const serviceNames = [
  "checkout",
  "catalog",
  "payments",
  "search",
  "cart",
  "accounts",
  "shipping",
  "media",
  "pricing",
  "reviews",
  "orders",
  "stock",
  "mail",
  "billing",
  "ranking",
  "sessions",
] as const;
const functionNames = ["thumbnailer", "receipt-mailer", "stock-sync"] as const;
const instancesPerService = 8;

/** Lays out the fleet and everything that will happen to it. Throws `FLEET_OPTIONS` on times or counts it cannot use. */
export function planFleet(options: FleetOptions): FleetPlan {
  check(options);
  const { seed } = options;
  const services = Array.from({ length: Math.max(1, Math.round(options.instances / instancesPerService)) }, (_, s) => {
    const name = serviceNames[s % serviceNames.length]!;
    return s < serviceNames.length ? name : `${name}-${Math.floor(s / serviceNames.length) + 1}`;
  });
  const members: number[][] = services.map(() => []);
  for (let i = 0; i < options.instances; i++) members[i % services.length]!.push(i);
  // Every other service has a database of its own; every third a function.
  const incidents = scheduleIncidents(options, members, (s) => s % 2 === 0);

  const instances = Array.from({ length: options.instances }, (_, number): Instance => {
    const service = number % services.length;
    return {
      number,
      entity: `i-0${hex(seed, number, 0)}${hex(seed, number, 1)}`,
      entityGroup: services[service]!,
      service,
      host: `ip-10-0-${number >> 8}-${number & 255}`,
      logs: service % 4 === 3 ? "syslog" : "application",
      happenings: [
        ...incidents.filter((incident) => incident.instances.includes(number)),
        ...everyday(options, number, service, members[service]!.indexOf(number)),
      ],
    };
  });
  const databases = services.flatMap((group, s) =>
    s % 2 === 0 ? [logSource("rds", `${group}-db`, group, s, incidents)] : [],
  );
  const functions = services.flatMap((group, s) =>
    s % 3 === 0 ? [logSource("lambda", `${group}-${functionNames[(s / 3) % 3]}`, group, s, [])] : [],
  );

  const truth = instances.flatMap((i) => truthOf(i, i.happenings.filter(isIncident), options.endMs));
  truth.push(...databases.flatMap((d) => truthOf(d, d.storms, options.endMs)));
  truth.sort((a, b) => a.startMs - b.startMs || (a.entity < b.entity ? -1 : 1));
  const topology = Object.fromEntries([...instances, ...databases, ...functions].map((e) => [e.entity, e.entityGroup]));
  return { options, instances, services, databases, functions, truth, topology };
}

const hex = (seed: number, number: number, part: number) => hash(seed, number, part, 101).toString(16).padStart(8, "0");

const isIncident = (h: Happening) => h.kind !== "restart" && h.kind !== "deploy";

function logSource(
  type: string,
  name: string,
  entityGroup: string,
  service: number,
  all: readonly Incident[],
): LogSource {
  return { entity: `${type}/${name}`, entityGroup, service, name, storms: all.filter((i) => i.service === service) };
}

function truthOf(
  e: { entity: string; entityGroup: string },
  trouble: readonly { kind: string; startMs: number; endMs: number }[],
  endMs: number,
): TruthIncident[] {
  const { entity, entityGroup } = e;
  return trouble.map((t) => ({
    entity,
    entityGroup,
    kind: t.kind,
    startMs: t.startMs,
    endMs: Math.min(t.endMs, endMs),
  }));
}

/** Restarts (about every third day) and rolling deploys (two on working days) of one instance. */
function everyday(options: FleetOptions, number: number, service: number, rank: number): Happening[] {
  const { seed } = options;
  const happenings: Happening[] = [];
  const add = (kind: "restart" | "deploy", startMs: number, minutes: number) => {
    const endMs = startMs + minutes * minuteMs;
    if (endMs > options.startMs && startMs < options.endMs) happenings.push({ kind, startMs, endMs, severity: 1 });
  };
  for (let day = Math.floor(options.startMs / dayMs) - 1; day * dayMs < options.endMs; day++) {
    if (uniform(seed, number, day, 11) < 0.3)
      add("restart", day * dayMs + below(1440, seed, number, day, 12) * minuteMs, 5);
    const weekday = (day + 4) % 7;
    if (weekday === 0 || weekday === 6) continue;
    for (const turn of [0, 1]) {
      const minute = 8 * 60 + turn * 300 + below(240, seed, service, day, 13 + turn);
      add("deploy", day * dayMs + (minute + 3 * rank) * minuteMs, 3);
    }
  }
  return happenings;
}

function check(options: FleetOptions): void {
  const { seed, instances, startMs, endMs, inject } = options;
  const fault = !Number.isSafeInteger(seed)
    ? `The seed ${seed} is no whole number.`
    : !Number.isSafeInteger(instances) || instances < 1 || instances > 20_000
      ? `${instances} instances is not between 1 and 20,000.`
      : !(startMs % minuteMs === 0 && endMs % minuteMs === 0 && startMs < endMs)
        ? `The time from ${startMs} to ${endMs} is not a stretch of whole minutes.`
        : Object.values(inject).some((n) => !Number.isSafeInteger(n) || n < 0)
          ? `A count to inject in ${JSON.stringify(inject)} is not a whole number from 0 up.`
          : null;
  if (fault) throw new WeirError("FLEET_OPTIONS", "fatal", fault, "Mend the fleet's options and start again.");
}
