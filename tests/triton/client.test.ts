import { createServer } from "node:net";
import { status } from "@grpc/grpc-js";
import { afterEach, describe, expect, test, vi } from "vitest";
import { Breaker, RetryBudget } from "../../triton/client/breaker.ts";
import { TritonClient } from "../../triton/index.ts";
import { FaultServer, grpcError, reply, sums } from "./fault-server.ts";

const open: { close(): void }[] = [];
afterEach(() => {
  for (const thing of open.splice(0).reverse()) thing.close();
});

async function serve(handlers: FaultServer["handlers"] = {}): Promise<FaultServer> {
  const server = await new FaultServer(handlers).start();
  open.push({ close: () => server.kill() });
  return server;
}

function connect(address: string, options: { timeoutMs?: number; attemptTimeoutMs?: number } = {}): TritonClient {
  const client = new TritonClient({ address, ...options });
  open.push(client);
  return client;
}

const rows = (n: number) => Float32Array.from({ length: n * 2 }, (_, i) => i);
const ask = (n: number, version = "1") => ({
  model: "m",
  version,
  input: "input__0",
  output: "output__0",
  columns: 2,
  data: rows(n),
});
const failure = (code: string, disposition = "fatal") => expect.objectContaining({ code, disposition });

describe("an answer", () => {
  test("comes back row by row with the version that gave it", async () => {
    const client = connect((await serve()).address);
    const answer = await client.infer(ask(3));
    expect(answer).toEqual({ version: "1", width: 1, data: Float32Array.of(1, 5, 9) });
  });

  test("is read right wherever its bytes lie in the frame", async () => {
    for (const name of ["a", "ab", "abc", "abcd"]) {
      const server = await serve({ ModelInfer: (r) => ({ ...sums(r), model_name: name }) });
      const answer = await connect(server.address).infer(ask(2));
      expect(answer.data).toEqual(Float32Array.of(1, 5));
      // A copy of its own: later frames cannot change it.
      expect(answer.data.buffer.byteLength).toBe(8);
    }
  });

  test("with no or too few bytes is refused though its status is OK", async () => {
    const server = await serve({ ModelInfer: (r) => ({ ...sums(r), raw_output_contents: [Buffer.alloc(0)] }) });
    const client = connect(server.address);
    await expect(client.infer(ask(2))).rejects.toEqual(failure("MODEL_OUTPUT_SHORT"));
    server.handlers.ModelInfer = (r) => ({ ...sums(r), raw_output_contents: [Buffer.alloc(7)] });
    await expect(client.infer(ask(2))).rejects.toEqual(failure("MODEL_OUTPUT_SHORT"));
    server.handlers.ModelInfer = (r) => ({ ...sums(r), raw_output_contents: [] });
    await expect(client.infer(ask(2))).rejects.toEqual(failure("MODEL_OUTPUT_SHORT"));
  });

  test("of another shape, type or name is refused with both told", async () => {
    const server = await serve({ ModelInfer: (r) => reply(r, new Float32Array(3), [3, 1]) });
    const client = connect(server.address);
    await expect(client.infer(ask(2))).rejects.toThrow(/FP32 \[2, width\] was expected.*output__0 FP32 \[3, 1\]/);
    server.handlers.ModelInfer = (r) => reply(r, new Float32Array(2), [2, 1], "1", "INT32");
    await expect(client.infer(ask(2))).rejects.toEqual(failure("MODEL_SHAPE_MISMATCH"));
    server.handlers.ModelInfer = (r) => ({
      ...sums(r),
      outputs: [{ name: "predict", datatype: "FP32", shape: [2, 1] }],
    });
    await expect(client.infer(ask(2))).rejects.toEqual(failure("MODEL_SHAPE_MISMATCH"));
  });

  test("of another version than the one asked is refused", async () => {
    const client = connect((await serve({ ModelInfer: (r) => sums(r, "2") })).address);
    await expect(client.infer(ask(1, "1"))).rejects.toEqual(failure("MODEL_VERSION_MISMATCH"));
    expect((await client.infer(ask(1, ""))).version).toBe("2");
  });

  test("larger than gRPC's default frame is taken", async () => {
    const wide = (n: number) => new Float32Array(n * 40).fill(1);
    const server = await serve({ ModelInfer: (r) => reply(r, wide(40_000), [40_000, 40]) });
    server.handlers.ModelConfig = () => ({ config: null });
    expect((await connect(server.address).infer(ask(40_000))).data.length).toBe(1_600_000);
  });
});

describe("a request", () => {
  test("without rows is never sent", async () => {
    const server = await serve();
    expect((await connect(server.address).infer(ask(0))).data.length).toBe(0);
    expect(server.calls).toEqual([]);
  });

  test("that is no whole number of rows is refused before it is sent", async () => {
    const server = await serve();
    await expect(connect(server.address).infer({ ...ask(1), columns: 3 })).rejects.toEqual(
      failure("MODEL_REQUEST_REFUSED"),
    );
    expect(server.calls).toEqual([]);
  });

  test("over the model's batch limit is cut, and all parts go to the version that answered first", async () => {
    let answered = 1;
    const server = await serve({
      ModelConfig: ({ name }) => ({ config: { name, platform: "", backend: "", max_batch_size: 4 } }),
      ModelInfer: (r) => sums(r, r.model_version || String(answered++)),
    });
    const answer = await connect(server.address).infer(ask(10, ""));
    expect(answer).toEqual({ version: "1", width: 1, data: Float32Array.from({ length: 10 }, (_, i) => 4 * i + 1) });
    const sizes = server.calls.flatMap(({ method, request }) =>
      method === "ModelInfer" ? [(request as { inputs: { shape: number[] }[] }).inputs[0]!.shape[0]] : [],
    );
    expect(sizes).toEqual([4, 4, 2]);
    expect(server.count("ModelConfig")).toBe(1);
  });

  test("to a server without the configuration extension goes in one piece", async () => {
    const unimplemented = () => {
      throw grpcError(status.UNIMPLEMENTED, "no ModelConfig");
    };
    const server = await serve({ ModelConfig: unimplemented });
    expect((await connect(server.address).infer(ask(5000))).data.length).toBe(5000);
    expect(server.count("ModelInfer")).toBe(1);
  });
});

describe("a failing call", () => {
  const failing = (code: status, times: number) => {
    let left = times;
    return {
      ModelInfer: (r: Parameters<typeof sums>[0]) => (left-- > 0 ? Promise.reject(grpcError(code, "no")) : sums(r)),
    };
  };

  test("is sent again after UNAVAILABLE", async () => {
    const server = await serve(failing(status.UNAVAILABLE, 2));
    expect((await connect(server.address).infer(ask(1))).data).toEqual(Float32Array.of(1));
    expect(server.count("ModelInfer")).toBe(3);
  });

  test("is not sent again where the server said no, and names what to do", async () => {
    const codes: [status, string, string][] = [
      [status.INVALID_ARGUMENT, "MODEL_REQUEST_REFUSED", "fatal"],
      [status.NOT_FOUND, "MODEL_NOT_FOUND", "retry"],
      [status.INTERNAL, "MODEL_FAILED", "retry"],
      [status.RESOURCE_EXHAUSTED, "MODEL_SERVER_OVERLOADED", "retry"],
    ];
    for (const [grpc, code, disposition] of codes) {
      const server = await serve(failing(grpc, 1));
      await expect(connect(server.address).infer(ask(1))).rejects.toEqual(failure(code, disposition));
      expect(server.count("ModelInfer")).toBe(1);
    }
  });

  test("for a model that was unloaded, which Triton calls UNAVAILABLE, is no failure of the server", async () => {
    const details = "Request for unknown model: 'm' version 1 is not at ready state";
    const server = await serve({ ModelInfer: () => Promise.reject(grpcError(status.UNAVAILABLE, details)) });
    const client = connect(server.address);
    for (let i = 0; i < 6; i++) await expect(client.infer(ask(1))).rejects.toEqual(failure("MODEL_NOT_FOUND", "retry"));
    expect(server.count("ModelInfer")).toBe(6);
  });

  test("that hangs ends at its time limit, after a second try within it", async () => {
    const server = await serve({ ModelInfer: () => new Promise(() => {}) });
    const client = connect(server.address, { timeoutMs: 3_000, attemptTimeoutMs: 500 });
    await expect(client.infer(ask(1))).rejects.toEqual(failure("MODEL_SERVER_TIMEOUT", "retry"));
    expect(server.count("ModelInfer")).toBeGreaterThanOrEqual(2);
  });

  test("that hangs ends with the reason of an aborted signal", async () => {
    const stop = new AbortController();
    const server = await serve({
      ModelInfer: () => {
        stop.abort(new Error("stopping"));
        return new Promise(() => {});
      },
    });
    await expect(connect(server.address).infer(ask(1), { signal: stop.signal })).rejects.toThrow("stopping");
  });

  test("leaves a dead server alone after five failures in a row, and finds it again once it is back", async () => {
    const server = await serve(failing(status.UNAVAILABLE, 1_000));
    const client = connect(server.address, { timeoutMs: 30_000 });
    await expect(client.infer(ask(1))).rejects.toEqual(failure("MODEL_SERVER_UNAVAILABLE", "retry"));
    expect(server.count("ModelInfer")).toBe(5);
    await expect(client.serverLive()).rejects.toThrow(/was not sent/);
    expect(server.count("ServerLive")).toBe(0);
    delete server.handlers.ModelInfer;
    await vi.waitFor(() => client.infer(ask(1)), { timeout: 30_000, interval: 50 });
  });

  test("to an address where nobody listens says so", async () => {
    const port = await new Promise<number>((resolve) => {
      const probe = createServer().listen(0, "127.0.0.1", () => {
        const { port } = probe.address() as { port: number };
        probe.close(() => resolve(port));
      });
    });
    const client = connect(`127.0.0.1:${port}`, { timeoutMs: 10_000 });
    await expect(client.serverLive()).rejects.toEqual(failure("MODEL_SERVER_UNAVAILABLE", "retry"));
  });
});

test("the breaker opens at the fifth failure in a row, lets one try after each pause, and each failed try doubles it", () => {
  const breaker = new Breaker();
  for (let i = 0; i < 4; i++) breaker.failed(0);
  breaker.succeeded();
  for (let i = 0; i < 4; i++) breaker.failed(0);
  expect(breaker.allow(0)).toBe(true);
  breaker.failed(0);
  //  0 open     500 one try, fails     1500 one try, works
  expect(breaker.allow(499)).toBe(false);
  expect([breaker.allow(500), breaker.allow(500)]).toEqual([true, false]);
  breaker.failed(500);
  expect(breaker.allow(1_499)).toBe(false);
  expect(breaker.allow(1_500)).toBe(true);
  breaker.succeeded();
  expect([breaker.allow(1_500), breaker.allow(1_500)]).toEqual([true, true]);
});

test("retries end when the budget is spent and come back at one for ten calls", () => {
  const budget = new RetryBudget();
  for (let i = 0; i < 10; i++) expect(budget.take()).toBe(true);
  expect(budget.take()).toBe(false);
  for (let i = 0; i < 11; i++) budget.called();
  expect([budget.take(), budget.take()]).toEqual([true, false]);
});

test("a server that goes away, with GOAWAY or cut off, is found again by the same client", async () => {
  const server = await serve();
  const client = connect(server.address, { timeoutMs: 5_000 });
  expect((await client.infer(ask(1))).data).toEqual(Float32Array.of(1));
  await server.drain();
  await server.start();
  await vi.waitFor(() => client.infer(ask(1)), { timeout: 30_000, interval: 50 });
  server.kill();
  await expect(client.infer(ask(1))).rejects.toEqual(failure("MODEL_SERVER_UNAVAILABLE", "retry"));
  await server.start();
  await vi.waitFor(() => client.infer(ask(1)), { timeout: 30_000, interval: 50 });
});

test("metadata, configuration, statistics and the repository are read and written", async () => {
  const metadata = {
    name: "m",
    versions: ["1", "2"],
    platform: "python",
    inputs: [{ name: "input__0", datatype: "FP32", shape: [-1, 2] }],
    outputs: [{ name: "output__0", datatype: "FP32", shape: [-1, 1] }],
  };
  const index = [{ name: "m", version: "1", state: "UNAVAILABLE", reason: "unloaded" }];
  const zero = { count: 0, ns: 0 };
  const times = { success: { count: 2, ns: 5e9 }, fail: zero, queue: zero, compute_input: zero };
  const stats = {
    name: "m",
    version: "1",
    last_inference: 1_700_000_000_000,
    inference_count: 512,
    execution_count: 2,
    inference_stats: { ...times, compute_infer: zero, compute_output: zero },
  };
  const server = await serve({
    ModelReady: () => ({ ready: false }),
    ServerMetadata: () => ({ name: "triton", version: "2.51.0", extensions: ["statistics"] }),
    ModelMetadata: () => metadata,
    ModelStatistics: () => ({ model_stats: [stats] }),
    RepositoryIndex: () => ({ models: index }),
    RepositoryModelLoad: () => ({}),
    RepositoryModelUnload: () => ({}),
  });
  const client = connect(server.address);
  expect(await client.serverReady()).toBe(true);
  expect(await client.modelReady("m")).toBe(false);
  expect((await client.serverMetadata()).version).toBe("2.51.0");
  expect(await client.modelMetadata("m", "1")).toEqual(metadata);
  expect((await client.modelConfig("m")).max_batch_size).toBe(4096);
  expect(await client.statistics("m")).toEqual([stats]);
  expect(await client.repositoryIndex()).toEqual(index);
  await client.load("m");
  await client.unload("m");
  expect(server.calls.slice(-2).map(({ request }) => request)).toMatchObject([
    { model_name: "m" },
    { model_name: "m" },
  ]);
});

test("a model with other tensors than expected is refused with both lists, whatever their order", async () => {
  const tensor = (name: string, columns: number) => ({ name, datatype: "FP32", shape: [-1, columns] });
  const inputs = [tensor("b", 1), tensor("a", 2)];
  const outputs = [tensor("o", 1)];
  const server = await serve({
    ModelMetadata: () => ({ name: "m", versions: ["1"], platform: "python", inputs, outputs }),
  });
  const client = connect(server.address);
  await client.expectTensors("m", "1", { inputs: [tensor("a", 2), tensor("b", 1)], outputs });
  const other = client.expectTensors("m", "1", { inputs: [tensor("a", 3)], outputs });
  await expect(other).rejects.toEqual(failure("MODEL_METADATA_MISMATCH"));
  await expect(other).rejects.toThrow(
    /Expected: input a FP32 \[-1, 3\]; output o FP32 \[-1, 1\]\. Server: input a FP32 \[-1, 2\]; b FP32 \[-1, 1\]; output o/,
  );
});

test("calls beyond what the server answers in good time wait their turn, and all are answered", async () => {
  let flying = 0;
  let most = 0;
  const server = await serve({
    ModelInfer: async (r) => {
      most = Math.max(most, ++flying);
      await new Promise((resolve) => setImmediate(resolve));
      flying--;
      return sums(r);
    },
  });
  const client = connect(server.address);
  const answers = await Promise.all(Array.from({ length: 300 }, () => client.infer(ask(1))));
  expect(answers.every(({ data }) => data[0] === 1)).toBe(true);
  expect(most).toBeLessThanOrEqual(64);
});

test("a refusal for load halves the calls sent at once", async () => {
  const server = await serve();
  const client = connect(server.address);
  // Eight answers measure the server's own time with two in flight; from then on four may be.
  for (let i = 0; i < 8; i++) await client.infer(ask(1));
  const flying = async () => {
    let arrived = 0;
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    server.handlers.ModelInfer = async (r) => {
      arrived++;
      await held;
      return sums(r);
    };
    const all = Promise.all(Array.from({ length: 6 }, () => client.infer(ask(1))));
    // Another call of the same connection comes after those that were sent before it.
    await vi.waitFor(() => expect(arrived).toBeGreaterThan(1), { timeout: 10_000 });
    await client.serverLive();
    const sentAtOnce = arrived;
    release();
    await all;
    return sentAtOnce;
  };
  expect(await flying()).toBe(4);
  server.handlers.ModelInfer = () => Promise.reject(grpcError(status.RESOURCE_EXHAUSTED, "too much"));
  await expect(client.infer(ask(1))).rejects.toEqual(failure("MODEL_SERVER_OVERLOADED", "retry"));
  expect(await flying()).toBe(2);
});
