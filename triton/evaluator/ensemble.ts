/** One binary tree as parallel arrays; node 0 is the root, a leaf has `left` -1. */
export interface Tree {
  readonly left: ArrayLike<number>;
  readonly right: ArrayLike<number>;
  readonly feature: ArrayLike<number>;
  /** float32: a value below it goes left. */
  readonly below: ArrayLike<number>;
  readonly missingLeft: ArrayLike<number | boolean>;
  /** Of leaves; other entries are not read. */
  readonly leaf: ArrayLike<number>;
  /** Weight of the training rows that passed each node; of leaves at least. */
  readonly cover: ArrayLike<number>;
}

/**
 * Decision trees in one block of memory, four 32-bit words a node: feature × 2 + missing goes left (-1: leaf),
 * threshold or leaf value as float32, index of the left and of the right child's first word.
 */
export interface Ensemble {
  readonly columns: number;
  readonly roots: Int32Array;
  readonly nodes: Int32Array;
  /** Per node: mean leaf value below it over the training rows. */
  readonly expected: Float64Array;
}

export function buildEnsemble(trees: readonly Tree[], columns: number): Ensemble {
  const total = trees.reduce((sum, tree) => sum + tree.left.length, 0);
  const nodes = new Int32Array(total * 4);
  const floats = new Float32Array(nodes.buffer);
  const expected = new Float64Array(total);
  const roots = new Int32Array(trees.length);
  let start = 0;
  trees.forEach((tree, t) => {
    roots[t] = start * 4;
    for (let i = 0; i < tree.left.length; i++) {
      const at = (start + i) * 4;
      const isLeaf = tree.left[i]! < 0;
      if (!isLeaf && !(tree.feature[i]! >= 0 && tree.feature[i]! < columns))
        throw new Error(`tree ${t} splits on column ${tree.feature[i]} of ${columns}`);
      nodes[at] = isLeaf ? -1 : tree.feature[i]! * 2 + (tree.missingLeft[i] ? 1 : 0);
      floats[at + 1] = isLeaf ? tree.leaf[i]! : tree.below[i]!;
      nodes[at + 2] = (start + tree.left[i]!) * 4;
      nodes[at + 3] = (start + tree.right[i]!) * 4;
    }
    expectations(tree, expected.subarray(start, start + tree.left.length));
    start += tree.left.length;
  });
  return { columns, roots, nodes, expected };
}

/** Fills in each node's mean from its children's, weighted by the rows that reached them. */
function expectations(tree: Tree, expected: Float64Array): void {
  const weight = new Float64Array(expected.length);
  for (const node of childrenFirst(tree)) {
    const [left, right] = [tree.left[node]!, tree.right[node]!];
    if (left < 0) {
      expected[node] = Math.fround(tree.leaf[node]!);
      weight[node] = tree.cover[node]!;
      continue;
    }
    weight[node] = weight[left]! + weight[right]!;
    expected[node] =
      weight[node]! > 0
        ? (weight[left]! * expected[left]! + weight[right]! * expected[right]!) / weight[node]!
        : (expected[left]! + expected[right]!) / 2;
  }
}

function childrenFirst(tree: Tree): number[] {
  const order = [0];
  for (let i = 0; i < order.length; i++) {
    const node = order[i]!;
    if (tree.left[node]! >= 0) order.push(tree.left[node]!, tree.right[node]!);
    if (order.length > tree.left.length) throw new Error("a tree's nodes do not form a tree");
  }
  return order.reverse();
}

/**
 * Adds up each row's leaves into `sums`, whose type decides the precision: XGBoost adds in float32. Tree by tree, so
 * that one tree's nodes stay in the nearest cache.
 */
export function sumLeaves(ensemble: Ensemble, matrix: Float32Array, sums: Float32Array | Float64Array): void {
  const { columns, roots, nodes } = ensemble;
  const floats = new Float32Array(nodes.buffer);
  for (let t = 0; t < roots.length; t++) {
    for (let row = 0, start = 0; row < sums.length; row++, start += columns) {
      let i = roots[t]!;
      let split = nodes[i]!;
      while (split >= 0) {
        const value = matrix[start + (split >> 1)]!;
        const left = value < floats[i + 1]! || (Number.isNaN(value) && (split & 1) === 1);
        i = left ? nodes[i + 2]! : nodes[i + 3]!;
        split = nodes[i]!;
      }
      sums[row]! += floats[i + 1]!;
    }
  }
}

/**
 * What each column adds to a row's sum of leaves against the mean row: along every path, the step from a node's
 * expectation to its child's belongs to the column that was asked. Together with the roots' expectations they give
 * the sum.
 */
export function contributions(ensemble: Ensemble, row: Float32Array): Float64Array {
  const { columns, roots, nodes, expected } = ensemble;
  const floats = new Float32Array(nodes.buffer);
  const shares = new Float64Array(columns);
  for (const root of roots) {
    let i = root;
    for (let split = nodes[i]!; split >= 0; split = nodes[i]!) {
      const column = split >> 1;
      const value = row[column]!;
      const left = value < floats[i + 1]! || (Number.isNaN(value) && (split & 1) === 1);
      const child = left ? nodes[i + 2]! : nodes[i + 3]!;
      shares[column]! += expected[child >> 2]! - expected[i >> 2]!;
      i = child;
    }
  }
  return shares;
}

const word = new Uint32Array(1);
const asFloat = new Float32Array(word.buffer);

/** The next float32 above a float32 number. */
function nextUp(x: number): number {
  asFloat[0] = x;
  if (x === 0) word[0] = 1;
  else word[0] = x > 0 ? word[0]! + 1 : word[0]! - 1;
  return asFloat[0]!;
}

/** The float32 `b` for which `x < b` is `x <= threshold`, for every float32 x. */
export function belowFor(threshold: number): number {
  const rounded = Math.fround(threshold);
  return rounded > threshold ? rounded : nextUp(rounded);
}
