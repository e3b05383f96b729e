import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Config } from "../config.ts";
import { type Command, explainDecisions } from "../control/index.ts";
import { readTopic, tryDecode } from "../ops/index.ts";
import { topics } from "../pipeline.ts";
import type { Codecs, Decision, ExperimentEvent } from "../schemas/index.ts";
import { type Broker, partitionFor, WeirError } from "../streams/index.ts";
import { brokerOf } from "./clients.ts";
import { connectCodecs } from "./init.ts";
import { ROUTING_FAMILY } from "./model-names.ts";
import { publishRecord } from "./publish.ts";
import { configFor } from "./run.ts";

const ANSWER_LIMIT_MS = 30_000;
const POLL_MS = 200;

/** A command without what is filled in here. */
type Asked = Command extends infer C ? (C extends Command ? Omit<C, "id" | "author"> : never) : never;

/** Has the control stage do something and prints its answer. Throws `EXPERIMENT_REFUSED` or `CONTROL_SILENT`. */
export async function experimentCommand(asked: Asked, author: string, json: boolean): Promise<void> {
  const config = await configFor([]);
  const broker = brokerOf(config);
  const codecs = await connectCodecs(config);
  const decision = await askControl(broker, codecs, config, { ...asked, id: randomUUID(), author } as Command);
  if (decision.kind === "refused")
    throw new WeirError(
      "EXPERIMENT_REFUSED",
      "fatal",
      `${decision.experiment}: ${decision.reasons.join("; ")}.`,
      "Mend what is named and give the command again; `weir experiment status` shows what runs.",
    );
  process.stdout.write(json ? `${JSON.stringify(decision)}\n` : `${lineOf(decision)}\n`);
}

/** Writes a command and waits for the decision that answers it. */
export async function askControl(
  broker: Broker,
  codecs: Codecs,
  config: Pick<Config, "env" | "partitions">,
  command: Command,
): Promise<Decision> {
  const family = ROUTING_FAMILY;
  const partition = partitionFor(family, config.partitions);
  const admin = broker.admin();
  const { endOffset } = await admin.offsets(topics.decisions, partition, "read_committed");
  await admin.close();
  const { author } = command;
  const event: ExperimentEvent = {
    kind: "command",
    family,
    source: author,
    clockMs: 0,
    tallies: [],
    command: JSON.stringify(command),
  };
  const record = { topic: topics.experiments, partition, key: family, value: event, timestampMs: Date.now() };
  await publishRecord(broker, codecs, config, record);
  const reader = broker.reader();
  try {
    for (let position = endOffset, end = performance.now() + ANSWER_LIMIT_MS; performance.now() < end; ) {
      const batch = await reader.fetch(topics.decisions, partition, position, { maxWaitMs: POLL_MS });
      for (const { value } of batch.records) {
        const decision = await tryDecode<Decision>(codecs, topics.decisions, value);
        if (decision?.request === command.id) return decision;
      }
      position = batch.nextOffset;
      if (batch.records.length === 0) await sleep(POLL_MS);
    }
  } finally {
    await reader.close();
  }
  throw new WeirError(
    "CONTROL_SILENT",
    "fatal",
    `No answer within ${ANSWER_LIMIT_MS / 1_000} seconds. The command is written and will be obeyed when the control stage runs.`,
    "Start it with `weir run control`, then look at `weir experiment status`.",
  );
}

/** All decisions, or those of one experiment, in the order they were made. */
async function readDecisions(broker: Broker, codecs: Codecs, experiment?: string): Promise<Decision[]> {
  const byNumber = new Map<string, Decision>();
  for await (const { value } of readTopic(broker, topics.decisions)) {
    const decision = await tryDecode<Decision>(codecs, topics.decisions, value);
    if (decision && (experiment === undefined || decision.experiment === experiment))
      byNumber.set(`${decision.experiment}/${decision.number}`, decision);
  }
  return [...byNumber.values()];
}

/** `weir experiment status [NAME]`: the last decision of each, or all of one. */
export async function experimentStatus(name: string | undefined, json: boolean): Promise<void> {
  const config = await configFor([]);
  const decisions = await readDecisions(brokerOf(config), await connectCodecs(config), name);
  const shown = name === undefined ? [...new Map(decisions.map((d) => [d.experiment, d])).values()] : decisions;
  if (json) process.stdout.write(`${JSON.stringify({ decisions: shown })}\n`);
  else if (shown.length === 0) process.stdout.write("No decision stands.\n");
  else for (const decision of shown) process.stdout.write(`${lineOf(decision)}\n`);
}

/**
 * `weir experiment explain NAME`: makes each decision again from its record in the log and says whether it comes out
 * the same. Returns the exit code: 1 where one does not.
 */
export async function experimentExplain(name: string, json: boolean): Promise<number> {
  const config = await configFor([]);
  const decisions = await readDecisions(brokerOf(config), await connectCodecs(config), name);
  if (decisions.length === 0)
    throw new WeirError(
      "EXPERIMENT_UNKNOWN",
      "fatal",
      `The decision log holds nothing of ${name}.`,
      "`weir experiment status` lists the experiments.",
    );
  const explained = explainDecisions(decisions);
  const different = explained.filter(({ again }) => again !== null && !again.equal).length;
  if (json) {
    const rows = explained.map(({ decision, again }) => ({ ...decision, record: JSON.parse(decision.record), again }));
    process.stdout.write(`${JSON.stringify({ experiment: name, different, decisions: rows })}\n`);
    return different === 0 ? 0 : 1;
  }
  for (const { decision, again } of explained) {
    const said = again === null ? "given" : again.equal ? "equal" : `DIFFERENT in ${again.differences.join(", ")}`;
    process.stdout.write(`${lineOf(decision)}  ${said}\n`);
  }
  const last = explained.at(-1)!;
  process.stdout.write(`\nThe last one rests on:\n${JSON.stringify(JSON.parse(last.decision.record), null, 2)}\n`);
  process.stdout.write(`\n${explained.length} decisions, ${different} different when made again.\n`);
  return different === 0 ? 0 : 1;
}

function lineOf({ experiment, number, atMs, action, reasons, routingVersion, ended, author }: Decision): string {
  const why = reasons.length === 0 ? "" : ` (${reasons.join(", ")})`;
  const at = new Date(atMs).toISOString().slice(0, 19);
  return `${experiment} #${number}  ${at}Z  ${action}${why}  routing ${routingVersion}  by ${author}${ended ? "  over" : ""}`;
}
