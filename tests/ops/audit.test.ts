import { createHash } from "node:crypto";
import fc from "fast-check";
import { beforeEach, expect, test } from "vitest";
import { audit, countTopics, eventHash, idOfDeadLetter, readEventIds } from "../../ops/index.ts";
import type { DeadLetter, Explanation, Incident } from "../../schemas/index.ts";
import { topicName } from "../../streams/index.ts";
import { FakeBroker, FakeCodecs } from "../lake/fakes.ts";
import { featureBatch, logBatch, startMs } from "../lake/logs.ts";

const logs = topicName("logs.raw");
const kinesisDead = topicName("kinesis.dead");
const logsDead = topicName("logs.raw.dead");
const codecs = new FakeCodecs({
  [logs]: "log-batch",
  [kinesisDead]: "dead-letter",
  [logsDead]: "dead-letter",
  features: "feature-batch",
  incidents: "incident",
  explanations: "explanation",
});
let broker: FakeBroker;

beforeEach(() => {
  broker = new FakeBroker();
  for (const topic of [logs, kinesisDead, logsDead]) broker.createTopic(topic, 2);
});

const deadLetter = (eventId: string, bytes: Buffer): DeadLetter => ({
  code: "malformed",
  reason: "not JSON",
  stage: "bridge",
  originTopic: "stream",
  originPartition: "shard-0",
  originOffset: "1",
  eventId,
  timestampMs: 0,
  entity: "",
  bytes,
});
const read = () => readEventIds({ broker, codecs, logs, dead: [kinesisDead, logsDead] });
const ledgerOf = (...ids: string[]) => BigUint64Array.from(ids, eventHash);

test("an id's hash is the first eight bytes of its sha-256", () => {
  const hex = createHash("sha256").update("event-1").digest("hex").slice(0, 16);
  expect(eventHash("event-1")).toBe(BigInt(`0x${hex}`));
});

test("bytes that could not be taken apart have the first 16 hex digits of their sha-256 as id", () => {
  const bytes = Buffer.from("garbage");
  expect(idOfDeadLetter(deadLetter("", bytes))).toBe(createHash("sha256").update(bytes).digest("hex").slice(0, 16));
  expect(idOfDeadLetter(deadLetter("e1", bytes))).toBe("e1");
});

test("an event counts as found wherever it stands, in any partition of the logs or among the dead letters", async () => {
  const garbage = Buffer.from("garbage");
  broker.append(logs, 0, codecs.encode(logs, logBatch(startMs, [1, 2], "a")));
  broker.gap(logs, 0, 3);
  broker.append(logs, 1, codecs.encode(logs, logBatch(startMs, [1], "b")));
  broker.append(kinesisDead, 0, codecs.encode(kinesisDead, deadLetter("", garbage)));
  broker.append(logsDead, 1, codecs.encode(logsDead, deadLetter("c", garbage)));
  const ledger = ledgerOf("a/0", "a/1", "b/0", "c", idOfDeadLetter(deadLetter("", garbage)));
  expect(audit(ledger, await read())).toEqual({
    written: 5,
    found: 5,
    lost: 0,
    lostSample: [],
    duplicates: 0,
    unknown: 0,
  });
});

test("an event that was written and stands nowhere is lost, by its hash", async () => {
  broker.append(logs, 0, codecs.encode(logs, logBatch(startMs, [1], "a")));
  const result = audit(ledgerOf("a/0", "gone"), await read());
  expect(result).toMatchObject({ written: 2, found: 1, lost: 1, lostSample: [eventHash("gone")] });
});

test("a repeated event is a duplicate; the same event as a dead letter of a later stage is none", async () => {
  const batch = codecs.encode(logs, logBatch(startMs, [1], "a"));
  broker.append(logs, 0, batch);
  broker.append(logs, 0, batch);
  broker.append(logsDead, 0, codecs.encode(logsDead, deadLetter("a/0", Buffer.alloc(0))));
  expect(audit(ledgerOf("a/0", "a/0"), await read())).toMatchObject({ written: 1, found: 1, lost: 0, duplicates: 1 });
});

test("an event nobody says to have written is told apart", async () => {
  broker.append(logs, 0, codecs.encode(logs, logBatch(startMs, [1], "a")));
  expect(audit(new Set<bigint>(), await read())).toMatchObject({ written: 0, found: 0, unknown: 1 });
});

test("records nobody can read are counted, since their events may be what is lost", async () => {
  broker.append(logs, 0, Buffer.from("no avro"));
  expect(await read()).toMatchObject({ unreadable: 1 });
});

test("the audit agrees with sets of numbers on any ledger and finding", () => {
  const list = fc.array(fc.bigInt({ min: 0n, max: 30n }), { maxLength: 50 });
  fc.assert(
    fc.property(list, list, list, (written, logged, dead) => {
      const sorted = (l: bigint[]) => BigUint64Array.from(l).sort();
      const result = audit(BigUint64Array.from(written), { logged: sorted(logged), dead: sorted(dead), unreadable: 0 });
      const ids = new Set(written);
      const seen = new Set([...logged, ...dead]);
      expect(result).toMatchObject({
        written: ids.size,
        found: [...ids].filter((id) => seen.has(id)).length,
        lost: [...ids].filter((id) => !seen.has(id)).length,
        duplicates: logged.length - new Set(logged).size,
        unknown: [...seen].filter((id) => !ids.has(id)).length,
      });
    }),
  );
});

test("topics are counted by what they are about", async () => {
  for (const topic of ["features", "incidents", "explanations"]) broker.createTopic(topic, 1);
  const send = (topic: string, value: unknown) => broker.append(topic, 0, codecs.encode(topic, value));
  send("features", featureBatch(startMs, ["a", "b"]));
  send("features", featureBatch(startMs, []));
  for (const state of ["open", "update", "resolved"] as const) send("incidents", incident("i1", state));
  send("incidents", incident("i2", "open"));
  broker.append("incidents", 0, null);
  for (const [id, mode] of [
    ["i1", "template"],
    ["i1", "model"],
    ["i2", "template"],
  ] as const)
    send("explanations", explanation(id, mode));
  send(logs, logBatch(startMs, [1, 2, 3], "a"));
  send(logs, logBatch(startMs, [], "tick"));
  const counts = await countTopics({
    broker,
    codecs,
    topics: [
      { name: topicName("features"), schema: "feature-batch" },
      { name: topicName("incidents"), schema: "incident" },
      { name: topicName("explanations"), schema: "explanation" },
      { name: logs, schema: "log-batch" },
      { name: kinesisDead, schema: "dead-letter" },
    ],
  });
  expect(counts).toEqual({
    features: { records: 2, things: 2, byModel: 0 },
    incidents: { records: 5, things: 2, byModel: 0 },
    explanations: { records: 3, things: 2, byModel: 1 },
    "logs.raw": { records: 2, things: 3, byModel: 0 },
    "kinesis.dead": { records: 0, things: 0, byModel: 0 },
  });
});

const incident = (incidentId: string, state: Incident["state"]): Incident => ({
  incidentId,
  dedupKey: "web/cpu",
  state,
  revision: 1,
  entityGroup: "web",
  members: ["i-1"],
  severity: "high",
  type: "cpu",
  openedAtMs: 1,
  updatedAtMs: 1,
  resolvedAtMs: null,
  reason: "opened",
  maxScore: 1,
  anomalyCount: 1,
  topFeatures: [],
  evidence: [],
});

const explanation = (incidentId: string, mode: Explanation["mode"]): Explanation => ({
  incidentId,
  incidentRevision: 1,
  mode,
  model: "",
  rootCause: "",
  impact: "",
  actions: "",
  prevention: "",
  citations: [],
  groundedness: 1,
  createdAtMs: 0,
  timings: { embeddingMs: 0, searchMs: 0, promptMs: 0, generationMs: 0, totalMs: 0 },
});
