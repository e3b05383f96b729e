import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import {
  type KinesisClient,
  ListShardsCommand,
  type ListShardsCommandInput,
  PutRecordsCommand,
  type PutRecordsRequestEntry,
  type Shard,
} from "@aws-sdk/client-kinesis";
import { WeirError } from "../../streams/index.ts";
import { Ledger } from "./ledger.ts";
import { type Injection, noInjection, type TelemetryRound } from "./types.ts";
import { clockBytes } from "./wire.ts";

/** Kinesis' limits on one PutRecords request: entries, and bytes of data and partition keys. */
const maxEntries = 500;
const maxRequestBytes = 5_000_000;
const maxAttempts = 12;

/** What identifies the telemetry, so that another one is not written behind it by mistake. */
export type FleetOrigin = Readonly<Record<string, string | number>>;

/** How far a fleet has been written, over all starts. */
export interface FleetState {
  readonly origin: FleetOrigin;
  /** Where the next round begins: the clock of the last one written. Null: nothing written yet. */
  readonly nextMs: number | null;
  readonly rounds: number;
  /** Records of telemetry, clocks not counted, and their bytes as put. */
  readonly records: number;
  readonly bytes: number;
  /** Entries of the ledger, repeated ids included. */
  readonly ids: number;
  readonly injected: Injection;
}

export interface FleetWriterOptions {
  readonly client: KinesisClient;
  readonly stream: string;
  readonly ledgerFile: string;
  readonly stateFile: string;
  readonly origin: FleetOrigin;
  /** Waits between attempts; passed in so that tests need not. */
  readonly sleep: (ms: number) => Promise<void>;
}

/**
 * Puts rounds into a Kinesis stream, one after another.
 *
 * For each round, in this order: W1 its records, each accepted before the next request goes out; W2 the clock, into
 * every open shard; W3 the ledger; W4 the state file. So a clock never runs ahead of its events, the ledger names nothing
 * that was not put, and a process that dies in between puts the round again: its ids are the same, and nothing is lost.
 */
export class FleetWriter {
  readonly #options: FleetWriterOptions;
  readonly #ledger: Ledger;
  #state: FleetState;
  /** Open shards as last listed: asking each round costs more than putting it. */
  #shards: readonly Shard[] = [];

  /** Throws `FLEET_STATE_MISMATCH` where the state file tells of other telemetry. */
  constructor(options: FleetWriterOptions) {
    const { ledgerFile, stateFile, origin } = options;
    for (const file of [ledgerFile, stateFile]) mkdirSync(dirname(file), { recursive: true });
    this.#options = options;
    this.#ledger = new Ledger(ledgerFile);
    this.#state = readFleetState(stateFile) ?? {
      origin,
      nextMs: null,
      rounds: 0,
      records: 0,
      bytes: 0,
      ids: 0,
      injected: noInjection,
    };
    if (!sameOrigin(this.#state.origin, origin))
      throw new WeirError(
        "FLEET_STATE_MISMATCH",
        "fatal",
        `${stateFile} tells of telemetry ${JSON.stringify(this.#state.origin)}, not ${JSON.stringify(origin)}.`,
        "Start with the former options, or with a fresh run folder.",
      );
  }

  get state(): FleetState {
    return this.#state;
  }

  /** Says again how far the telemetry goes: a stream that was lost and made anew has shards that never heard it. */
  async repeatClock(): Promise<void> {
    if (this.#state.nextMs !== null) await this.#putClock(this.#state.nextMs);
  }

  /** Throws `FLEET_PUT_FAILED` when Kinesis keeps refusing; the round can then be put again. */
  async putRound(round: TelemetryRound): Promise<void> {
    let bytes = 0;
    let entries: PutRecordsRequestEntry[] = [];
    let requestBytes = 0;
    for (const { data, partitionKey } of round.records) {
      const size = data.length + Buffer.byteLength(partitionKey);
      if (entries.length === maxEntries || requestBytes + size > maxRequestBytes) {
        await this.#put(entries);
        entries = [];
        requestBytes = 0;
      }
      entries.push({ Data: data, PartitionKey: partitionKey });
      requestBytes += size;
      bytes += data.length;
    }
    await this.#put(entries);
    await this.#putClock(round.clockMs);

    const ids = round.records.flatMap((r) => r.eventIds);
    this.#ledger.append(ids);
    const s = this.#state;
    const sum = (kind: keyof Injection) => s.injected[kind] + round.injected[kind];
    this.#state = {
      origin: s.origin,
      nextMs: round.clockMs,
      rounds: s.rounds + 1,
      records: s.records + round.records.length,
      bytes: s.bytes + bytes,
      ids: s.ids + ids.length,
      injected: { late: sum("late"), malformed: sum("malformed"), duplicate: sum("duplicate"), drop: sum("drop") },
    };
    writeState(this.#options.stateFile, this.#state);
  }

  /** One clock record into every open shard. A shard split or merged meanwhile shows in the answer: then they are listed anew. */
  async #putClock(clockMs: number): Promise<void> {
    const Data = clockBytes(clockMs);
    const reached = new Set<string>();
    for (let attempt = 0; attempt < maxAttempts; attempt++) {
      if (this.#shards.length === 0) this.#shards = await this.#openShards();
      const missing = this.#shards.filter((shard) => !reached.has(shard.ShardId!));
      if (missing.length === 0) return;
      const entries = missing.map((shard) => ({
        Data,
        PartitionKey: "weir-clock",
        ExplicitHashKey: shard.HashKeyRange!.StartingHashKey!,
      }));
      for (let i = 0; i < entries.length; i += maxEntries)
        for (const shard of await this.#put(entries.slice(i, i + maxEntries))) reached.add(shard);
      const listed = new Set(this.#shards.map((shard) => shard.ShardId!));
      if ([...reached].some((shard) => !listed.has(shard))) this.#shards = [];
    }
    throw putFailed(this.#options.stream, "its shards change faster than they can be listed");
  }

  async #openShards(): Promise<Shard[]> {
    const shards: Shard[] = [];
    let input: ListShardsCommandInput = { StreamName: this.#options.stream };
    for (;;) {
      const page = await this.#options.client.send(new ListShardsCommand(input));
      shards.push(...(page.Shards ?? []));
      if (!page.NextToken) return shards.filter((s) => s.SequenceNumberRange?.EndingSequenceNumber === undefined);
      input = { NextToken: page.NextToken };
    }
  }

  /** Puts the entries, the refused ones again until none is left; gives the shards they went to. */
  async #put(entries: readonly PutRecordsRequestEntry[]): Promise<Set<string>> {
    const shards = new Set<string>();
    let left = [...entries];
    let refusal = "";
    for (let attempt = 0; left.length > 0; attempt++) {
      if (attempt === maxAttempts) throw putFailed(this.#options.stream, refusal);
      if (attempt > 0) await this.#options.sleep(Math.min(5_000, 50 * 2 ** attempt));
      const reply = await this.#options.client.send(
        new PutRecordsCommand({ StreamName: this.#options.stream, Records: left }),
      );
      const results = reply.Records ?? [];
      left = left.filter((_, i) => {
        const result = results[i];
        if (result?.ShardId && !result.ErrorCode) {
          shards.add(result.ShardId);
          return false;
        }
        refusal = `${result?.ErrorCode ?? "no answer"} ${result?.ErrorMessage ?? ""}`.trim();
        return true;
      });
    }
    return shards;
  }
}

/** What a former start left; null where there was none. Throws `FLEET_STATE_UNREADABLE`. */
export function readFleetState(stateFile: string): FleetState | null {
  if (!existsSync(stateFile)) return null;
  try {
    const state: FleetState = JSON.parse(readFileSync(stateFile, "utf8"));
    if (typeof state.origin === "object" && state.origin !== null && "nextMs" in state) return state;
  } catch {
    // Told below, together with JSON of another shape.
  }
  throw new WeirError(
    "FLEET_STATE_UNREADABLE",
    "fatal",
    `${stateFile} does not hold the state of a fleet.`,
    "Start with a fresh run folder.",
  );
}

/** Renamed into place: a reader finds the old state or the new one. */
function writeState(stateFile: string, state: FleetState): void {
  writeFileSync(`${stateFile}.new`, `${JSON.stringify(state)}\n`);
  renameSync(`${stateFile}.new`, stateFile);
}

function sameOrigin(a: FleetOrigin, b: FleetOrigin): boolean {
  const line = (o: FleetOrigin) => JSON.stringify(Object.entries(o).sort(([x], [y]) => (x < y ? -1 : 1)));
  return line(a) === line(b);
}

const putFailed = (stream: string, why: string) =>
  new WeirError(
    "FLEET_PUT_FAILED",
    "retry",
    `Kinesis stream ${stream} did not take the telemetry after ${maxAttempts} attempts: ${why}.`,
    "See whether the stream exists and has shards enough for the speed, then start again: it goes on where it stopped.",
  );
