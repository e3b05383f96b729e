import { status } from "@grpc/grpc-js";
import { afterEach, describe, expect, test, vi } from "vitest";
import { type CallOptions, TritonClient } from "../../triton/index.ts";
import { FaultServer, grpcError, sums } from "./fault-server.ts";

const open: { close(): void }[] = [];
afterEach(() => {
  for (const thing of open.splice(0).reverse()) thing.close();
});

type Infer = NonNullable<FaultServer["handlers"]["ModelInfer"]>;
const soon = () => new Promise((resolve) => setImmediate(resolve));

async function connect(ModelInfer: Infer = sums) {
  const server = await new FaultServer({ ModelInfer }).start();
  server.streams = true;
  const client = new TritonClient({ address: server.address, timeoutMs: 40_000, attemptTimeoutMs: 40_000 });
  open.push({ close: () => server.kill() }, client);
  /** The sum of one row of these two. */
  const sum = async (a: number, b: number, options: CallOptions & { version?: string } = {}) => {
    const { version = "1", ...call } = options;
    const data = Float32Array.of(a, b);
    const asked = { model: "m", version, input: "input__0", output: "output__0", columns: 2, data };
    return (await client.infer(asked, call)).data[0];
  };
  return { server, client, sum };
}

/** What each stream carried. */
const streamsOf = ({ calls }: FaultServer) => {
  const streamed = calls.filter(({ stream }) => stream !== undefined);
  return [...Map.groupBy(streamed, ({ stream }) => stream).values()];
};

const many = Array.from({ length: 300 }, (_, i) => i);
const isRow = (request: Parameters<Infer>[0], a: number) => request.raw_input_contents[0]!.readFloatLE(0) === a;

describe("inferences over streams", () => {
  test("calls made at once share a few streams, and each has its own answer in whatever order they come", async () => {
    const { server, sum } = await connect(async (request) => {
      const turns = request.raw_input_contents[0]!.readFloatLE(0) % 3;
      for (let i = turns; i < 3; i++) await soon();
      return sums(request);
    });
    expect(await Promise.all(many.map((i) => sum(i, 1_000)))).toEqual(many.map((i) => i + 1_000));
    expect(server.count("ModelStreamInfer")).toBeGreaterThan(250);
    expect(server.count("ModelStreamInfer") + server.count("ModelInfer")).toBe(300);
    const sizes = streamsOf(server).map((stream) => stream.length);
    expect(sizes.length).toBeLessThan(60);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(128);
  });

  test("a lone call goes by itself: nobody would share its stream", async () => {
    const { server, sum } = await connect();
    for (let i = 0; i < 5; i++) expect(await sum(i, 1)).toBe(i + 1);
    expect([server.count("ModelInfer"), server.streamsBegun]).toEqual([5, 0]);
  });

  test("each version has its stream, and answers for it alone", async () => {
    const { sum, server } = await connect((request) => {
      const answer = sums(request, request.model_version);
      return request.model_version === "1" ? answer : { ...answer, raw_output_contents: [Buffer.alloc(4)] };
    });
    const asked = many.map((i) => sum(i, 1, { version: i % 2 === 0 ? "1" : "2" }));
    expect(await Promise.all(asked)).toEqual(many.map((i) => (i % 2 === 0 ? i + 1 : 0)));
    expect(server.count("ModelStreamInfer")).toBeGreaterThan(200);
    for (const stream of streamsOf(server))
      expect(new Set(stream.map(({ request }) => (request as { model_version: string }).model_version)).size).toBe(1);
  });

  test("a server without them is asked for one, then never again", async () => {
    const { server, sum } = await connect();
    server.streams = false;
    for (let round = 0; round < 3; round++)
      expect(await Promise.all(many.map((i) => sum(i, 2)))).toEqual(many.map((i) => i + 2));
    expect([server.streamsBegun, server.count("ModelInfer")]).toEqual([1, 900]);
  });

  test("answers that do not say whose they are are not taken: each call is made anew by itself, and streams no more", async () => {
    const { server, sum } = await connect((request) => ({ ...sums(request), id: "" }));
    for (let round = 0; round < 2; round++)
      expect(await Promise.all(many.map((i) => sum(i, 3)))).toEqual(many.map((i) => i + 3));
    expect([server.streamsBegun, server.count("ModelInfer")]).toEqual([1, 600]);
  });

  test("a refusal costs its own call alone, and has the code that a call of its own has", async () => {
    const { server, sum } = await connect((request) => {
      if (isRow(request, 7)) throw grpcError(status.INVALID_ARGUMENT, "unexpected shape");
      return sums(request);
    });
    const answers = await Promise.allSettled(many.map((i) => sum(i, 0)));
    expect(answers[7]).toMatchObject({ reason: { code: "MODEL_REQUEST_REFUSED", disposition: "fatal" } });
    expect(answers.filter(({ status }) => status === "rejected")).toHaveLength(1);
    expect(server.calls.filter(({ method }) => method === "ModelInfer").length).toBeLessThan(10);
  });

  test("a stream that is cut in the middle loses no call", async () => {
    let answered = 0;
    const { server, sum } = await connect(async (request) => {
      if (++answered % 50 === 0) server.cutStreams();
      await soon();
      return sums(request);
    });
    expect(await Promise.all(many.map((i) => sum(i, 4)))).toEqual(many.map((i) => i + 4));
    expect(server.streamsBegun).toBeGreaterThan(3);
  });

  test("a call that hangs ends at its time limit, one called off at once, and the others of their stream are answered", async () => {
    const stop = new AbortController();
    const { sum } = await connect((request) => {
      if (isRow(request, 8)) stop.abort(new Error("stopping"));
      return isRow(request, 7) || isRow(request, 8) ? new Promise(() => undefined) : sums(request);
    });
    const { signal } = stop;
    const limits: Record<number, CallOptions> = { 7: { timeoutMs: 3_000 }, 8: { signal } };
    const answers = await Promise.allSettled(many.map((i) => sum(i, 0, limits[i])));
    expect(answers[7]).toMatchObject({ reason: { code: "MODEL_SERVER_TIMEOUT" } });
    expect(answers[8]).toMatchObject({ reason: { message: "stopping" } });
    expect(answers.filter(({ status }) => status === "rejected")).toHaveLength(2);
  });

  test("a refusal for load, told in a stream, is a failure of its call, which is made once more", async () => {
    let refusals = 1;
    const { server, sum } = await connect((request) => {
      if (server.count("ModelStreamInfer") > 10 && refusals-- > 0)
        throw grpcError(status.UNAVAILABLE, "Exceeds maximum queue size");
      return sums(request);
    });
    expect(await Promise.all(many.map((i) => sum(i, 5)))).toEqual(many.map((i) => i + 5));
    expect(server.count("ModelStreamInfer") + server.count("ModelInfer")).toBe(301);
  });

  test("calls under way when the client is closed are answered", async () => {
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const { server, client, sum } = await connect(async (request) => {
      await held;
      return sums(request);
    });
    const both = Promise.all([sum(1, 1), sum(2, 2)]);
    await vi.waitFor(() => expect([server.count("ModelInfer"), server.count("ModelStreamInfer")]).toEqual([1, 1]), {
      timeout: 10_000,
    });
    client.close();
    release();
    expect(await both).toEqual([2, 4]);
  });

  test("streams end by themselves, so that a server can drain, and the next calls find it again", async () => {
    const { server, sum } = await connect();
    await Promise.all(many.map((i) => sum(i, 6)));
    await server.drain();
    await server.start();
    await vi.waitFor(async () => expect(await Promise.all([sum(1, 6), sum(2, 6), sum(3, 6)])).toEqual([7, 8, 9]), {
      timeout: 20_000,
      interval: 50,
    });
  });
});
