import { afterEach, expect, test, vi } from "vitest";
import { channelOptions } from "../../triton/client/channel.ts";
import { TritonClient } from "../../triton/index.ts";
import { FaultServer } from "./fault-server.ts";
import { NameServer } from "./name-server.ts";

// Read when gRPC is loaded: the name server of an address such as dns://127.0.0.1:53/name:port is asked then.
vi.hoisted(() => {
  process.env.GRPC_NODE_USE_ALTERNATIVE_RESOLVER = "true";
});

const open: { close(): void }[] = [];
afterEach(() => {
  for (const thing of open.splice(0).reverse()) thing.close();
});

/** Two model servers on the same port of two addresses, and a name that leads to the first. */
async function headless(options: { maxConnectionAgeMs?: number } = {}) {
  const first = await new FaultServer({}, "127.0.0.1").start();
  const second = new FaultServer({}, "127.0.0.2");
  second.port = first.port;
  await second.start();
  const names = await new NameServer(["127.0.0.1"]).start();
  const address = `dns://127.0.0.1:${names.port}/triton.test:${first.port}`;
  const client = new TritonClient({ address, ...options });
  open.push({ close: () => first.kill() }, { close: () => second.kill() }, names, client);
  return { first, second, names, client };
}

test("pings stay within what Triton bears: no two within 300 s, none without a call", () => {
  // Its defaults: min_recv_ping_interval_without_data 300,000 ms, no permit without calls; else GOAWAY.
  expect(channelOptions["grpc.keepalive_time_ms"]).toBeGreaterThan(300_000);
  expect(channelOptions["grpc.keepalive_permit_without_calls"]).toBe(0);
});

test("calls go round all servers that a name resolves to", async () => {
  const { first, second, names, client } = await headless();
  names.addresses = ["127.0.0.1", "127.0.0.2"];
  await vi.waitFor(
    async () => {
      await client.serverLive();
      expect(second.count("ServerLive")).toBeGreaterThan(0);
    },
    { timeout: 10_000, interval: 20 },
  );
  const before = [first.count("ServerLive"), second.count("ServerLive")];
  for (let i = 0; i < 10; i++) await client.serverLive();
  expect([first.count("ServerLive"), second.count("ServerLive")]).toEqual(before.map((n) => n + 5));
});

test("a server that joins later gets calls once the connections are of age, and no call fails meanwhile", async () => {
  const { first, second, names, client } = await headless({ maxConnectionAgeMs: 200 });
  await client.serverLive();
  names.addresses = ["127.0.0.1", "127.0.0.2"];
  await vi.waitFor(
    async () => {
      await client.serverLive();
      expect(second.count("ServerLive")).toBeGreaterThan(0);
    },
    { timeout: 10_000, interval: 20 },
  );
  expect(first.count("ServerLive")).toBeGreaterThan(1);
});

test("young connections are kept: the name is asked once", async () => {
  const { names, client, first } = await headless();
  for (let i = 0; i < 20; i++) await client.serverLive();
  expect([names.questions, first.count("ServerLive")]).toEqual([1, 20]);
});

test("connections that work are not given up for a name that leads nowhere", async () => {
  const { first, names, client } = await headless({ maxConnectionAgeMs: 50 });
  await client.serverLive();
  names.addresses = [];
  const asked = names.questions;
  await vi.waitFor(
    async () => {
      await client.serverLive();
      expect(names.questions).toBeGreaterThan(asked);
    },
    { timeout: 10_000, interval: 20 },
  );
  const before = first.count("ServerLive");
  for (let i = 0; i < 10; i++) expect(await client.serverLive()).toBe(true);
  expect(first.count("ServerLive")).toBe(before + 10);
});

test("a call under way ends on the connection it began on", async () => {
  const { first, client } = await headless({ maxConnectionAgeMs: 50 });
  let finish = () => {};
  first.handlers.ServerReady = () =>
    new Promise((resolve) => {
      finish = () => resolve({ ready: true });
    });
  const slow = client.serverReady();
  await vi.waitFor(
    async () => {
      await client.serverLive();
      expect(first.peers.size).toBeGreaterThan(1);
    },
    { timeout: 10_000, interval: 20 },
  );
  finish();
  expect(await slow).toBe(true);
});
