import { Argument, type Command, Option } from "commander";
import { anyTime, author, collect, json, minutes, share, whole } from "./arguments.ts";

/** `weir routing`, `label` and `experiment` with their flags. What they do is loaded when it is asked for. */
export function addExperimentCommands(program: Command): void {
  const routing = program.command("routing").description("which share of the entities goes to which model version");
  routing
    .command("show")
    .description("every routing version, newest first")
    .addOption(json())
    .action(async (o) => {
      const { routingShow } = await import("./routing.ts");
      await routingShow(o);
    });
  routing
    .command("set")
    .description("write a routing version; a bad one is refused")
    .requiredOption("--arm <model/version=percent>", "an arm; give one or two", collect)
    .addOption(
      new Option("--mode <mode>", "split; shadow: the second arm is only recorded; off: the first arm alone")
        .choices(["split", "shadow", "off"])
        .default("split"),
    )
    .option("--salt <text>", "spreads the entities anew", "anomaly")
    .option(
      "--from <time>",
      "first window end it counts for (default: the minute after the newest prediction)",
      anyTime,
    )
    .addOption(author())
    .action(async (o) => {
      const { routingSet } = await import("./routing.ts");
      await routingSet(o);
    });

  program
    .command("label")
    .description("say whether a window of an entity was an anomaly")
    .argument("<entity>")
    .argument("<window-end>", "end of the window, such as 2026-01-05T00:15:00Z", anyTime)
    .addArgument(new Argument("<verdict>").choices(["anomaly", "normal"]))
    .option("--at <time>", "since when it is known (default: now); for replays", anyTime)
    .option("--note <text>", "why", "")
    .addOption(author())
    .action(async (entity, windowEndMs, verdict, o) => {
      const { label } = await import("./label.ts");
      await label(entity, windowEndMs, verdict, o);
    });

  const experiment = program
    .command("experiment")
    .description("try a model version on live traffic; the control stage decides");
  experiment
    .command("start")
    .description("a canary that climbs a ladder, or with --compare a comparison by labels")
    .argument("<name>")
    .requiredOption("--challenger <model/version>", "what is tried")
    .option("--champion <model/version>", "what it is tried against (default: the arm with the largest share)")
    .addOption(
      new Option("--ladder <name>", "10, 30, 50, 100 % in steps of 10 minutes; or 5, 20, 50, 100 % in steps of 5")
        .choices(["normal", "emergency"])
        .default("normal"),
    )
    .addOption(
      new Option(
        "--compare <rows>",
        "hold one share and judge by labels: each arm's own rows, or rows that both scored",
      ).choices(["split", "paired"]),
    )
    .option("--weight <percent>", "with --compare: the challenger's share", whole(1, 99), 10)
    .addOption(
      new Option("--duration <minutes>", "with --compare: how long rows count")
        .argParser(minutes)
        .default(24 * 3_600_000, "1440"),
    )
    .addOption(
      new Option("--label-delay <minutes>", "with --compare: how long labels may come after that")
        .argParser(minutes)
        .default(2 * 3_600_000, "120"),
    )
    .option("--least-rows <n>", "with --compare: labelled rows each arm needs", whole(1, 1e9), 1_000)
    .option("--least-entities <n>", "with --compare: entities each arm needs", whole(2, 1e6), 20)
    .option("--least-gain <share>", "with --compare: the smallest gain in right verdicts worth a promotion", share, 0)
    .option(
      "--expected-rows <n>",
      "with --compare: labelled rows hoped for in the challenger's arm",
      whole(1, 1e9),
      1_000,
    )
    .addOption(author())
    .addOption(json())
    .action(async (name, o) => {
      const { experimentCommand } = await import("./experiment.ts");
      const both = { experiment: name, challenger: o.challenger, champion: o.champion ?? null };
      const { compare, ladder } = o;
      const comparison = {
        compare,
        weightPercent: o.weight,
        durationMs: o.duration,
        labelDelayMs: o.labelDelay,
        leastRows: o.leastRows,
        leastEntities: o.leastEntities,
        leastGain: o.leastGain,
        expectedRows: o.expectedRows,
      };
      const asked = compare
        ? { action: "start-comparison" as const, ...both, ...comparison }
        : { action: "start-canary" as const, ...both, ladder };
      await experimentCommand(asked, o.author, o.json);
    });
  experiment
    .command("status")
    .description("the last decision of every experiment, or all of one")
    .argument("[name]")
    .addOption(json())
    .action(async (name, o) => {
      const { experimentStatus } = await import("./experiment.ts");
      await experimentStatus(name, o.json);
    });
  experiment
    .command("decide")
    .description("end an experiment by a person's word")
    .argument("<name>")
    .addArgument(
      new Argument("<verdict>", "promote: all to the challenger; keep: back to what was before").choices([
        "promote",
        "keep",
      ]),
    )
    .option("--reason <text>", "why", "")
    .addOption(author())
    .addOption(json())
    .action(async (name, action, o) => {
      const { experimentCommand } = await import("./experiment.ts");
      await experimentCommand({ action, experiment: name, reason: o.reason }, o.author, o.json);
    });
  experiment
    .command("alert")
    .description("tell a running experiment of an alert that concerns its challenger: it is withdrawn")
    .argument("<name>")
    .argument("<alert>", "such as HighErrorRate")
    .option("--over", "the alert has ended", false)
    .addOption(author())
    .addOption(json())
    .action(async (name, alert, o) => {
      const { experimentCommand } = await import("./experiment.ts");
      await experimentCommand({ action: "alert", experiment: name, alert, firing: !o.over }, o.author, o.json);
    });
  experiment
    .command("explain")
    .description("make every decision again from the log and say whether it comes out the same")
    .argument("<name>")
    .addOption(json())
    .action(async (name, o) => {
      const { experimentExplain } = await import("./experiment.ts");
      process.exitCode = await experimentExplain(name, o.json);
    });
}
