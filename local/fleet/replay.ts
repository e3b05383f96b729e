import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { WeirError } from "../../streams/index.ts";
import {
  minuteMs,
  noInjection,
  type StreamRecord,
  type TelemetryRound,
  type Topology,
  type TruthIncident,
} from "./types.ts";
import { dataRecord, eventId, idTail, type LogEvent, metricDirective, metricDocument, metricsGroup } from "./wire.ts";

/** One hour of a machine is one record: 60 documents of some 40 metrics are about 100 KB before gzip. */
const replayRoundMs = 60 * minuteMs;

/** Labels of one machine, a row a minute; `labels[i]` is that of `fromMs + i` minutes: 1 anomalous, 0 not. */
export interface MachineLabels {
  readonly fromMs: number;
  readonly labels: Uint8Array;
}

export interface ReplayMachine {
  readonly name: string;
  /** Column names without the time. */
  readonly metrics: readonly string[];
  readonly rows: number;
  /** Of the first and, exclusive, behind the last row. */
  readonly startMs: number;
  readonly endMs: number;
  /** Null where the machine has no label file. */
  readonly labelled: MachineLabels | null;
  /** The file as it is, unpacked, and where its first row begins. */
  readonly csv: Buffer;
  readonly firstRow: number;
}

export interface ReplayPlan {
  readonly machines: readonly ReplayMachine[];
  readonly startMs: number;
  readonly endMs: number;
  /** Every run of anomalous minutes. */
  readonly truth: readonly TruthIncident[];
  readonly topology: Topology;
}

/** What may be learnt from and what may not, of one machine or of all. */
export interface HistoryBounds {
  readonly startMs: number;
  /** Where labels begin. */
  readonly labelledFromMs: number;
  /** 60 % through the labelled part. From here on nothing may be learnt. */
  readonly examFromMs: number;
  readonly endMs: number;
}

export interface ReplayHistory extends HistoryBounds {
  readonly machines: readonly (HistoryBounds & MachineLabels & { readonly machine: string })[];
}

/**
 * Reads a folder of `<machine>.csv[.gz]` with a `timestamp` column and metrics, and `<machine>.labels.csv[.gz]` beside them.
 *
 * `machines` empty means all of the folder. Throws `REPLAY_INPUT` where a file is missing or its times do not ascend.
 */
export function planReplay(options: { readonly dir: string; readonly machines?: readonly string[] }): ReplayPlan {
  const { dir } = options;
  const names = options.machines?.length ? [...new Set(options.machines)] : machinesIn(dir);
  if (names.length === 0) throw refused(`${dir} holds no machine's CSV file.`);
  const machines = names.map((name) => readMachine(dir, name));
  return {
    machines,
    startMs: Math.min(...machines.map((m) => m.startMs)),
    endMs: Math.max(...machines.map((m) => m.endMs)),
    truth: machines.flatMap(truthOf).sort((a, b) => a.startMs - b.startMs),
    topology: Object.fromEntries(machines.map((m) => [m.name, m.name])),
  };
}

/**
 * All rows of all machines in time order, from `fromMs` on: a round an hour, in it one record of metric documents for each
 * machine. A cell that is no finite number is left out of its document.
 */
export function* replayRounds(plan: ReplayPlan, fromMs: number = plan.startMs): Generator<TelemetryRound> {
  const readers = plan.machines.map((machine) => documentsOf(machine, fromMs));
  for (let beginMs = fromMs; beginMs < plan.endMs; ) {
    const gridMs = beginMs - ((beginMs - plan.startMs) % replayRoundMs);
    const clockMs = Math.min(plan.endMs, gridMs + replayRoundMs);
    const records: StreamRecord[] = [];
    plan.machines.forEach((machine, m) => {
      const events = readers[m]!(clockMs);
      if (events.length > 0) records.push(dataRecord({ logGroup: metricsGroup, logStream: machine.name }, events));
    });
    yield { clockMs, records, injected: noInjection };
    beginMs = clockMs;
  }
}

/**
 * Bounds and labels for training. Overall, history ends where the first machine's does, so that nothing of any machine's
 * exam is learnt from. Throws `REPLAY_INPUT` where no machine has labels.
 */
export function replayHistory(plan: ReplayPlan): ReplayHistory {
  const machines = plan.machines.flatMap((m) => {
    if (!m.labelled) return [];
    const { fromMs, labels } = m.labelled;
    const examFromMs = fromMs + Math.floor(labels.length * 0.6) * minuteMs;
    return [
      { machine: m.name, startMs: m.startMs, labelledFromMs: fromMs, examFromMs, endMs: m.endMs, fromMs, labels },
    ];
  });
  if (machines.length === 0) throw refused("None of the machines has a label file.");
  return {
    startMs: plan.startMs,
    labelledFromMs: Math.min(...machines.map((m) => m.labelledFromMs)),
    examFromMs: Math.min(...machines.map((m) => m.examFromMs)),
    endMs: plan.endMs,
    machines,
  };
}

function readMachine(dir: string, name: string): ReplayMachine {
  const csv = readTable(dir, name);
  if (!csv) throw refused(`${dir} holds neither ${name}.csv nor ${name}.csv.gz.`);
  const header = lineAt(csv, 0);
  const [time, ...metrics] = header.text.split(",");
  if (time !== "timestamp" || metrics.length === 0)
    throw refused(`${name}: the header is not "timestamp" and metrics.`);
  if (new Set(metrics).size < metrics.length || metrics.some((m) => m === "" || m === "InstanceId" || m === "_aws"))
    throw refused(`${name}: the metric names in the header are not distinct and usable.`);
  const times = timesOf(csv, name);
  const labelTable = readTable(dir, `${name}.labels`);
  return {
    name,
    metrics,
    rows: times.length,
    startMs: times[0]!,
    endMs: times.at(-1)! + minuteMs,
    labelled: labelTable && readLabels(labelTable, name),
    csv,
    firstRow: header.next,
  };
}

/** The times of all rows; they must ascend. */
function timesOf(csv: Buffer, name: string): number[] {
  const times: number[] = [];
  let line = lineAt(csv, 0);
  while (line.next < csv.length) {
    line = lineAt(csv, line.next);
    if (line.text === "") continue;
    const timeMs = Date.parse(line.text.slice(0, Math.max(0, line.text.indexOf(","))));
    if (!(timeMs > (times.at(-1) ?? -1)))
      throw refused(`${name}, row ${times.length + 1}: the time does not follow the one before.`);
    times.push(timeMs);
  }
  if (times.length === 0) throw refused(`${name} has no rows.`);
  return times;
}

function readLabels(csv: Buffer, name: string): MachineLabels {
  const times = timesOf(csv, `${name}.labels`);
  const fromMs = times[0]!;
  const labels = new Uint8Array((times.at(-1)! - fromMs) / minuteMs + 1);
  let line = lineAt(csv, 0);
  for (const timeMs of times) {
    do line = lineAt(csv, line.next);
    while (line.text === "");
    labels[(timeMs - fromMs) / minuteMs] = line.text.endsWith(",1") ? 1 : 0;
  }
  return { fromMs, labels };
}

function truthOf(machine: ReplayMachine): TruthIncident[] {
  if (!machine.labelled) return [];
  const { fromMs, labels } = machine.labelled;
  const incidents: TruthIncident[] = [];
  for (let i = 0; i < labels.length; i++) {
    if (labels[i] !== 1) continue;
    const first = i;
    while (labels[i] === 1) i++;
    const [startMs, endMs] = [fromMs + first * minuteMs, fromMs + i * minuteMs];
    incidents.push({ entity: machine.name, entityGroup: machine.name, kind: "labelled", startMs, endMs });
  }
  return incidents;
}

/** Reads on in the machine's file: each call gives the events below its argument that no call gave before. */
function documentsOf(machine: ReplayMachine, fromMs: number): (belowMs: number) => LogEvent[] {
  const directive = metricDirective(
    "Weir/Replay",
    machine.metrics.map((Name) => ({ Name })),
  );
  const tail = idTail(`replay/${machine.name}`);
  let at = machine.firstRow;
  return (belowMs) => {
    const events: LogEvent[] = [];
    while (at < machine.csv.length) {
      const line = lineAt(machine.csv, at);
      const [time, ...cells] = line.text.split(",");
      const timestamp = Date.parse(time!);
      if (timestamp >= belowMs) break;
      at = line.next;
      if (line.text === "" || timestamp < fromMs) continue;
      const values: Record<string, number> = {};
      machine.metrics.forEach((metric, i) => {
        const cell = cells[i]?.trim() ?? "";
        if (cell !== "" && Number.isFinite(Number(cell))) values[metric] = Number(cell);
      });
      const message = metricDocument(directive, timestamp, machine.name, values);
      events.push({ id: eventId(timestamp, 0, 0, tail), timestamp, message });
    }
    return events;
  };
}

/** All `<machine>.csv[.gz]` of the folder that hold metrics over time, in order of name. */
function machinesIn(dir: string): string[] {
  if (!existsSync(dir)) throw refused(`There is no folder ${dir}.`);
  const names = readdirSync(dir).flatMap((file) => /^(.+)\.csv(\.gz)?$/.exec(file)?.[1] ?? []);
  return [...new Set(names)]
    .filter((name) => !name.endsWith(".labels") && lineAt(readTable(dir, name)!, 0).text.startsWith("timestamp,"))
    .sort();
}

function readTable(dir: string, name: string): Buffer | null {
  const plain = join(dir, `${name}.csv`);
  if (existsSync(plain)) return readFileSync(plain);
  return existsSync(`${plain}.gz`) ? gunzipSync(readFileSync(`${plain}.gz`)) : null;
}

function lineAt(csv: Buffer, at: number): { text: string; next: number } {
  const end = csv.indexOf(10, at);
  const stop = end < 0 ? csv.length : end;
  return { text: csv.toString("utf8", at, stop).replace(/\r$/, ""), next: stop + 1 };
}

const refused = (fault: string) =>
  new WeirError(
    "REPLAY_INPUT",
    "fatal",
    fault,
    "Give a folder of <machine>.csv[.gz] files with a timestamp column in time order.",
  );
