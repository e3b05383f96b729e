import { setTimeout as sleep } from "node:timers/promises";
import type { BrokerProxy } from "./broker-proxy.ts";
import { type Fault, isOfTakeOver, type Member, members } from "./schedule.ts";
import type { World } from "./world.ts";

/** A point or a reply that is not met for so long is given up: another fault is drawn instead. */
const MET_WITHIN_MS = 45_000;
const POLL_MS = 20;
/** Longer than a transaction lives (10 s), with the broker's scan for such. */
const ASLEEP_MS = 12_500;
/** How long a process that woke up in another's place may do harm. */
const AWAKE_MS = 3_000;

type Of<K extends Fault["kind"]> = Extract<Fault, { kind: K }>;

/** Lets one fault happen; false: it was not met. Resolves as soon as the next one of its kind may come. */
export async function strike(world: World, fault: Fault, random: () => number): Promise<boolean> {
  switch (fault.kind) {
    case "point":
      return await atPoint(world, fault, random);
    case "kill":
      return await kill(world, fault, random);
    case "reply":
      return await reply(world, fault, random);
    case "broker":
      return await broker(world, random);
    case "zombie":
      return await zombie(world, fault, random);
    case "reshard":
      await world.reshard(fault.how);
      return true;
    case "scale":
      return await scale(world, fault);
    case "outage":
      return await outage(world, fault);
  }
}

const anySeat = ({ crew }: World, member: Member, random: () => number) => {
  const seats = crew.seats(member);
  return seats[Math.floor(random() * seats.length)]!;
};

/** At any moment within a second of work. */
async function kill(world: World, { member }: Of<"kill">, random: () => number): Promise<boolean> {
  for (let attempt = 0; attempt < 10; attempt++) {
    const seat = anySeat(world, member, random);
    await seat.running();
    await sleep(random() * 1_000);
    if (!seat.isRunning) continue; // another fault was first
    seat.kill(random() < 0.2);
    return true;
  }
  return false;
}

async function atPoint(world: World, { member, stage, step, passes }: Of<"point">, random: () => number) {
  const { crew } = world;
  // One that works passes no take-over: it has to be ended first. One that was just killed comes to it by itself.
  const seat = anySeat(world, member, random);
  crew.arm(member, { stage, step, passes });
  if (isOfTakeOver(step) && (seat.isRunning || seat.hasChildren)) seat.kill();
  if (step === "SHARD_END") await world.reshard(random() < 0.5 ? "split" : "merge");
  if (await met(async () => crew.isHit(member))) return true;
  return !crew.disarm(member);
}

async function reply(world: World, { api, fault, delayMs }: Of<"reply">, random: () => number): Promise<boolean> {
  let isMet = false;
  const { proxies } = world;
  const hit = Promise.race(proxies.map((proxy: BrokerProxy) => proxy.spoil(api, fault, delayMs)));
  void hit.then(() => {
    isMet = true;
    for (const proxy of proxies) proxy.disarm();
  });
  // Producers are initialised when tasks are taken over.
  if (api === "InitProducerId") anySeat(world, members[Math.floor(random() * members.length)]!, random).kill();
  const struck = await met(async () => isMet);
  for (const proxy of proxies) proxy.disarm();
  return struck;
}

async function broker({ env }: World, random: () => number): Promise<boolean> {
  const { cluster } = env;
  await cluster.whole();
  const node = cluster.nodes[Math.floor(random() * cluster.nodes.length)]!;
  await node.kill();
  await sleep(random() * 2_000);
  node.start();
  await cluster.whole();
  return true;
}

async function zombie(world: World, { member, replaced }: Of<"zombie">, random: () => number): Promise<boolean> {
  const seat = anySeat(world, member, random);
  await seat.running();
  if (!seat.isRunning) return false; // killed in the same moment
  if (replaced) {
    const old = seat.abandon();
    await sleep(ASLEEP_MS);
    await seat.running();
    old.wake();
    await sleep(AWAKE_MS);
    await old.end();
    return true;
  }
  const wake = seat.freeze();
  await sleep(ASLEEP_MS);
  return wake(); // else it was killed meanwhile: another fault, counted on its own
}

/** One process becomes three, then two; two become one again. */
async function scale({ crew }: World, { member }: Of<"scale">): Promise<boolean> {
  const counts = crew.seats(member).length === 1 ? [3, 2] : [1];
  for (const count of counts) await crew.scale(member, count);
  return true;
}

async function outage({ env }: World, { component, how, forMs }: Of<"outage">): Promise<boolean> {
  const server = env.servers.killable[component];
  if (how === "killed") await server.kill();
  else server.signal("SIGSTOP");
  await sleep(forMs);
  if (how === "killed") server.start();
  else server.signal("SIGCONT");
  return true;
}

async function met(isMet: () => Promise<boolean>): Promise<boolean> {
  for (const deadline = performance.now() + MET_WITHIN_MS; performance.now() < deadline; ) {
    if (await isMet()) return true;
    await sleep(POLL_MS);
  }
  return await isMet();
}
