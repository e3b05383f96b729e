import { expect, test } from "vitest";
import { exists, type Import, importsOf, isPackage, productFiles, read } from "./sources.ts";

/** Which folder may import which others. What stands at the root composes, and is imported by `commands` alone. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  schemas: [],
  streams: ["schemas"],
  processors: ["schemas", "streams"],
  sources: ["schemas", "streams", "processors"],
  sinks: ["schemas", "streams", "processors"],
  triton: ["schemas", "streams", "processors"],
  explainer: ["schemas", "streams", "processors"],
  trainer: ["schemas", "streams", "processors"],
  control: ["schemas", "streams", "processors", "triton", "trainer"],
  edge: ["schemas", "streams", "processors", "triton"],
  ops: ["schemas", "streams", "processors"],
  local: ["schemas", "streams", "processors"],
};
/** At the root: what each file may import. `main.ts` may import all. */
const rootFiles: Readonly<Record<string, readonly string[]>> = {
  "pipeline.ts": ["streams"],
  "config.ts": ["streams"],
};

const folderOf = (file: string): string => (file.includes("/") ? file.slice(0, file.indexOf("/")) : "");
const imports = productFiles()
  .filter((file) => file.endsWith(".ts"))
  .flatMap(importsOf);
const own = imports.filter((i): i is Import & { target: string } => i.target !== null);
const shown = ({ file, line, specifier }: Import) => `${file}:${line} imports ${specifier}`;

test("imports point inward: each folder imports only the folders it may know", () => {
  const wrong = own.filter(({ file, target }) => {
    const [from, to] = [folderOf(file), folderOf(target)];
    if (from === to && from !== "") return false;
    if (from === "commands" || file === "main.ts") return to === "" && target === "main.ts";
    return !(allowed[from] ?? rootFiles[file] ?? []).includes(to);
  });
  expect(wrong.map(shown)).toEqual([]);
});

test("every folder with code stands in the import rule", () => {
  const known = [...Object.keys(allowed), "commands", "bin", ""];
  expect([...new Set(productFiles().map(folderOf))].filter((folder) => !known.includes(folder))).toEqual([]);
});

test("across folders only an index.ts is imported", () => {
  const wrong = own.filter(({ file, target }) => {
    const [from, to] = [folderOf(file), folderOf(target)];
    // The commands are loaded one by one, so that `weir --help` does not load them all.
    if (from === to || to === "" || (file === "main.ts" && to === "commands")) return false;
    return !target.endsWith("/index.ts");
  });
  expect(wrong.map(shown)).toEqual([]);
});

test("every import of our own names a file that is there", () => {
  expect(own.filter(({ target }) => !exists(target)).map(shown)).toEqual([]);
});

test("every package that the product imports is one of its locked dependencies", () => {
  const { dependencies } = JSON.parse(read("package.json")) as { dependencies: Record<string, string> };
  const nameOf = (specifier: string) => specifier.split("/", specifier.startsWith("@") ? 2 : 1).join("/");
  const development = ["testcontainers"]; // the containers of `--infra docker` are for development
  const used = new Set(imports.filter(isPackage).map(({ specifier }) => nameOf(specifier)));
  expect([...used].filter((name) => !(name in dependencies) && !development.includes(name))).toEqual([]);
});

test("files import each other in no circle, types apart", () => {
  const edges = Map.groupBy(
    // A role may build on the others: the commands are the composition root.
    own.filter((i) => !i.typeOnly && folderOf(i.file) !== "commands"),
    ({ file }) => file,
  );
  const done = new Set<string>();
  const path: string[] = [];
  const cycles: string[] = [];
  const visit = (file: string): void => {
    if (path.includes(file)) {
      cycles.push([...path.slice(path.indexOf(file)), file].join(" → "));
      return;
    }
    if (done.has(file)) return;
    path.push(file);
    for (const { target } of edges.get(file) ?? []) visit(target);
    path.pop();
    done.add(file);
  };
  for (const file of edges.keys()) visit(file);
  expect(cycles).toEqual([]);
});
