import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { type Backend, modelConfig, tensorsFor } from "../../schemas/index.ts";
import { checkModel, modelFolders, readServingConfig } from "../../triton/index.ts";

const fixtures = new URL("fixtures/repository/", import.meta.url).pathname;
const made: string[] = [];
afterEach(() => {
  for (const dir of made.splice(0)) rmSync(dir, { recursive: true });
});

const widths = { xgboost_anomaly: 6, catboost_anomaly: 5, isolation_forest: 6 } as const;

/** A copy of a model's folder as it would be published for a backend. */
function publish(name: keyof typeof widths, backend: Backend): string {
  const home = mkdtempSync(join(tmpdir(), "weir-check-"));
  made.push(home);
  const model = join(home, name);
  cpSync(join(fixtures, name), model, { recursive: true });
  writeFileSync(join(model, "config.pbtxt"), modelConfig(name, widths[name], { backend, keptVersions: 2 }));
  for (const folder of modelFolders(model)) {
    if (backend === "python") writeFileSync(join(folder, "model.py"), "# the trainer's code stands here\n");
    edit(folder, "manifest.json", (m) => Object.assign(m, tensorsFor(backend, widths[name])));
  }
  return join(model, "1");
}
function edit(folder: string, file: string, change: (value: Record<string, unknown>) => void): void {
  const value = JSON.parse(readFileSync(join(folder, file), "utf8"));
  change(value);
  writeFileSync(join(folder, file), JSON.stringify(value));
}
const editConfig = (folder: string, change: (text: string) => string) => {
  const file = join(dirname(folder), "config.pbtxt");
  writeFileSync(file, change(readFileSync(file, "utf8")));
};

describe("a model's folder", () => {
  test.each([
    ["xgboost_anomaly", "python"],
    ["catboost_anomaly", "python"],
    ["isolation_forest", "python"],
  ] as const)("%s for the %s backend is found whole", (name, backend) => {
    const report = checkModel(publish(name, backend));
    expect(report).toMatchObject({ model: name, version: "1", backend, goldenRows: 64, faults: [], notProved: [] });
    expect(report.columns).toBe(widths[name]);
  });

  test.each([
    ["xgboost_anomaly", "fil"],
    ["catboost_anomaly", "onnxruntime"],
  ] as const)(
    "%s for the %s backend, which was not run here, is checked as text, and that is said",
    (name, backend) => {
      const report = checkModel(publish(name, backend));
      expect(report.faults).toEqual([]);
      expect(report.notProved).toEqual([expect.stringContaining(`${backend} backend loads it`)]);
    },
  );

  test("has a digest that changes with every byte of every file, and with nothing else", () => {
    const [one, two] = [publish("xgboost_anomaly", "python"), publish("xgboost_anomaly", "python")];
    expect(checkModel(one).digest).toBe(checkModel(two).digest);
    for (const file of ["xgboost.json", "golden.json", "manifest.json", "model.py"]) {
      const before = checkModel(two).digest;
      writeFileSync(join(two, file), `${readFileSync(join(two, file), "utf8")} `);
      expect(checkModel(two).digest).not.toBe(before);
    }
  });

  test("is told all its faults at once: manifest, model file, server's configuration", () => {
    const folder = publish("xgboost_anomaly", "python");
    edit(folder, "golden.json", (g) => {
      (g.raw as number[])[5]! += 1e-3;
    });
    rmSync(join(folder, "model.py"));
    editConfig(folder, (text) => text.replace("dims: [ 6 ]", "dims: [ 7 ]").replace("max_batch_size: 4096", ""));
    const { faults } = checkModel(folder);
    expect(faults).toEqual([
      expect.stringMatching(/golden row 5/),
      expect.stringMatching(/max_batch_size must be over 0/),
      expect.stringMatching(/input must be input__0 TYPE_FP32 \[ 6 \], not .*7/),
      expect.stringMatching(/needs model.py/),
    ]);
    edit(folder, "manifest.json", (m) =>
      Object.assign(m, { columns: [], missing: "-1", output: { name: "o", width: 3 } }),
    );
    editConfig(folder, () => 'name: "m" colour: 3 max_batch_size: "many"');
    const worse = checkModel(folder).faults;
    for (const fault of [
      /columns is no list/,
      /"nan"/,
      /output.width 3/,
      /ModelConfig has no field colour/,
      /max_batch_size/,
    ])
      expect(worse.join("\n")).toMatch(fault);
  });

  test("without config.pbtxt, with another model's, or for a backend that cannot serve it, is refused", () => {
    const folder = publish("xgboost_anomaly", "python");
    editConfig(folder, (text) => text.replace('name: "xgboost_anomaly"', 'name: "other"'));
    expect(checkModel(folder).faults).toEqual([expect.stringMatching(/name other is not the folder's/)]);
    editConfig(folder, (text) => text.replace("other", "xgboost_anomaly").replace('"python"', '"onnxruntime"'));
    expect(checkModel(folder).faults[0]).toMatch(/"onnxruntime" is none of python, fil/);
    rmSync(join(dirname(folder), "config.pbtxt"));
    expect(checkModel(folder).faults).toEqual([expect.stringMatching(/config.pbtxt is missing/)]);
  });

  test("for FIL needs the parameters of both generations of servers", () => {
    for (const parameter of ["output_class", "is_classifier", "threshold", "predict_proba"]) {
      const folder = publish("xgboost_anomaly", "fil");
      editConfig(folder, (text) => text.replace(new RegExp(`.*key: "${parameter}".*\n`), ""));
      expect(checkModel(folder).faults).toEqual([expect.stringContaining(`FIL needs the parameter ${parameter}`)]);
    }
  });

  test("for onnxruntime must name the graph's own tensors", () => {
    const folder = publish("catboost_anomaly", "onnxruntime");
    edit(folder, "manifest.json", (m) => Object.assign(m, { input: { name: "rows", columns: 5 } }));
    editConfig(folder, (text) => text.replace('"features"', '"rows"'));
    expect(checkModel(folder).faults).toEqual([
      expect.stringMatching(/graph's tensors are features and .*probabilities/),
    ]);
  });

  test("means all its versions, oldest first; a folder that holds none is refused", () => {
    const folder = publish("xgboost_anomaly", "python");
    expect(modelFolders(dirname(folder)).map((f) => f.slice(-2))).toEqual(["/1", "/2"]);
    expect(modelFolders(folder)).toEqual([folder]);
    expect(() => modelFolders(tmpdir())).toThrow(expect.objectContaining({ code: "MODEL_UNKNOWN" }));
  });
});

describe("config.pbtxt as text", () => {
  test("may hold comments, lists, maps, either kind of brackets and adjacent strings", () => {
    const { config, faults } = readServingConfig(`
      # a comment { that is none
      name: "mo" 'del'; max_batch_size: 8,
      input { name: "a" data_type: TYPE_FP32 dims: 3 dims: 4 }
      input < name: "b\\"c" dims: [ -1 ] optional: true >
      parameters: { key: "x" value: { string_value: "1" } }
      parameters { key: "y" value { string_value: "2" } }
      version_policy: { specific: { versions: [1, 3] } }`);
    expect(faults).toEqual([]);
    expect(config).toEqual({
      name: "model",
      max_batch_size: 8,
      input: [
        { name: "a", data_type: "TYPE_FP32", dims: [3, 4] },
        { name: 'b"c', dims: [-1], optional: true },
      ],
      parameters: { x: { string_value: "1" }, y: { string_value: "2" } },
      version_policy: { specific: { versions: [1, 3] } },
    });
  });

  test.each([
    ["max_batch_size: 4096.5", /line 1: ModelConfig.max_batch_size is a whole number/],
    ["max_batch_size: 4294967296", /whole number from -2147483648/],
    ["max_batch_size: 1\nmax_batch_size: 2", /line 2: ModelConfig.max_batch_size may be given once/],
    ["name: python", /ModelConfig.name is a text in quotes, not python/],
    ["input [ { data_type: FP32 } ]", /ModelInput.data_type is one of TYPE_INVALID.*not FP32/],
    ["instance_group { kind: KIND_TPU }", /ModelInstanceGroup.kind is one of KIND_AUTO/],
    ["dynamic_batching { preserve_ordering: 1 }", /preserve_ordering is true or false/],
    ["dynamic_batching: 5", /dynamic_batching is a message, ModelDynamicBatching/],
    ['name { string_value: "x" }', /ModelConfig.name is no message/],
    ["version_policy { all { } latest { num_versions: 2 } }", /latest and all: one of them/],
    ["sequence_batching { }", /has no field sequence_batching/],
    ['input [ { name: "a" }', /line 1: a comma or \] was expected, not the end/],
    ["max_batch_size 8", /line 1: a colon or { was expected, not 8/],
    ["} name", /a field's name was expected/],
    ["input {".repeat(100), /nested deeper/],
  ])("%s is a fault", (text, fault) => {
    expect(readServingConfig(text).faults.join("\n")).toMatch(fault);
  });
});
