import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

const read = (file: string) => readFileSync(new URL(`../../${file}`, import.meta.url), "utf8");
const versionsIn = (text: string) =>
  Object.fromEntries([...text.matchAll(/([\w-]+)==([\d.]+)/g)].map((m) => [m[1], m[2]]));

test("the image to deploy is the one that --infra docker starts, with the libraries that the tests serve models with", () => {
  const dockerfile = read("deploy/triton/Dockerfile");
  const [, image] = /^FROM (\S+)$/m.exec(dockerfile)!;
  expect(read("local/docker.ts")).toContain(`image: "${image}"`);
  // Its Python has no wheel of the newer onnxruntime.
  const { onnxruntime: _, ...installed } = versionsIn(dockerfile);
  expect(Object.keys(installed)).toEqual(["numpy", "xgboost-cpu"]);
  expect(versionsIn(read("local/setup/python/serve.txt"))).toMatchObject(installed);
});
