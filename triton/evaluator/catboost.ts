import { fileURLToPath } from "node:url";
import { loadSync, type MessageTypeDefinition } from "@grpc/proto-loader";
import { belowFor, buildEnsemble, contributions, sumLeaves, type Tree } from "./ensemble.ts";
import type { Evaluator } from "./evaluator.ts";

interface Attribute {
  readonly name: string;
  readonly s: Buffer;
  readonly floats: number[];
  readonly ints: number[];
  readonly strings: Buffer[];
}
interface OnnxModel {
  readonly graph: {
    readonly node: readonly { readonly op_type: string; readonly attribute: Attribute[] }[];
    readonly input: readonly { readonly name: string }[];
    readonly output: readonly { readonly name: string }[];
  } | null;
}

const modelProto = loadSync(fileURLToPath(new URL("onnx.proto", import.meta.url)), {
  keepCase: true,
  longs: Number,
  defaults: true,
})["onnx.ModelProto"] as MessageTypeDefinition<object, OnnxModel>;

/** Names of the tensors that a server would publish. */
export function graphTensors(file: Buffer): {
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
} {
  const graph = modelProto.deserialize(file).graph;
  const names = (list: readonly { readonly name: string }[] = []) => list.map(({ name }) => name);
  return { inputs: names(graph?.input), outputs: names(graph?.output) };
}

/**
 * Evaluates the tree classifier that CatBoost exports to ONNX (two classes, logistic). Throws on anything else.
 *
 * The file does not say how many training rows reached a leaf: `passing`, typical rows, are counted instead, and every
 * leaf once more. Scores do not depend on them, explanations do.
 */
export function catboostEvaluator(file: Buffer, columns: number, passing: Float32Array): Evaluator {
  const nodes = modelProto.deserialize(file).graph?.node ?? [];
  const classifier = nodes.find((node) => node.op_type === "TreeEnsembleClassifier");
  if (!classifier) throw new Error("the file holds no TreeEnsembleClassifier");
  const attributes = new Map(classifier.attribute.map((attribute) => [attribute.name, attribute]));
  const transform = attributes.get("post_transform")?.s.toString();
  if (transform !== "LOGISTIC") throw new Error(`post_transform is ${transform}, not LOGISTIC`);
  const base = attributes.get("base_values")?.floats.at(-1) ?? 0;
  const parsed = readTrees(attributes);
  const trees = parsed.map((tree): Tree => ({ ...tree, cover: passes(tree, columns, passing) }));
  const ensemble = buildEnsemble(trees, columns);
  return {
    columns,
    score(matrix, rows) {
      const sums = new Float64Array(rows);
      sumLeaves(ensemble, matrix, sums);
      return Float32Array.from(sums, (sum) => 1 / (1 + Math.exp(-(sum + base))));
    },
    explain: (row) => contributions(ensemble, row),
  };
}

type BareTree = Omit<Tree, "cover">;

interface GrowingTree extends BareTree {
  readonly left: number[];
  readonly right: number[];
  readonly feature: number[];
  readonly below: number[];
  readonly missingLeft: boolean[];
  readonly leaf: number[];
  /** Index of each node id. */
  readonly place: Map<number, number>;
}

/** ONNX lists the nodes of all trees in parallel arrays, with ids of their own, and the leaves' weights apart. */
function readTrees(attributes: ReadonlyMap<string, Attribute>): BareTree[] {
  const ints = (name: string) => attributes.get(name)?.ints ?? [];
  const modes = attributes.get("nodes_modes")?.strings.map(String) ?? [];
  const [treeIds, nodeIds, features] = [ints("nodes_treeids"), ints("nodes_nodeids"), ints("nodes_featureids")];
  const [whenTrue, whenFalse] = [ints("nodes_truenodeids"), ints("nodes_falsenodeids")];
  const missingTrue = ints("nodes_missing_value_tracks_true");
  const values = attributes.get("nodes_values")?.floats ?? [];
  const weights = attributes.get("class_weights")?.floats ?? [];
  const weightOf = new Map<string, number>();
  // Each leaf speaks for both classes with opposite signs; class 1 is the anomaly.
  const [leafTrees, leafNodes, classes] = [ints("class_treeids"), ints("class_nodeids"), ints("class_ids")];
  weights.forEach((weight, i) => {
    if (classes[i]! > 1) throw new Error("more than two classes are not evaluated here");
    if (classes[i] === 1) weightOf.set(`${leafTrees[i]}/${leafNodes[i]}`, weight);
  });
  const trees = new Map<number, GrowingTree>();
  treeIds.forEach((id, i) => {
    const tree: GrowingTree = trees.get(id) ?? {
      left: [],
      right: [],
      feature: [],
      below: [],
      missingLeft: [],
      leaf: [],
      place: new Map(),
    };
    trees.set(id, tree);
    tree.place.set(nodeIds[i]!, tree.left.length);
    const mode = modes[i]!;
    const isLeaf = mode === "LEAF";
    const trueIsLeft = mode === "BRANCH_LEQ" || mode === "BRANCH_LT";
    if (!isLeaf && !trueIsLeft && mode !== "BRANCH_GT" && mode !== "BRANCH_GTE")
      throw new Error(`nodes of mode ${mode} are not evaluated here`);
    const inclusive = mode === "BRANCH_LEQ" || mode === "BRANCH_GT";
    tree.left.push(isLeaf ? -1 : (trueIsLeft ? whenTrue : whenFalse)[i]!);
    tree.right.push(isLeaf ? -1 : (trueIsLeft ? whenFalse : whenTrue)[i]!);
    tree.feature.push(features[i]!);
    tree.below.push(inclusive ? belowFor(values[i]!) : values[i]!);
    tree.missingLeft.push((missingTrue[i] === 1) === trueIsLeft);
    tree.leaf.push(isLeaf ? (weightOf.get(`${id}/${nodeIds[i]}`) ?? 0) : 0);
  });
  return [...trees.values()].map(({ place, ...tree }) => {
    const index = (id: number) => (id < 0 ? -1 : place.get(id)!);
    return { ...tree, left: tree.left.map(index), right: tree.right.map(index) };
  });
}

/** How many of the rows end in each leaf, plus one. */
function passes(tree: BareTree, columns: number, rows: Float32Array): Float64Array {
  const cover = new Float64Array(tree.left.length).fill(1);
  for (let start = 0; start < rows.length; start += columns) {
    let node = 0;
    while (tree.left[node]! >= 0) {
      const value = rows[start + tree.feature[node]!]!;
      const left = value < tree.below[node]! || (Number.isNaN(value) && Boolean(tree.missingLeft[node]));
      node = left ? tree.left[node]! : tree.right[node]!;
    }
    cover[node]!++;
  }
  return cover;
}
