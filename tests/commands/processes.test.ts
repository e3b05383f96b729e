import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, test } from "vitest";
import { Processes } from "../../commands/processes.ts";
import { fixedSharing } from "../../commands/sharing.ts";
import { stages } from "../../pipeline.ts";
import type { Assignments, Share } from "../../streams/index.ts";
import { until } from "../support/kafka.ts";

const file = fileURLToPath(new URL("share-program.ts", import.meta.url));
let running: Processes | undefined;
afterEach(() => running?.stop());

function processes(count: number, sharing = fixedSharing(5, 0, 1, 7)) {
  const log: string[] = [];
  const options = { command: { file, args: [] }, count, log: (line: string) => void log.push(line) };
  running = new Processes({ ...options, stages: [stages.features, stages.incidents], sharing });
  return { parent: running, log };
}

/** Partitions of a stage by the process that reports them: the children's status carries their pid as lag. */
function sharesOf(parent: Processes, stage: { readonly name: string }): Map<number, number[]> {
  const shares = new Map<number, number[]>();
  for (const t of parent.status().filter((s) => s.stage === stage.name))
    shares.set(t.lag, [...(shares.get(t.lag) ?? []), Number(t.partition)]);
  return shares;
}

type Holding = [pid: number, partitions: number[]];
const all = (parent: Processes) => [...sharesOf(parent, stages.features).values()].flat().sort();

describe("a parent and its children", () => {
  test("every partition is with one child, the loads of all stages even out, and the epoch is passed on", async () => {
    const { parent } = processes(3);
    await parent.start();
    await until("all is taken", () => parent.status().length === 10);
    const features = sharesOf(parent, stages.features);
    expect([...features.values()].flat().sort()).toEqual([0, 1, 2, 3, 4]);
    const both = [...features].map(([pid, own]) => own.length + sharesOf(parent, stages.incidents).get(pid)!.length);
    expect(both.sort()).toEqual([3, 3, 4]);
    expect(new Set(parent.status().map((t) => t.position))).toEqual(new Set([7]));
  });

  test("a killed child's partitions go to another process, whole, and the other children keep theirs", async () => {
    const { parent, log } = processes(2);
    await parent.start();
    await until("all is taken", () => all(parent).length === 5);
    const [[killed, lost], [other, kept]] = [...sharesOf(parent, stages.features)] as [Holding, Holding];
    process.kill(killed, "SIGKILL");
    await until("another process has them", () => {
      const shares = sharesOf(parent, stages.features);
      return !shares.has(killed) && all(parent).length === 5;
    });
    const shares = sharesOf(parent, stages.features);
    expect(shares.get(other)).toEqual(kept);
    expect([...shares].filter(([pid]) => pid !== other).map(([, own]) => own)).toEqual([lost]);
    expect(log).toEqual([expect.stringContaining(`${killed} ended by SIGKILL`)]);
  });

  test("a share that changes moves as little as it can", async () => {
    let give!: (share: Share) => void;
    const changing = (): Assignments => ({
      start: async (take) => {
        give = take;
        take({ partitions: [0, 1, 2, 3], epoch: 1 });
      },
      stop: async () => undefined,
    });
    const nothing: Assignments = {
      start: async (take) => take({ partitions: [], epoch: 1 }),
      stop: async () => undefined,
    };
    const { parent } = processes(2, (stage) => (stage === stages.features ? changing() : nothing));
    await parent.start();
    await until("all is taken", () => all(parent).length === 4);
    const before = sharesOf(parent, stages.features);
    give({ partitions: [0, 1, 2, 3, 4, 5], epoch: 2 });
    await until("the new ones are taken", () => all(parent).length === 6);
    for (const [pid, own] of sharesOf(parent, stages.features))
      expect(own).toEqual(expect.arrayContaining(before.get(pid)!));
    expect(
      parent
        .status()
        .map((t) => t.position)
        .sort(),
    ).toEqual([1, 1, 1, 1, 2, 2]);
  });

  test("a child that ends with an error ends the whole: it would end so again", async () => {
    const { parent } = processes(2);
    await parent.start();
    await until("all is taken", () => all(parent).length === 5);
    process.kill([...sharesOf(parent, stages.features).keys()][0]!, "SIGUSR2");
    await expect(parent.failed).rejects.toMatchObject({ code: "CHILD_FAILED" });
  });

  test("a stop ends every child", async () => {
    const { parent } = processes(2);
    await parent.start();
    await until("all is taken", () => all(parent).length === 5);
    const pids = [...sharesOf(parent, stages.features).keys()];
    await parent.stop();
    for (const pid of pids) expect(() => process.kill(pid, 0)).toThrow("ESRCH");
  });
});
