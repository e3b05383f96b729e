import { type Delivery, faultsOf, recordsWithFaults } from "./inject.ts";
import { databaseLines, functionLines, hostLines, instanceLines, type Line } from "./log-lines.ts";
import { hash } from "./noise.ts";
import type { FleetPlan, Instance } from "./plan.ts";
import { type MinuteState, minuteState } from "./signals.ts";
import { minuteMs, type TelemetryRound } from "./types.ts";
import {
  controlRecord,
  eventId,
  idTail,
  type LogEvent,
  machineDirective,
  metricDocument,
  metricsGroup,
} from "./wire.ts";

/**
 * Each log stream delivers what it gathered in so much simulated time. A longer round means fewer and larger records;
 * at ten minutes 60 instances make about 12,000 records a day, which local emulators take within half a minute.
 */
export const roundMs = 10 * minuteMs;
/** A round in so many begins with a health check of CloudWatch. */
const roundsPerControl = 12;

const directive = machineDirective("CWAgent");

/**
 * The telemetry of the plan, from `fromMs` on (default: its start). Same seed and times, same bytes; rounds end on a grid
 * counted from the plan's start, so a run resumed at an earlier round's clock goes on with the next.
 */
export function* fleetRounds(plan: FleetPlan, fromMs: number = plan.options.startMs): Generator<TelemetryRound> {
  const { seed, startMs, endMs, inject } = plan.options;
  const tail = idTail(`fleet/${seed}`);
  const rounds = Math.ceil((endMs - startMs) / roundMs);
  let beginMs = fromMs;
  while (beginMs < endMs) {
    const round = Math.floor((beginMs - startMs) / roundMs);
    const clockMs = Math.min(endMs, startMs + (round + 1) * roundMs);
    const deliveries = deliveriesOf(plan, beginMs, clockMs, tail);
    const { records, injected } = recordsWithFaults(
      deliveries,
      faultsOf(seed, inject, round, rounds),
      seed,
      tail,
      beginMs,
    );
    if (round % roundsPerControl === 0) records.unshift(controlRecord(beginMs));
    yield { clockMs, records, injected };
    beginMs = clockMs;
  }
}

function deliveriesOf(plan: FleetPlan, beginMs: number, endMs: number, tail: string): Delivery[] {
  const { seed } = plan.options;
  const metrics: LogEvent[][] = plan.services.map(() => []);
  const deliveries: Delivery[] = [];
  const deliver = (logGroup: string, logStream: string, number: number, events: readonly LogEvent[]) => {
    if (events.length > 0) deliveries.push({ stream: { logGroup, logStream }, number, events, isMetrics: false });
  };
  /** Stream numbers: metrics of an instance, its own log, its host's log; then databases and functions. */
  const numberOf = (kind: number, member: number) => kind * 1_000_000 + member;
  const inMinutes = (number: number, lines: (atMs: number) => readonly Line[]) => {
    const events: LogEvent[] = [];
    for (let atMs = beginMs; atMs < endMs; atMs += minuteMs)
      lines(atMs).forEach((line, i) => {
        events.push({
          id: eventId(line.timestampMs, number, i, tail),
          timestamp: line.timestampMs,
          message: line.text,
        });
      });
    return events;
  };

  for (const instance of plan.instances) {
    const states = new Map<number, MinuteState>();
    for (let atMs = beginMs; atMs < endMs; atMs += minuteMs) {
      const state = minuteState(seed, instance, atMs);
      if (state === null) continue;
      states.set(atMs, state);
      metrics[instance.service]!.push(metricEvent(seed, instance, state, atMs, numberOf(0, instance.number), tail));
    }
    const own = numberOf(1, instance.number);
    const said = (lines: typeof instanceLines) => (atMs: number) => {
      const state = states.get(atMs);
      return state ? lines(seed, instance, state, atMs) : [];
    };
    const events = inMinutes(own, said(instanceLines));
    if (instance.logs === "syslog") deliver("/aws/ec2/system", instance.entity, own, events);
    else {
      deliver("/application/logs", `${instance.entityGroup}/${instance.entity}`, own, events);
      const host = numberOf(2, instance.number);
      deliver("/aws/ec2/system", instance.entity, host, inMinutes(host, said(hostLines)));
    }
  }
  for (const database of plan.databases) {
    const number = numberOf(3, database.service);
    deliver(
      "/aws/rds/postgresql",
      database.name,
      number,
      inMinutes(number, (atMs) => databaseLines(seed, database, atMs)),
    );
  }
  for (const fn of plan.functions) {
    const number = numberOf(4, fn.service);
    // One group for all functions, as some teams set it up: the stream names the function.
    deliver(
      "/aws/lambda/functions",
      fn.name,
      number,
      inMinutes(number, (atMs) => functionLines(seed, fn, atMs)),
    );
  }
  plan.services.forEach((service, s) => {
    const events = metrics[s]!.sort((a, b) => a.timestamp - b.timestamp);
    const stream = { logGroup: metricsGroup, logStream: service };
    if (events.length > 0) deliveries.push({ stream, number: s, events, isMetrics: true });
  });
  return deliveries;
}

function metricEvent(
  seed: number,
  instance: Instance,
  s: MinuteState,
  atMs: number,
  stream: number,
  tail: string,
): LogEvent {
  // The agent reports at its own second of the minute.
  const timestamp = atMs + (hash(seed, instance.number, 0, 91) % minuteMs);
  const message = metricDocument(directive, timestamp, instance.entity, {
    CPUUtilization: Math.round(s.cpu * 100) / 100,
    MemoryUtilization: Math.round(s.memory * 100) / 100,
    NetworkIn: Math.round(s.networkIn),
    NetworkOut: Math.round(s.networkOut),
    DiskReadOps: Math.round(s.diskRead),
    DiskWriteOps: Math.round(s.diskWrite),
  });
  return { id: eventId(timestamp, stream, 0, tail), timestamp, message };
}
