/**
 * `npm run pack:triton [-- FOLDER]`: the client as a package of its own, JavaScript and types, ready for `npm publish`.
 * The tarball goes to FOLDER (default: here); its path is the last line.
 */
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const read = (file: string) => JSON.parse(readFileSync(join(root, file), "utf8"));

function pack(folder: string): string {
  const scratch = mkdtempSync(join(tmpdir(), "weir-pack-"));
  try {
    const [source, out] = [join(scratch, "source"), join(scratch, "package")];
    cpSync(join(root, "triton/client"), join(source, "triton/client"), { recursive: true });
    // Of the rest of Weir the client uses the class of its errors, which stands alone.
    mkdirSync(join(source, "streams"));
    cpSync(join(root, "streams/errors.ts"), join(source, "streams/errors.ts"));
    writeFileSync(join(source, "streams/index.ts"), 'export * from "./errors.ts";\n');
    symlinkSync(join(root, "node_modules"), join(source, "node_modules"));
    const { compilerOptions } = read("tsconfig.json");
    const emit = {
      noEmit: false,
      declaration: true,
      outDir: out,
      rootDir: source,
      rewriteRelativeImportExtensions: true,
    };
    const config = { compilerOptions: { ...compilerOptions, ...emit }, include: ["triton", "streams"] };
    writeFileSync(join(source, "tsconfig.json"), JSON.stringify(config));
    // The package's folders are read as ES modules, as here.
    writeFileSync(join(source, "package.json"), '{"type":"module"}');
    execFileSync(join(root, "node_modules/.bin/tsc"), ["-p", source], { stdio: ["ignore", "inherit", "inherit"] });

    cpSync(join(root, "triton/client/kserve.proto"), join(out, "triton/client/kserve.proto"));
    cpSync(join(root, "triton/client/README.md"), join(out, "README.md"));
    cpSync(join(root, "LICENSE"), join(out, "LICENSE"));
    writeFileSync(join(out, "package.json"), `${JSON.stringify(manifest(), null, 2)}\n`);
    mkdirSync(folder, { recursive: true });
    execFileSync("npm", ["pack", "--silent", "--pack-destination", folder], { cwd: out, stdio: "ignore" });
    return join(folder, `${manifest().name}-${manifest().version}.tgz`);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

function manifest() {
  const { version, license, dependencies } = read("package.json");
  const entry = "./triton/client/index";
  return {
    name: "weir-triton-client",
    version,
    license,
    description: "Client for KServe v2 model servers (NVIDIA Triton) over gRPC",
    type: "module",
    engines: { node: ">=20" },
    exports: { ".": { types: `${entry}.d.ts`, default: `${entry}.js` } },
    files: ["triton", "streams"],
    dependencies: Object.fromEntries(
      ["@grpc/grpc-js", "@grpc/proto-loader"].map((name) => [name, `^${dependencies[name]}`]),
    ),
  };
}

process.stdout.write(`${pack(resolve(process.argv[2] ?? "."))}\n`);
