import { Command, InvalidArgumentError, Option } from "commander";
import { whole } from "./commands/arguments.ts";
import { addExperimentCommands } from "./commands/experiment-program.ts";
import { unreachable } from "./commands/unreachable.ts";
import { WeirError } from "./streams/index.ts";

/** The `weir` command. Each command loads its own code only: `weir --help` is not to wait for the AWS SDK. */
const program = new Command("weir")
  .description(
    "Watches a fleet of servers: features, scores, incidents and explanations from CloudWatch telemetry, exactly once.",
  )
  .showHelpAfterError("(see --help)")
  .configureHelp({ sortSubcommands: false });

const speed = (text: string) => {
  const value = text === "max" ? 0 : Number(text);
  if (!(value >= 0) || (value === 0 && text !== "max" && text !== "0"))
    throw new InvalidArgumentError('Give simulated seconds a second, such as 60, or "max".');
  return value;
};
const time = (text: string) => {
  const value = Date.parse(text);
  if (Number.isNaN(value) || value > Date.now() || value % 60_000 !== 0)
    throw new InvalidArgumentError("Give a whole minute in the past, such as 2026-01-05T00:00:00Z.");
  return value;
};
const faults = ["late", "malformed", "duplicate", "drop"] as const;
const injection = (text: string, previous: Record<string, number> = {}) => {
  const given = { ...previous };
  for (const part of text.split(",")) {
    const [, name, count] = /^(\w+)=(\d+)$/.exec(part.trim()) ?? [];
    if (!faults.some((f) => f === name))
      throw new InvalidArgumentError(`Give ${faults.join(", ")} with a count, such as late=20,drop=1.`);
    given[name!] = Number(count);
  }
  return given;
};

program
  .command("start", { isDefault: true })
  .description("the whole of Weir on this machine: a local stack, a fleet to watch, and what becomes of it")
  .option("--once", "end when the input is through, in a fresh run folder", false)
  .option("--json", "print the summary as one JSON object on the last line", false)
  .option("--minutes <n>", "simulated minutes of the fleet", whole(1, 527_040), 1_440)
  .option("--instances <n>", "instances of the fleet", whole(1, 20_000), 60)
  .option("--seed <n>", "what the fleet and its troubles are drawn from", whole(0, 4_294_967_295), 1)
  .option("--speed <n>", 'simulated seconds a second, or "max" (default: 60; max with --once)', speed)
  .option("--end <time>", "end of simulated time (default: the last midnight UTC)", time)
  .option("--inject <faults>", "faults on purpose: late=20,malformed=10,duplicate=30,drop=0", injection)
  .option("--replay <dir>", "replay recorded machines (CSV files in SMD layout) instead of a simulated fleet")
  .option("--machines <names>", "with --replay: which machines, separated by commas (default: all of the folder)")
  .option("--texts <n>", "texts of the language model to wait for at the end, a minute at most", whole(0, 1_000), 5)
  .option("--run-dir <dir>", "where data and logs go (default: .weir/runs/…)")
  .addOption(
    new Option("--infra <kind>", "where the components come from").choices(["native", "docker"]).default("native"),
  )
  .action(async (o) => {
    const { start } = await import("./commands/start.ts");
    const { defaultInjection } = await import("./local/fleet/index.ts");
    process.exitCode = await start({
      ...o,
      speed: o.speed ?? (o.once ? 0 : 60),
      inject: { ...defaultInjection, ...o.inject },
      ...(o.end !== undefined && { endMs: o.end }),
      ...(o.machines !== undefined && { machines: o.machines.split(",").map((m: string) => m.trim()) }),
    });
  });

program
  .command("run")
  .description("one or several roles, against your own services or the local stack; a Kafka group shares out the work")
  .argument("<role...>", "bridge, features, score, incidents, control, explain, lake, api, or all stages")
  .option("--processes <n>", "run on so many cores: a parent and n children that share its partitions", whole(1, 256))
  .option("--ordinal <i>", "a fixed share instead of a Kafka group: every n-th partition from i on", whole(0, 255))
  .option("--of <n>", "with --ordinal: how many processes share the partitions", whole(1, 256))
  .option("--epoch <e>", "with --ordinal: of this deployment; a higher one takes over", whole(0, 2_147_483_647))
  .addOption(new Option("--child").hideHelp())
  .action(async (names: string[], o) => {
    const { run } = await import("./commands/run.ts");
    process.exitCode = await run(names, o);
  });

program
  .command("init")
  .description("create topics, register schemas and initialise the state of every stage; safe to repeat")
  .action(async () => {
    const { init } = await import("./commands/run.ts");
    await init();
  });

const bridge = program.command("bridge").description("an operator's decisions about sources, and a look at a record");
for (const [name, about, act] of [
  ["exclude-source", "leave a source out for good, so that it holds the watermark no longer", "exclude"],
  ["accept-gap", "let a source go on although the stream dropped records before they were read", "accept"],
] as const) {
  bridge
    .command(name)
    .description(about)
    .argument("<source>", "such as telemetry@1767225600000/shardId-000000000000")
    .requiredOption("--reason <text>", "for the record, which is a dead letter")
    .option("--by <name>", "who decided (default: the user of this machine)")
    .action(async (source, o) => {
      const commands = await import("./commands/bridge.ts");
      await commands[act](source, o);
    });
}
bridge
  .command("record")
  .description("write the bytes of one record of the stream to standard output, as long as it holds them")
  .argument("<shard>")
  .argument("<sequence>")
  .action(async (shard, sequence) => {
    const { record } = await import("./commands/bridge.ts");
    await record(shard, sequence);
  });

program
  .command("tail")
  .description("show the decoded records of any topic")
  .argument("<topic>", "such as incidents, features, predictions, logs.raw.dead")
  .option("--json", "one JSON object a record", false)
  .option("--new", "only what is written from now on", false)
  .option("--no-follow", "end at the end of the topic")
  .option("--limit <n>", "end after so many records", whole(1, 1_000_000_000))
  .action(async (topic, o) => {
    const { tail } = await import("./commands/tail.ts");
    await tail(topic, o);
  });

program
  .command("backfill")
  .description("recompute feature rows over raw logs with the code of the features stage; goes on where it was stopped")
  .requiredOption("--from <time>", "first window end, such as 2026-01-05T00:00:00Z", time)
  .requiredOption("--to <time>", "first window end that is left out", time)
  .option("--source <source>", "lake (the bucket), topic (logs.raw), or a folder that holds raw-logs", "lake")
  .option("--set <name>", "feature set, or a JSON file (default: WEIR_FEATURE_SET)")
  .option("--out <dir>", "folder of the rows (default: .weir/backfill/<set>-<hash>)")
  .option(
    "--warm-up <minutes>",
    "input read before the first row (default: as far back as a row looks)",
    whole(0, 525_600),
  )
  .option("--json", "print the report as one JSON object on the last line", false)
  .action(async (o) => {
    const { backfill } = await import("./commands/backfill/index.ts");
    await backfill(o);
  });

const features = program
  .command("features")
  .description("feature sets: what their columns mean, and how good their rows are");
features
  .command("describe")
  .description("every column of a feature set: formula, unit, when it is missing")
  .argument("<set>", "a built-in feature set, or a JSON file")
  .option("--json", "one JSON object on the last line", false)
  .option("--markdown", "as a table for a page", false)
  .action(async (set, o) => {
    const { describeFeatures } = await import("./commands/features.ts");
    describeFeatures(set, o);
  });

features
  .command("quality")
  .description("quality of the lake's rows by day: of all entities, then of the twenty worst (all with --json)")
  .requiredOption("--from <time>", "first window end, such as 2026-01-05T00:00:00Z", time)
  .requiredOption("--to <time>", "first window end that is left out", time)
  .option("--json", "one JSON object on the last line", false)
  .action(async (o) => {
    const { showQuality } = await import("./commands/features.ts");
    await showQuality(o);
  });

addExperimentCommands(program);

const local = program.command("local").description("the local stack: real components, started natively");
local
  .command("up")
  .description("start the stack and keep it until Ctrl-C")
  .option("--run-dir <dir>", "data and logs (default: .weir/runs/local)")
  .option("--components <names>", "some of kafka,registry,s3,kinesis,triton,qdrant,ai,moto")
  .option("--shards <n>", "shards of the Kinesis stream", whole(1, 200), 2)
  .addOption(
    new Option("--infra <kind>", "where the components come from").choices(["native", "docker"]).default("native"),
  )
  .action(async (o) => {
    const { up } = await import("./commands/local.ts");
    await up(o);
  });
for (const [name, about] of [
  ["down", "stop a stack that another process started"],
  ["status", "what runs, since when, on which ports"],
] as const) {
  local
    .command(name)
    .description(about)
    .option("--run-dir <dir>", "the stack's folder (default: the one started last)")
    .action(async (o) => {
      const commands = await import("./commands/local.ts");
      await commands[name](o);
    });
}
local
  .command("logs")
  .description("the last lines of a component's log")
  .argument("<component>")
  .option("--run-dir <dir>", "the stack's folder (default: the one started last)")
  .option("--lines <n>", "how many", whole(1, 100_000), 50)
  .action(async (component, o) => {
    const { logs } = await import("./commands/local.ts");
    logs(component, o);
  });

program
  .command("setup")
  .description("install what the local stack needs into .weir/ and end")
  .action(async () => {
    const { createProgress, setUp } = await import("./local/index.ts");
    await setUp({ progress: createProgress(process.stdout) });
  });

program
  .command("doctor")
  .description("list each prerequisite, what was found, and the command that mends it")
  .action(async () => {
    const { doctor, doctorReport } = await import("./local/index.ts");
    const checks = await doctor();
    process.stdout.write(`${doctorReport(checks)}\n`);
    process.exitCode = checks.every((c) => c.ok) ? 0 : 1;
  });

const model = program.command("model").description("model versions: prove them, publish them");
model
  .command("check")
  .description("prove a model's folder: manifest, file, golden rows, config.pbtxt; on a server, if one is given")
  .argument("<dir>", "a version folder of the model repository, or a model's folder for all its versions")
  .option("--server <host:port>", "the gRPC address of a model server that serves it")
  .option("--json", "one JSON object on the last line", false)
  .action(async (dir, o) => {
    const { check } = await import("./commands/model.ts");
    process.exitCode = await check(dir, o);
  });
model
  .command("publish")
  .description("make a version folder the next version in WEIR_MODEL_REPOSITORY, have the server load it, prove it")
  .argument("<dir>", "a version folder, or a model's folder for its newest version")
  .addOption(
    new Option("--backend <name>", "who serves it").choices(["python", "fil", "onnxruntime"]).default("python"),
  )
  .option("--json", "one JSON object on the last line", false)
  .action(async (dir, o) => {
    const { publishModel } = await import("./commands/model.ts");
    await publishModel(dir, o);
  });

program
  .command("options")
  .description("every option of Weir: variable, default, meaning")
  .action(async () => {
    const { options } = await import("./config.ts");
    for (const o of Object.values(options))
      process.stdout.write(
        `${o.name.padEnd(26)} ${o.text}${o.default === undefined ? " Needed." : o.default === "" ? "" : ` Default: ${o.default}.`}\n`,
      );
  });

try {
  await program.parseAsync();
} catch (error) {
  // A person gets what happened and what to do; the stack only for what nobody foresaw.
  const known = error instanceof WeirError ? error : unreachable(error);
  process.stderr.write(`${known ?? (error as Error).stack}\n`);
  process.exitCode = 1;
}
// Libraries keep sockets and timers of their own; everything of ours is closed by now.
process.exit();
