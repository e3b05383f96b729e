import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import {
  defaultInjection,
  type Injection,
  incidentKinds,
  lateByMs,
  planFleet,
  recordId,
  type TelemetryRound,
} from "../../local/fleet/index.ts";
import { decode, type Envelope, isData, minutes, options, roundsOf, startMs } from "./decode.ts";

const digest = (rounds: readonly TelemetryRound[]) => {
  const sum = createHash("sha256");
  for (const round of rounds)
    for (const r of round.records) sum.update(`${round.clockMs} ${r.partitionKey} ${r.eventIds}`).update(r.data);
  return sum.digest("hex");
};
const envelopes = (rounds: readonly TelemetryRound[]): Envelope[] =>
  rounds.flatMap((round) => round.records.map(decode).filter(isData));
const plainRun = roundsOf();
const faultyRun = roundsOf({ inject: { ...defaultInjection, drop: 3 } });

describe("determinism", () => {
  test("the same seed and times give the same bytes, another seed gives others", () => {
    expect(digest(roundsOf({ inject: { ...defaultInjection, drop: 3 } }))).toBe(digest(faultyRun));
    expect(digest(roundsOf({ seed: 8, inject: { ...defaultInjection, drop: 3 } }))).not.toBe(digest(faultyRun));
  });

  test("a run resumed at a round's clock goes on with the very rounds that were left", () => {
    const resumed = roundsOf({ inject: { ...defaultInjection, drop: 3 } }, faultyRun[6]!.clockMs);
    expect(digest(resumed)).toBe(digest(faultyRun.slice(7)));
  });

  test("a run prolonged later meets the same telemetry in the time it had before", () => {
    const longer = roundsOf({ endMs: startMs + minutes(300) });
    expect(digest(longer.slice(0, plainRun.length))).toBe(digest(plainRun));
  });

  test("the gzip header tells neither time nor system", () => {
    for (const { data } of plainRun[0]!.records)
      expect(data.subarray(0, 10).toString("hex")).toBe("1f8b08000000000000ff");
  });
});

describe("wire format", () => {
  test("a record is one subscription message whose events have unique ids of 56 digits, in time order", () => {
    const seen = new Set<string>();
    for (const e of envelopes(plainRun)) {
      expect(Object.keys(e)).toEqual([
        "messageType",
        "owner",
        "logGroup",
        "logStream",
        "subscriptionFilters",
        "logEvents",
      ]);
      expect(e.owner).toMatch(/^\d{12}$/);
      expect(e.logEvents.length).toBeGreaterThan(0);
      const times = e.logEvents.map((event) => event.timestamp);
      expect(times).toEqual(times.toSorted((a, b) => a - b));
      for (const { id } of e.logEvents) {
        expect(id).toMatch(/^[1-9]\d{55}$/);
        expect(seen.has(id)).toBe(false);
        seen.add(id);
      }
    }
    expect(seen.size).toBeGreaterThan(30_000);
  });

  test("the last 27 digits of an id are the seed's, so fleets of different seeds share no id", () => {
    const tails = (rounds: readonly TelemetryRound[]) =>
      new Set(envelopes(rounds).flatMap((e) => e.logEvents.map(({ id }) => id.slice(-27))));
    const [mine, other] = [tails(plainRun), tails(roundsOf({ seed: 8, endMs: startMs + minutes(10) }))];
    expect([mine.size, other.size]).toEqual([1, 1]);
    expect(mine).not.toEqual(other);
  });

  test("the ids a record names for the ledger are those of its events", () => {
    for (const round of plainRun)
      for (const record of round.records) {
        const e = decode(record);
        if (isData(e)) expect(record.eventIds).toEqual(e.logEvents.map((event) => event.id));
      }
  });

  test("all log groups are there, and health checks now and then, which carry no events of ours", () => {
    const groups = new Set(envelopes(plainRun).map((e) => e.logGroup));
    expect([...groups].sort()).toEqual([
      "/application/logs",
      "/aws/cwagent/metrics",
      "/aws/ec2/system",
      "/aws/lambda/functions",
      "/aws/rds/postgresql",
    ]);
    const controls = plainRun.flatMap((r) => r.records).filter((r) => decode(r)?.messageType === "CONTROL_MESSAGE");
    expect(controls).toHaveLength(2);
    for (const c of controls) expect(c.eventIds).toEqual([]);
  });

  test("a metric document holds the six metrics of one instance and minute, as the embedded metric format has them", () => {
    const units = {
      CPUUtilization: "Percent",
      MemoryUtilization: "Percent",
      NetworkIn: "Bytes",
      NetworkOut: "Bytes",
      DiskReadOps: "Count",
      DiskWriteOps: "Count",
    };
    const { topology } = planFleet(options());
    const perMinute = new Map<string, number>();
    for (const e of envelopes(plainRun).filter((x) => x.logGroup === "/aws/cwagent/metrics"))
      for (const { message, timestamp } of e.logEvents) {
        const doc = JSON.parse(message);
        expect(doc._aws.Timestamp).toBe(timestamp);
        expect(doc._aws.CloudWatchMetrics).toHaveLength(1);
        const [directive] = doc._aws.CloudWatchMetrics;
        expect(directive.Namespace).toBe("CWAgent");
        expect(directive.Dimensions).toEqual([["InstanceId"]]);
        expect(
          Object.fromEntries(directive.Metrics.map((m: { Name: string; Unit: string }) => [m.Name, m.Unit])),
        ).toEqual(units);
        for (const name of Object.keys(units)) expect(Number.isFinite(doc[name]) && doc[name] >= 0).toBe(true);
        for (const name of ["CPUUtilization", "MemoryUtilization"]) expect(doc[name]).toBeLessThanOrEqual(100);
        expect(doc.InstanceId).toMatch(/^i-0[0-9a-f]{16}$/);
        expect(topology[doc.InstanceId]).toBe(e.logStream);
        const at = `${doc.InstanceId} ${Math.floor(timestamp / 60_000)}`;
        perMinute.set(at, (perMinute.get(at) ?? 0) + 1);
      }
    expect(new Set(perMinute.values())).toEqual(new Set([1]));
    // Silent hosts and restarts leave some out.
    expect(perMinute.size).toBeGreaterThan(60 * 180 * 0.97);
    expect(perMinute.size).toBeLessThan(60 * 180);
  });

  test("log lines have the form of their source", () => {
    const forms: Record<string, RegExp> = {
      "/application/logs": /^\{"timestamp":"[^"]+Z","level":"(INFO|WARN|ERROR)","service":"[\w-]+","message":".+"/,
      "/aws/ec2/system": /^[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d ip-10-0-\d+-\d+ [\w]+(\[\d+\])?: .+/,
      "/aws/rds/postgresql":
        /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC:[\d.]+\(\d+\):app@[\w-]+:\[\d+\]:(LOG|ERROR|DETAIL): {2}.+/,
      "/aws/lambda/functions": /^((START|END|REPORT) RequestId: [0-9a-f-]{36}|\d{4}-.+\t[0-9a-f-]{36}\tERROR\t)/,
    };
    for (const e of envelopes(plainRun))
      for (const { message } of e.logEvents) {
        const form = forms[e.logGroup];
        if (form) expect(message).toMatch(form);
        expect(message).not.toMatch(/%[dut]|undefined,|NaN/);
      }
  });

  test("an instance-minute is about a kilobyte", () => {
    const bytes = envelopes(plainRun).reduce((sum, e) => sum + JSON.stringify(e).length, 0) / (60 * 180);
    expect(bytes).toBeGreaterThan(800);
    expect(bytes).toBeLessThan(1_600);
  });
});

describe("the clock of a round", () => {
  test("every event that is not late on purpose lies from the clock before up to its own round's clock", () => {
    let announcedMs = startMs;
    let late = 0;
    for (const round of faultyRun) {
      for (const e of round.records.map(decode).filter(isData))
        for (const { timestamp } of e.logEvents) {
          if (timestamp >= announcedMs && timestamp < round.clockMs) continue;
          if (timestamp > Date.UTC(2099, 0)) continue;
          expect(timestamp).toBeLessThan(announcedMs - lateByMs);
          late++;
        }
      expect(round.clockMs).toBeGreaterThan(announcedMs);
      announcedMs = round.clockMs;
    }
    expect(announcedMs).toBe(startMs + minutes(180));
    expect(late).toBe(defaultInjection.late);
  });
});

describe("injected faults", () => {
  const told = faultyRun.reduce(
    (sum, { injected: i }) => ({
      late: sum.late + i.late,
      malformed: sum.malformed + i.malformed,
      duplicate: sum.duplicate + i.duplicate,
      drop: sum.drop + i.drop,
    }),
    { late: 0, malformed: 0, duplicate: 0, drop: 0 } satisfies Injection,
  );

  test("a run of three hours holds as many as were asked for", () => {
    expect(told).toEqual({ ...defaultInjection, drop: 3 });
  });

  test("a duplicate is the same event, in the same round, under the same partition key", () => {
    let repeats = 0;
    const seen = new Set<string>();
    for (const round of faultyRun) {
      const first = new Map<string, string>();
      for (const record of round.records) {
        const e = decode(record);
        if (!isData(e)) continue;
        for (const event of e.logEvents) {
          const text = `${record.partitionKey} ${JSON.stringify(event)}`;
          if (first.has(event.id)) {
            expect(text).toBe(first.get(event.id));
            repeats++;
          }
          first.set(event.id, text);
        }
      }
      for (const id of first.keys()) {
        expect(seen.has(id)).toBe(false);
        seen.add(id);
      }
    }
    expect(repeats).toBe(defaultInjection.duplicate);
  });

  test("each malformed record or event would make one dead letter, and its id is in the ledger", () => {
    const ways = { notGzip: 0, truncated: 0, badJson: 0, unknownType: 0, future: 0 };
    for (const record of faultyRun.flatMap((r) => r.records)) {
      const e = decode(record);
      const type = e?.messageType;
      if (isData(e)) ways.future += e.logEvents.filter((event) => event.timestamp >= Date.UTC(2100, 0)).length;
      else if (type !== "CONTROL_MESSAGE") {
        expect(record.eventIds).toEqual([recordId(record.data)]);
        const gzip = record.data[0] === 0x1f;
        if (type) ways.unknownType++;
        else if (!gzip) ways.notGzip++;
        else if (record.data.readUInt32LE(record.data.length - 4) < 10_000) ways.badJson++;
        else ways.truncated++;
      }
    }
    expect(ways).toEqual({ notGzip: 2, truncated: 2, badJson: 2, unknownType: 2, future: 2 });
  });

  test("a dropped event is in the ledger and nowhere else", () => {
    const sent = new Set(envelopes(faultyRun).flatMap((e) => e.logEvents.map((event) => event.id)));
    const malformed = new Set(
      faultyRun
        .flatMap((r) => r.records)
        .filter((r) => !isData(decode(r)))
        .flatMap((r) => r.eventIds),
    );
    const ledger = new Set(faultyRun.flatMap((r) => r.records.flatMap((record) => record.eventIds)));
    const missing = [...ledger].filter((id) => !sent.has(id) && !malformed.has(id));
    expect(missing).toHaveLength(3);
    expect([...sent].filter((id) => !ledger.has(id))).toEqual([]);
  });

  test("faults change nothing else: without them the run says the same", () => {
    const ids = (rounds: TelemetryRound[]) => new Set(envelopes(rounds).flatMap((e) => e.logEvents.map((x) => x.id)));
    const faulty = ids(faultyRun);
    expect([...ids(plainRun)].filter((id) => !faulty.has(id))).toHaveLength(3);
    expect(faulty.size).toBe(ids(plainRun).size - 3 + defaultInjection.late + 2);
  });

  test("what does not fit is left out: nothing is late in a run of one round", () => {
    const rounds = roundsOf({ endMs: startMs + minutes(10), inject: defaultInjection });
    expect(rounds.map((r) => r.injected)).toEqual([{ late: 0, malformed: 10, duplicate: 30, drop: 0 }]);
  });
});

describe("options", () => {
  test.each([
    { seed: 0.5 },
    { instances: 0 },
    { startMs: startMs + 1 },
    { endMs: startMs },
    { inject: { ...defaultInjection, late: -1 } },
  ])("%j is refused", (more) => {
    expect(() => planFleet(options(more))).toThrow(expect.objectContaining({ code: "FLEET_OPTIONS" }));
  });

  test.each([1, 2, 7, 30, 100, 1_500])("%i instances have distinct entities, each with a group", (instances) => {
    const plan = planFleet(options({ instances }));
    const entities = [...plan.instances, ...plan.databases, ...plan.functions].map((e) => e.entity);
    expect(new Set(entities).size).toBe(entities.length);
    expect(Object.keys(plan.topology).sort()).toEqual(entities.toSorted());
    expect(plan.truth.length).toBeGreaterThan(0);
  });
});

describe("incidents", () => {
  test.each([1, 2, 3, 4, 5])(
    "three hours of sixty instances hold each kind, whole, after half an hour (seed %i)",
    (seed) => {
      const plan = planFleet(options({ seed }));
      expect(new Set(plan.truth.map((t) => t.kind))).toEqual(new Set(incidentKinds));
      for (const { startMs: fromMs, endMs, entity, entityGroup } of plan.truth) {
        expect(fromMs).toBeGreaterThanOrEqual(startMs + minutes(30));
        expect(endMs).toBeLessThanOrEqual(startMs + minutes(180));
        expect(endMs - fromMs).toBeGreaterThanOrEqual(minutes(15));
        expect(endMs - fromMs).toBeLessThanOrEqual(minutes(45));
        expect(plan.topology[entity]).toBe(entityGroup);
      }
    },
  );

  test("no entity is in two troubles at once, over days and in small fleets", () => {
    for (const instances of [1, 3, 8, 60]) {
      const { truth } = planFleet(options({ instances, endMs: startMs + minutes(2_880) }));
      const lastEnd = new Map<string, number>();
      for (const t of truth) {
        expect(t.startMs).toBeGreaterThanOrEqual(lastEnd.get(t.entity) ?? 0);
        lastEnd.set(t.entity, t.endMs);
      }
    }
  });

  test("a fleet too small for all kinds at once meets them in turn", () => {
    const { truth } = planFleet(options({ instances: 4, endMs: startMs + minutes(2_880) }));
    expect(new Set(truth.map((t) => t.kind))).toEqual(new Set(incidentKinds));
  });
});
