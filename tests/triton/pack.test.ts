import { execFile, execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { FaultServer } from "./fault-server.ts";

/** The tarball in an empty project: nothing of this tree within reach. */
const root = new URL("../../", import.meta.url).pathname;
const run = promisify(execFile);
let project: string;
let server: FaultServer;

const program = `
import { TritonClient, TritonError } from "weir-triton-client";
const client = new TritonClient({ address: process.argv[2] });
const { version, width, data } = await client.infer({
  model: "m", version: "1", input: "input__0", output: "output__0", columns: 2, data: new Float32Array([1, 2, 3, 4]),
});
const code = await client.modelMetadata("m").catch((error) => error instanceof TritonError && error.code);
console.log(JSON.stringify({ version, width, data: [...data], code }));
client.close();
`;

beforeAll(async () => {
  project = mkdtempSync(join(tmpdir(), "weir-empty-project-"));
  const tarball = execFileSync(process.execPath, [join(root, "triton/pack.ts"), project], { encoding: "utf8" }).trim();
  writeFileSync(join(project, "package.json"), '{"private":true,"type":"module"}');
  const quiet = ["--prefer-offline", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"];
  await run("npm", ["install", ...quiet, tarball], { cwd: project });
  writeFileSync(join(project, "main.js"), program);
  server = await new FaultServer().start();
}, 120_000);
afterAll(() => {
  server?.kill();
  rmSync(project, { recursive: true, force: true });
});

/** This Node, and the one that npm was started with before the pinned one was put in front of it. */
const nodes = (): string[] => {
  const folders = (process.env.PATH ?? "").split(delimiter).filter((folder) => !folder.includes("node_modules"));
  const other = folders.map((folder) => join(folder, "node")).find(existsSync);
  return [process.execPath, ...(other ? [other] : [])];
};

test("the packed client scores rows and names its errors, under the pinned Node and the machine's own", async () => {
  const versions: string[] = [];
  for (const node of nodes()) {
    versions.push((await run(node, ["--version"])).stdout.trim());
    const { stdout } = await run(node, ["main.js", server.address], { cwd: project, timeout: 30_000 });
    expect(JSON.parse(stdout)).toEqual({ version: "1", width: 1, data: [3, 7], code: "MODEL_SERVER_UNSUPPORTED" });
  }
  expect(versions[0]).toMatch(/^v24\./);
  console.log(`The packed client ran under Node ${versions.join(" and ")}.`);
});

test("its types are found from an empty project, and hold", async () => {
  writeFileSync(
    join(project, "tsconfig.json"),
    '{"compilerOptions":{"module":"nodenext","strict":true,"noEmit":true}}',
  );
  const use = (columns: string) => `import { TritonClient } from "weir-triton-client";
const client = new TritonClient({ address: "127.0.0.1:1" });
export const rows: Promise<Float32Array> = client
  .infer({ model: "m", input: "i", output: "o", columns: ${columns}, data: new Float32Array(2) })
  .then(({ data }) => data);
`;
  const check = () => run(join(root, "node_modules/.bin/tsc"), ["-p", "."], { cwd: project });
  writeFileSync(join(project, "use.ts"), use("2"));
  await check();
  writeFileSync(join(project, "use.ts"), use('"2"'));
  await expect(check()).rejects.toMatchObject({ stdout: expect.stringContaining("'string' is not assignable") });
});
