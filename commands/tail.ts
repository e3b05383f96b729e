import { tailTopic } from "../ops/index.ts";
import { topicName } from "../streams/index.ts";
import { brokerOf } from "./clients.ts";
import { connectCodecs } from "./init.ts";
import { configFor } from "./run.ts";

export async function tail(
  topic: string,
  options: { json: boolean; new: boolean; follow: boolean; limit?: number },
): Promise<void> {
  const config = await configFor([]);
  const stop = new AbortController();
  process.once("SIGINT", () => stop.abort());
  await tailTopic({
    broker: brokerOf(config),
    codecs: await connectCodecs(config),
    topic: topicName(topic),
    json: options.json,
    fromBeginning: !options.new,
    follow: options.follow,
    ...(options.limit !== undefined && { limit: options.limit }),
    signal: stop.signal,
    write: (line) => process.stdout.write(`${line}\n`),
  });
}
