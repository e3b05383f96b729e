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
 * Decision trees as parallel arrays over all nodes. Children stand side by side, so that a step is
 * `node = child[node] + (value >= below[node])`: no branch for the processor to guess. A leaf is its own child and no
 * value reaches its threshold, NaN, so that every row of a tree takes `depth` steps and shorter paths wait at their leaf.
 */
export interface Ensemble {
  readonly columns: number;
  readonly roots: Int32Array;
  /** Steps from the root to the deepest leaf, of each tree. */
  readonly depths: Int32Array;
  readonly child: Int32Array;
  readonly below: Float32Array;
  /** The column asked, where no value is missing. */
  readonly column: Int32Array;
  /** The column of a row as `withMissing` makes it: a missing value goes left in the second half, right in the first. */
  readonly missingColumn: Int32Array;
  /** Of leaves. */
  readonly leaf: Float32Array;
  /** Per node: mean leaf value below it over the training rows. */
  readonly expected: Float64Array;
}

export function buildEnsemble(trees: readonly Tree[], columns: number): Ensemble {
  const total = trees.reduce((sum, tree) => sum + tree.left.length, 0);
  const ensemble = {
    columns,
    roots: new Int32Array(trees.length),
    depths: new Int32Array(trees.length),
    child: new Int32Array(total),
    below: new Float32Array(total).fill(Number.NaN),
    column: new Int32Array(total),
    missingColumn: new Int32Array(total),
    leaf: new Float32Array(total),
    expected: new Float64Array(total),
  };
  let start = 0;
  trees.forEach((tree, t) => {
    ensemble.roots[t] = start;
    ensemble.depths[t] = place(tree, t, start, ensemble);
    start += tree.left.length;
  });
  return ensemble;
}

/** Writes a tree breadth first from `start` on; returns its depth. */
function place(tree: Tree, t: number, start: number, into: Ensemble): number {
  const { columns, child, below, column, missingColumn, leaf, expected } = into;
  const means = expectations(tree);
  const order = breadthFirst(tree);
  const depths = new Int32Array(order.length);
  let next = 1;
  order.forEach((node, i) => {
    const at = start + i;
    expected[at] = means[node]!;
    if (tree.left[node]! < 0) {
      child[at] = at;
      leaf[at] = tree.leaf[node]!;
      return;
    }
    const [asked, threshold] = [tree.feature[node]!, tree.below[node]!];
    if (!(asked >= 0 && asked < columns)) throw new Error(`tree ${t} splits on column ${asked} of ${columns}`);
    if (!(threshold > Number.NEGATIVE_INFINITY)) throw new Error(`tree ${t} splits at ${threshold}`);
    child[at] = start + next;
    below[at] = threshold;
    column[at] = asked;
    missingColumn[at] = tree.missingLeft[node] ? columns + asked : asked;
    depths[next] = depths[next + 1] = depths[i]! + 1;
    next += 2;
  });
  return depths.at(-1)!;
}

/** Each node's mean from its children's, weighted by the rows that reached them. */
function expectations(tree: Tree): Float64Array {
  const expected = new Float64Array(tree.left.length);
  const weight = new Float64Array(expected.length);
  for (const node of breadthFirst(tree).reverse()) {
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
  return expected;
}

function breadthFirst(tree: Tree): number[] {
  const order = [0];
  for (let i = 0; i < order.length; i++) {
    const node = order[i]!;
    if (tree.left[node]! >= 0) order.push(tree.left[node]!, tree.right[node]!);
    if (order.length > tree.left.length) throw new Error("a tree's nodes do not form a tree");
  }
  return order;
}

/**
 * Adds up each row's leaves into `sums`, whose type decides the precision: XGBoost adds in float32. Tree by tree, so
 * that one tree's nodes stay in the nearest cache; four rows at a time, so that one's waiting for memory is another's
 * work.
 */
export function sumLeaves(ensemble: Ensemble, matrix: Float32Array, sums: Float32Array | Float64Array): void {
  const missing = matrix.some(Number.isNaN);
  const values = missing ? withMissing(matrix, ensemble.columns) : matrix;
  const width = missing ? 2 * ensemble.columns : ensemble.columns;
  const column = missing ? ensemble.missingColumn : ensemble.column;
  const { roots, depths, child, below, leaf } = ensemble;
  const fours = sums.length - (sums.length % 4);
  for (let t = 0; t < roots.length; t++) {
    const root = roots[t]!;
    const depth = depths[t]!;
    let row = 0;
    for (let at = 0; row < fours; row += 4, at += 4 * width) {
      let a = root;
      let b = root;
      let c = root;
      let d = root;
      for (let step = 0; step < depth; step++) {
        a = child[a]! + Number(values[at + column[a]!]! >= below[a]!);
        b = child[b]! + Number(values[at + width + column[b]!]! >= below[b]!);
        c = child[c]! + Number(values[at + 2 * width + column[c]!]! >= below[c]!);
        d = child[d]! + Number(values[at + 3 * width + column[d]!]! >= below[d]!);
      }
      sums[row]! += leaf[a]!;
      sums[row + 1]! += leaf[b]!;
      sums[row + 2]! += leaf[c]!;
      sums[row + 3]! += leaf[d]!;
    }
    for (; row < sums.length; row++) {
      let node = root;
      for (let step = 0; step < depth; step++)
        node = child[node]! + Number(values[row * width + column[node]!]! >= below[node]!);
      sums[row]! += leaf[node]!;
    }
  }
}

/** Each row twice: with +∞ for what is missing, which goes right at any threshold, then with -∞, which goes left. */
function withMissing(matrix: Float32Array, columns: number): Float32Array {
  const doubled = new Float32Array(2 * matrix.length);
  for (let from = 0, to = 0; from < matrix.length; from += columns, to += 2 * columns) {
    for (let c = 0; c < columns; c++) {
      const value = matrix[from + c]!;
      const missing = Number.isNaN(value);
      doubled[to + c] = missing ? Number.POSITIVE_INFINITY : value;
      doubled[to + columns + c] = missing ? Number.NEGATIVE_INFINITY : value;
    }
  }
  return doubled;
}

/**
 * What each column adds to a row's sum of leaves against the mean row: along every path, the step from a node's
 * expectation to its child's belongs to the column that was asked. Together with the roots' expectations they give
 * the sum.
 */
export function contributions(ensemble: Ensemble, row: Float32Array): Float64Array {
  const { columns, roots, child, below, column, missingColumn, expected } = ensemble;
  const values = withMissing(row, columns);
  const shares = new Float64Array(columns);
  for (const root of roots) {
    for (let node = root; child[node] !== node; ) {
      const next = child[node]! + Number(values[missingColumn[node]!]! >= below[node]!);
      shares[column[node]!]! += expected[next]! - expected[node]!;
      node = next;
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
