import { setTimeout as sleep } from "node:timers/promises";
import {
  DescribeStreamSummaryCommand,
  ListShardsCommand,
  MergeShardsCommand,
  type Shard,
  SplitShardCommand,
} from "@aws-sdk/client-kinesis";
import { fleetRounds, roundMs, type TelemetryRound } from "../../local/fleet/index.ts";
import { until } from "../support/kafka.ts";
import { BrokerProxy } from "./broker-proxy.ts";
import { Crew } from "./crew.ts";
import { rowsUpToMs } from "./drained.ts";
import type { Environment } from "./environment.ts";
import { Commands } from "./experiments.ts";

/** A round is ten simulated minutes. */
const ROUND_EVERY_MS = 800;
/** So far the telemetry may be ahead of the rows: what waits when the last fault has struck has to be worked off. */
const MAX_AHEAD_MS = 15 * roundMs;
/** Open shards beyond which none is split, and below which none are merged. */
const MAX_SHARDS = 5;

/** An environment with Weir at work in it, telemetry coming all the time. */
export class World {
  readonly env: Environment;
  readonly crew: Crew;
  readonly proxies: readonly BrokerProxy[];
  readonly #commands: Commands;
  readonly #stop = new AbortController();
  /** Rounds and changes of shards take turns: a shard's clock is never half told. */
  #turn: Promise<unknown> = Promise.resolve();
  #writing: Promise<void> = Promise.resolve();
  #rounds: Iterator<TelemetryRound>;
  #rowsUpToMs: number;

  private constructor(env: Environment, crew: Crew, proxies: readonly BrokerProxy[]) {
    this.env = env;
    this.crew = crew;
    this.proxies = proxies;
    this.#commands = new Commands(env);
    this.#rowsUpToMs = env.scenario.startMs;
    this.#rounds = fleetRounds(env.scenario.plan);
  }

  static async start(env: Environment, groups: boolean): Promise<World> {
    const proxies = await Promise.all(env.cluster.ports.map((port) => BrokerProxy.start(port)));
    const lead = env.cluster.ports.map((port, i) => [port, proxies[i]!.port] as const);
    const crew = new Crew({ dir: env.dir, variables: env.variables, lead, groups });
    const world = new World(env, crew, proxies);
    await crew.running();
    world.#writing = world.#write();
    await world.#commands.begun();
    return world;
  }

  /** Splits a shard or merges two neighbours, whichever the number of open shards allows. */
  reshard(how: "split" | "merge"): Promise<void> {
    return this.#inTurn(async () => {
      const { kinesis, stream } = this.#stream;
      const open = await this.#openShards();
      const splits = open.length <= 1 || (how === "split" && open.length < MAX_SHARDS);
      const [first, second] = splits ? [widest(open)] : open;
      const [from, to] = rangeOf(first!);
      if (splits) {
        const NewStartingHashKey = String((from + to) / 2n + 1n);
        const ShardToSplit = first!.ShardId!;
        await kinesis.send(new SplitShardCommand({ StreamName: stream, ShardToSplit, NewStartingHashKey }));
      } else {
        const [ShardToMerge, AdjacentShardToMerge] = [first!.ShardId!, second!.ShardId!];
        await kinesis.send(new MergeShardsCommand({ StreamName: stream, ShardToMerge, AdjacentShardToMerge }));
      }
      await until("the stream is active again", async () => {
        const { StreamDescriptionSummary } = await kinesis.send(
          new DescribeStreamSummaryCommand({ StreamName: stream }),
        );
        return StreamDescriptionSummary!.StreamStatus === "ACTIVE";
      });
    });
  }

  /** Ends the telemetry: what was written is all there will be. Each open shard hears its end. */
  async endOfInput(): Promise<void> {
    this.#stop.abort();
    await this.#writing;
    await this.#commands.given();
    await this.env.writer.repeatClock();
  }

  async stop(): Promise<(number | null)[]> {
    this.#stop.abort();
    await this.#writing.catch(() => undefined);
    const codes = await this.crew.stop();
    await Promise.all(this.proxies.map((proxy) => proxy.stop()));
    return codes;
  }

  async #write(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      const next = this.#rounds.next();
      if (next.done) return;
      await this.#inTurn(() => this.env.writer.putRound(next.value));
      this.#commands.afterRound(next.value.clockMs);
      do await sleep(ROUND_EVERY_MS, undefined, { signal }).catch(() => undefined);
      while (!signal.aborted && (await this.#isFarAhead()));
    }
  }

  /** Asked anew only when what was known last is too long ago. */
  async #isFarAhead(): Promise<boolean> {
    const nextMs = this.env.writer.state.nextMs!;
    if (nextMs - this.#rowsUpToMs <= MAX_AHEAD_MS) return false;
    const upToMs = await rowsUpToMs(this.env).catch(() => 0); // brokers are away
    this.#rowsUpToMs = Math.max(this.#rowsUpToMs, upToMs);
    return nextMs - this.#rowsUpToMs > MAX_AHEAD_MS;
  }

  get #stream() {
    return { kinesis: this.env.servers.kinesis, stream: this.env.config.kinesisStream };
  }

  #inTurn<T>(act: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(act);
    this.#turn = mine.catch(() => undefined);
    return mine;
  }

  async #openShards(): Promise<Shard[]> {
    const { kinesis, stream } = this.#stream;
    const shards: Shard[] = [];
    for (let token: string | undefined; ; ) {
      const page = await kinesis.send(new ListShardsCommand(token ? { NextToken: token } : { StreamName: stream }));
      shards.push(...(page.Shards ?? []));
      token = page.NextToken;
      if (token) continue;
      return shards
        .filter((s) => s.SequenceNumberRange!.EndingSequenceNumber === undefined)
        .sort((a, b) => (rangeOf(a)[0] < rangeOf(b)[0] ? -1 : 1));
    }
  }
}

const rangeOf = ({ HashKeyRange: range }: Shard): [bigint, bigint] => [
  BigInt(range!.StartingHashKey!),
  BigInt(range!.EndingHashKey!),
];

const widest = (shards: readonly Shard[]): Shard =>
  shards.reduce((best, shard) => (widthOf(shard) > widthOf(best) ? shard : best));
const widthOf = (shard: Shard): bigint => rangeOf(shard)[1] - rangeOf(shard)[0];
