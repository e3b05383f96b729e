import { connect, createServer } from "node:net";
import { afterEach, expect, test } from "vitest";
import { BrokerProxy, framesOf } from "./broker-proxy.ts";

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

/** A request of Kafka's protocol, or with `apiKey` null a reply: only what the proxy reads of it. */
function frame(correlationId: number, apiKey: number | null): Buffer {
  const head = apiKey === null ? Buffer.alloc(8) : Buffer.alloc(12);
  head.writeInt32BE(head.length - 4, 0);
  if (apiKey !== null) head.writeInt16BE(apiKey, 4);
  head.writeInt32BE(correlationId, apiKey === null ? 4 : 8);
  return head;
}

/** A broker (fake) that answers each request with its correlation id, and a client behind the proxy. */
async function pair() {
  const arrived: number[] = [];
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    const requests = framesOf((f) => {
      arrived.push(f.readInt32BE(8));
      socket.write(frame(f.readInt32BE(8), null));
    });
    socket.on("data", requests);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closing.push(() => new Promise((resolve) => server.close(resolve)));
  const proxy = await BrokerProxy.start((server.address() as { port: number }).port);
  closing.push(() => proxy.stop());
  const client = connect(proxy.port, "127.0.0.1");
  closing.push(async () => client.destroy());
  const answered: number[] = [];
  const answers = framesOf((f) => answered.push(f.readInt32BE(4)));
  client.on("data", answers);
  const closed = new Promise<void>((resolve) => client.once("close", () => resolve()));
  return { arrived, answered, proxy, client, closed };
}

test("requests and replies pass whole, however the bytes are cut", async () => {
  const { client, answered, arrived } = await pair();
  const bytes = Buffer.concat([frame(1, 0), frame(2, 3), frame(3, 26)]);
  for (const byte of bytes) client.write(Buffer.of(byte));
  await expect.poll(() => answered).toEqual([1, 2, 3]);
  expect(arrived).toEqual([1, 2, 3]);
});

test("a swallowed reply never comes though its request arrived, and later ones do", async () => {
  const { client, answered, arrived, proxy } = await pair();
  const hit = proxy.spoil("EndTxn", "swallow");
  client.write(Buffer.concat([frame(1, 0), frame(2, 26), frame(3, 26)]));
  await hit;
  await expect.poll(() => answered).toEqual([1, 3]);
  expect(arrived).toEqual([1, 2, 3]);
});

test("a cut breaks the connection behind the request", async () => {
  const { client, answered, arrived, proxy, closed } = await pair();
  const hit = proxy.spoil("InitProducerId", "cut");
  client.write(frame(7, 22));
  await hit;
  await closed;
  expect(arrived).toEqual([7]);
  expect(answered).toEqual([]);
});

test("a delayed reply holds those behind it back and keeps their order", async () => {
  const { client, answered, proxy } = await pair();
  const hit = proxy.spoil("Produce", "delay", 50);
  client.write(Buffer.concat([frame(1, 0), frame(2, 3)]));
  await hit;
  await expect.poll(() => answered).toEqual([1, 2]);
});
