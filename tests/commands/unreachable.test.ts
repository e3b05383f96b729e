import { connect, createServer } from "node:net";
import { expect, test } from "vitest";
import { unreachable } from "../../commands/unreachable.ts";

async function refused(host: string): Promise<unknown> {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return await new Promise((resolve) => connect({ host, port }).once("error", resolve));
}

test.each(["127.0.0.1", "localhost"])(
  "a connection that %s refuses tells where nothing answers, and what to do",
  async (host) => {
    const found = unreachable(await refused(host));
    expect(found?.code).toBe("SERVICE_UNREACHABLE");
    expect(found?.message).toMatch(/^Nothing answers at .*:\d+ \(ECONNREFUSED\)\.$/);
  },
);

test("any other error is not explained away", () => {
  expect(unreachable(new Error("a fault"))).toBeUndefined();
  expect(unreachable(Object.assign(new Error("no such file"), { code: "ENOENT" }))).toBeUndefined();
  expect(unreachable(undefined)).toBeUndefined();
});
