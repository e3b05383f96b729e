/** One deliberate fault: text of one file replaced, each piece standing there exactly once. */
export interface Break {
  readonly name: string;
  readonly file: string;
  readonly patch: readonly (readonly [from: string, to: string])[];
  /** The test files that must notice, and if they hold more than is needed, which of their tests. */
  readonly tests: readonly string[];
  readonly only?: string;
}

const simulation = ["tests/simulation/simulation.test.ts"];
/** The small pipeline: its random schedules, the recount of its input, and what failed once. */
const small = { tests: simulation, only: "^counted-windows under|recount|failed once" };
const whole = { tests: simulation, only: "^fleet under" };
const takeOver = "streams/task/take-over.ts";
const overlay = "streams/task/overlay.ts";
const features = "processors/features/features-processor.ts";

/** Every rule that exactly-once rests on, broken once. The first fourteen are those that the design names. */
export const breaks: readonly Break[] = [
  {
    name: "eager initialisation: the state is read before the predecessor is fenced",
    file: takeOver,
    patch: [
      [
        `    step("T2");\n`,
        `    const restored = await restore(reader, admin, changelog, partition, step, stop);\n    step("T2");\n`,
      ],
      [`    const restored = await restore(reader, admin, changelog, partition, step, stop);\n\n    step("T5");`, ""],
      ["decideRecovery(where, restored, claim,", "decideRecovery(where, { ...restored, owner: undefined }, claim,"],
    ],
    ...small,
  },
  {
    name: "replaced abort filter: the broker's list is taken as sorted by first offset",
    file: "streams/kafka/record-batch.ts",
    patch: [["[...aborted].sort((a, b) => a.firstOffset - b.firstOffset)", "[...aborted]"]],
    tests: ["tests/streams/record-batch.test.ts"],
  },
  {
    name: "T3 by last stable offset",
    file: takeOver,
    patch: [
      [
        `await admin.offsets(topic, partition, "read_uncommitted");\n  step("T4");`,
        `await admin.offsets(topic, partition, "read_committed");\n  step("T4");`,
      ],
    ],
    ...small,
  },
  {
    name: "progress in the changelog: every second commit goes without",
    file: "streams/task/commit.ts",
    patch: [
      [
        "    output.internal({ topic, partition, key: PROGRESS,",
        "    if (commit % 2 === 0) output.internal({ topic, partition, key: PROGRESS,",
      ],
    ],
    ...small,
  },
  {
    name: "overlay rollback: a record that throws leaves its traces in the state",
    file: overlay,
    patch: [["    for (const store of this.#processor.stores) store.rollback();\n", ""]],
    ...small,
  },
  {
    name: "commit after a failed send",
    file: "streams/kafka/producer.ts",
    patch: [
      ["if (this.#added.size === 0 && !this.#dead) return;", "if (this.#dead || this.#added.size === 0) return;"],
    ],
    tests: ["tests/conformance/kafka-4.4.0.test.ts"],
    only: "after a failed send nothing can be committed",
  },
  {
    name: "per-source clocks dropped: a restored state knows the watermark only",
    file: "processors/features/stage-time.ts",
    patch: [
      [
        "    this.clocks = new SourceClocks(state.clocks);",
        "    this.clocks = new SourceClocks({ ...state.clocks, sources: {} });",
      ],
    ],
    ...whole,
  },
  {
    name: "lateness by the minimum clock",
    file: features,
    patch: [
      [
        "this.#takeEvents(record, clocks.clockOf(batch.source), out);",
        "this.#takeEvents(record, clocks.watermarkMs, out);",
      ],
    ],
    tests: ["tests/features/time.test.ts", "tests/features/property.test.ts"],
  },
  {
    name: "reader-side idleness: a source that lies far behind is passed over",
    file: "streams/clocks.ts",
    patch: [
      [
        "      s.idle = false;\n",
        "      s.idle = false;\n      for (const o of this.#sources.values()) if (o.clockMs < clockMs - 60_000) o.idle = true;\n",
      ],
    ],
    tests: ["tests/streams/clocks.test.ts", "tests/features/time.test.ts"],
  },
  {
    name: "child shard before parent",
    file: "sources/kinesis/shard-plan.ts",
    patch: [["!own.has(s.shard) && s.parents.every(isFinished)", "!own.has(s.shard)"]],
    tests: ["tests/bridge/shard-plan.test.ts"],
  },
  {
    name: "claim skipped",
    file: takeOver,
    patch: [
      [
        "    await producer.send([{ topic: changelog, partition, key: CLAIM, value, timestampMs: time.wallMs() }]);\n",
        "",
      ],
      ["decideRecovery(where, restored, claim,", "decideRecovery(where, { ...restored, owner: claim }, claim,"],
    ],
    ...small,
  },
  {
    name: "slot reuse without `since`",
    file: "processors/features/entity-slots.ts",
    patch: [["this.#slots.holder(slot)?.sinceMinute ?? Number.POSITIVE_INFINITY", "Number.NEGATIVE_INFINITY"]],
    tests: ["tests/features/slots.test.ts"],
  },
  {
    name: "conditional create in the lake",
    file: "sinks/lake/store.ts",
    patch: [[`          IfNoneMatch: "*",\n`, ""]],
    tests: ["tests/lake/lake.test.ts"],
  },
  {
    name: "`safe` ignored: a restart goes on behind the newest object",
    file: "sinks/lake/resume.ts",
    patch: [
      ["return best ? { beginAt: best.safe,", "return best ? { beginAt: Math.max(...objects.map((o) => o.last)) + 1,"],
    ],
    tests: ["tests/lake/decisions.test.ts"],
  },
  {
    name: "an aborted transaction ends with the first marker of anybody",
    file: "streams/kafka/record-batch.ts",
    patch: [
      ["if (isAbortMarker(bytes, at)) active.delete(producerId);", "if (isAbortMarker(bytes, at)) active.clear();"],
    ],
    tests: ["tests/streams/record-batch.test.ts"],
  },
  {
    name: "read_committed up to the high watermark",
    file: "streams/kafka/reader.ts",
    patch: [
      [`isolation === "read_committed" ? answer.lastStableOffset : answer.highWatermark`, "answer.highWatermark"],
    ],
    tests: ["tests/conformance/kafka-4.4.0.test.ts"],
    only: "the true end lies behind",
  },
  {
    name: "overlay drop: an abort keeps what was processed",
    file: overlay,
    patch: [["    for (const store of this.#processor.stores) store.drop();\n", ""]],
    ...small,
  },
  {
    name: "output of a record that throws is kept",
    file: overlay,
    patch: [["    this.output.rollback();\n", ""]],
    tests: ["tests/streams/intake.test.ts"],
  },
  {
    name: "who was claimed from while it read its state goes on",
    file: "streams/task/recovery.ts",
    patch: [["if (owner && owner.incarnation !== mine.incarnation) {", "if (owner && owner.incarnation === '') {"]],
    tests: ["tests/streams/changelog.test.ts"],
  },
  {
    name: "the lower assignment epoch wins",
    file: "streams/task/recovery.ts",
    patch: [["owner.assignmentEpoch >= me.assignmentEpoch", "owner.assignmentEpoch <= me.assignmentEpoch"]],
    ...small,
  },
  {
    name: "a newly initialised changelog is refused while its marker is on its way",
    file: takeOver,
    patch: [["    if (fold.result.records === 0) await refuseUnreadable(admin, topic, partition, endOffset);\n", ""]],
    tests: ["tests/streams/recovery.test.ts"],
  },
  {
    name: "a throwing record is counted again whenever a failed commit brings it back",
    file: "streams/task/error-budget.ts",
    patch: [["    if (offset < this.#next) return false;\n", ""]],
    tests: ["tests/streams/lifecycle.test.ts"],
  },
  {
    name: "a transaction that the broker left open is not looked for",
    file: "streams/left-open.ts",
    patch: [["const found = await leftOpen.find();", "const found: readonly PartitionName[] = [];"]],
    tests: ["tests/streams/recovery.test.ts"],
  },
  {
    name: "a transaction that the broker left open is aborted, whatever was decided",
    file: "streams/left-open.ts",
    patch: [["await leftOpen.end(found, decision);", 'await leftOpen.end(found, "abort");']],
    tests: ["tests/streams/recovery.test.ts"],
  },
  {
    name: "the state is read though the claim's end may be marked nowhere",
    file: takeOver,
    patch: [["    await producer.settle(); // else it might stand before T4 for ever\n", ""]],
    tests: ["tests/streams/recovery.test.ts"],
  },
  {
    name: "missing state records pass",
    file: "streams/task/recovery.ts",
    patch: [["    if (was === is) continue;\n", "    continue;\n"]],
    tests: ["tests/streams/changelog.test.ts"],
  },
  {
    name: "a deleted key is not deleted in the changelog",
    file: "streams/key-value-store.ts",
    patch: [["    this.#entries.delete(key);\n    this.#dirty.add(key);\n", "    this.#entries.delete(key);\n"]],
    tests: ["tests/streams/key-value-store.test.ts"],
  },
  {
    name: "anomalies are joined as they arrive",
    file: "processors/incidents/incidents.ts",
    patch: [["    ready.sort(([, a], [, b]) => inOrder(a, b));\n", ""]],
    tests: ["tests/incidents/interleaving.test.ts"],
  },
  {
    name: "a merge child waits for one parent only",
    file: "sources/kinesis/shard-plan.ts",
    patch: [["s.parents.every(isFinished)", "(s.parents.length === 0 || s.parents.some(isFinished))"]],
    tests: ["tests/bridge/shard-plan.test.ts"],
  },
  {
    name: "a partition that a member keeps through a rebalance is begun anew",
    file: "streams/task/partitioned-runner.ts",
    patch: [
      ["if (!partitions.includes(partition) || hasEnded(runnable)) this.#end(partition);", "this.#end(partition);"],
    ],
    tests: ["tests/streams/partitioned-runner.test.ts"],
  },
  {
    name: "a partition that stays keeps the epoch of its first assignment",
    file: "streams/task/task.ts",
    patch: [["    this.#assignmentEpoch = assignmentEpoch;\n", "    void assignmentEpoch;\n"]],
    tests: ["tests/streams/recovery.test.ts"],
  },
  {
    name: "silence of a foreign topic is used before it is committed",
    file: "processors/features/sample-time.ts",
    patch: [["this.#advanceMs === 0 || !this.#advanceStands", "this.#advanceMs === 0"]],
    tests: ["tests/samples/processor.test.ts"],
  },
  {
    name: "silence is told by a process that stood still itself",
    file: "streams/task/work.ts",
    patch: [
      ["const quietMs = askedMs - this.#quietSinceMs", "const quietMs = this.#time.nowMs() - this.#quietSinceMs"],
    ],
    tests: ["tests/streams/raw-processor.test.ts"],
  },
  {
    name: "of raw records all are lost with the one that throws",
    file: "streams/task/intake.ts",
    patch: [
      [
        "for (const each of raw) this.#takeRaw([each], processor, overlay);",
        "this.#costsRecord(error, raw[0]!, overlay);",
      ],
    ],
    tests: ["tests/streams/raw-processor.test.ts"],
  },
];
