import { maskedTokens, WILDCARD } from "./mask.ts";
import {
  addInOrder,
  type Cluster,
  derived,
  snapshotOf,
  type Template,
  type TemplateSnapshot,
  widen,
} from "./template.ts";

export interface Mined {
  readonly template: Template;
  /**
   * `widened`: a word became a wildcard, so the template has a new text and key, and counts kept under `previousKey`
   * are its own.
   */
  readonly change: "none" | "created" | "widened";
  readonly previousKey?: string;
  /** The template that gave way to a created one. */
  readonly evicted?: Template;
}

/** What a line did to a template: enough to take it back. */
export interface MinerChange {
  readonly template: Template;
  /** What it was before; of one that gave way also afterwards. Undefined: the line made it. */
  readonly before: TemplateSnapshot | undefined;
  readonly evicted: boolean;
}

export interface MinerOptions {
  readonly maxTemplates?: number;
  /** Least share of equal words for a line to belong to a template. */
  readonly similarity?: number;
  /** Levels of the tree: root, word count, then words, then templates. 4 means one level of words. */
  readonly depth?: number;
  /** Branches of one node; the last one takes all words that have none. */
  readonly maxChildren?: number;
  /** Of a line; by default {@link maskedTokens}. */
  readonly tokenize?: (line: string) => string[];
}

/** Of one entity: the features of an entity must not depend on others. */
export const MAX_TEMPLATES = 128;

interface Node {
  readonly children: Map<string, Node>;
  /** Of a leaf, oldest first. */
  readonly clusters: Cluster[];
}

/**
 * Templates of one entity's log lines, mined as they come (Drain: a tree of fixed depth, by word count and first words,
 * whose leaves hold the few templates a line is compared with).
 *
 * Deterministic: the same lines in the same order give the same templates. Beyond `maxTemplates` the one unused
 * longest gives way, and the branches it leaves empty go with it, so a miner is bounded whatever it reads.
 */
export class TemplateMiner {
  readonly #maxTemplates: number;
  readonly #similarity: number;
  readonly #wordLevels: number;
  readonly #maxChildren: number;
  readonly #tokenize: (line: string) => string[];
  /** By word count. */
  readonly #root = new Map<number, Node>();
  /** Oldest first. */
  #clusters: Cluster[] = [];
  #lines = 0;

  /** `snapshot` in any order. */
  constructor(options: MinerOptions = {}, snapshot: readonly TemplateSnapshot[] = []) {
    this.#maxTemplates = options.maxTemplates ?? MAX_TEMPLATES;
    this.#similarity = options.similarity ?? 0.4;
    this.#wordLevels = (options.depth ?? 4) - 3;
    this.#maxChildren = options.maxChildren ?? 100;
    this.#tokenize = options.tokenize ?? maskedTokens;
    for (const template of snapshot.toSorted((a, b) => a.made - b.made)) {
      this.#insert({ ...template, ...derived(template.tokens, template.path) });
      // The newest line's template is never the one that gives way.
      this.#lines = Math.max(this.#lines, template.lastLine);
    }
  }

  /** Learns from a line. */
  mine(line: string): Mined {
    return this.mineTokens(this.#tokenize(line));
  }

  /** Learns from `count` lines of the same words. */
  mineTokens(tokens: readonly string[], count = 1): Mined {
    const cluster = this.#find(tokens);
    if (!cluster) {
      const template = this.#make(tokens, count);
      const evicted = this.#evictBeyondLimit();
      return { template, change: "created", ...(evicted && { evicted }) };
    }
    const previousKey = cluster.key;
    return this.#take(cluster, tokens, count)
      ? { template: cluster, change: "widened", previousKey }
      : { template: cluster, change: "none" };
  }

  /** The same for one line after the other, each told by its words and how many there were of it. */
  mineAll(lines: readonly (readonly string[])[], counts: readonly number[]): MinerChange[] {
    const changes: MinerChange[] = [];
    const before = this.#lines;
    for (let i = 0; i < lines.length; i++) {
      const cluster = this.#known(lines[i]!) ?? this.#find(lines[i]!);
      if (cluster) {
        if (cluster.lastLine <= before)
          changes.push({ template: cluster, before: snapshotOf(cluster), evicted: false });
        this.#take(cluster, lines[i]!, counts[i]!);
        continue;
      }
      changes.push({ template: this.#make(lines[i]!, counts[i]!), before: undefined, evicted: false });
      const evicted = this.#evictBeyondLimit();
      if (evicted) changes.push({ template: evicted, before: snapshotOf(evicted), evicted: true });
    }
    return changes;
  }

  /** Takes back what one call changed, and what its templates have weighed since; later ones are taken back already. */
  undo(changes: readonly MinerChange[]): void {
    for (const { template, before, evicted } of changes.toReversed()) {
      const cluster = template as Cluster;
      if (before === undefined) this.#remove(cluster);
      else {
        Object.assign(cluster, before, derived(before.tokens, before.path));
        if (evicted) this.#insert(cluster);
      }
    }
    this.#lines = this.#clusters.reduce((newest, { lastLine }) => Math.max(newest, lastLine), 0);
  }

  /** Oldest first. */
  templates(): readonly Template[] {
    return this.#clusters;
  }

  get size(): number {
    return this.#clusters.length;
  }

  /** The template's lines now weigh so much. */
  weigh(template: Template, weight: number, weightMinute: number): void {
    const cluster = template as Cluster;
    cluster.weight = weight;
    cluster.weightMinute = weightMinute;
  }

  snapshot(): TemplateSnapshot[] {
    return this.#clusters.map(snapshotOf);
  }

  /**
   * What `#find` would find, by the words' place in memory: lists of words that mining is given again are the same list. A
   * template without a wildcard under its own words is where the tree leads to, and none is more equal.
   */
  #known(tokens: readonly string[]): Cluster | undefined {
    for (let i = 0; i < this.#clusters.length; i++) {
      const cluster = this.#clusters[i]!;
      if (cluster.tokens === tokens && cluster.literal) return cluster;
    }
    return undefined;
  }

  #find(tokens: readonly string[]): Cluster | undefined {
    let node = this.#root.get(tokens.length);
    const levels = this.#levelsFor(tokens);
    for (let i = 0; i < levels && node; i++) node = node.children.get(tokens[i]!) ?? node.children.get(WILDCARD);
    if (!node) return undefined;
    let best: Cluster | undefined;
    let bestEqual = -1;
    let bestWildcards = -1;
    for (const cluster of node.clusters) {
      let equal = 0;
      let wildcards = 0;
      for (let i = 0; i < tokens.length; i++) {
        const word = cluster.tokens[i]!;
        if (word === WILDCARD) wildcards++;
        else if (word === tokens[i]) equal++;
      }
      // Of equally like ones the more general: it has proved to cover more.
      if (equal > bestEqual || (equal === bestEqual && wildcards > bestWildcards)) {
        best = cluster;
        bestEqual = equal;
        bestWildcards = wildcards;
      }
    }
    const like = tokens.length === 0 ? 1 : bestEqual / tokens.length;
    return best && like >= this.#similarity ? best : undefined;
  }

  /** The branches a new template goes under: its words, or the wildcard for words with a digit and when branches run out. */
  #pathFor(tokens: readonly string[]): string[] {
    const path: string[] = [];
    let node = this.#root.get(tokens.length);
    for (let i = 0; i < this.#levelsFor(tokens); i++) {
      const children = node?.children;
      const word = tokens[i]!;
      const key = children?.has(word) || this.#hasRoom(children, word) ? word : WILDCARD;
      path.push(key);
      node = children?.get(key);
    }
    return path;
  }

  /** The last word never branches: one-word lines are all compared with each other. */
  #levelsFor(tokens: readonly string[]): number {
    return Math.max(0, Math.min(this.#wordLevels, tokens.length - 1));
  }

  #hasRoom(children: ReadonlyMap<string, Node> | undefined, word: string): boolean {
    if (hasDigit(word)) return false;
    if (!children) return true;
    // The last place is the wildcard's.
    return children.size < (children.has(WILDCARD) ? this.#maxChildren : this.#maxChildren - 1);
  }

  #make(tokens: readonly string[], count: number): Cluster {
    const made = ++this.#lines;
    const path = this.#pathFor(tokens);
    const own = { count, made, lastLine: made, weight: 0, weightMinute: 0 };
    return this.#insert({ tokens, path, ...own, ...derived(tokens, path) });
  }

  /** True if that widened the template. */
  #take(cluster: Cluster, tokens: readonly string[], count: number): boolean {
    cluster.count += count;
    cluster.lastLine = ++this.#lines;
    return widen(cluster, tokens);
  }

  #insert(cluster: Cluster): Cluster {
    let node = this.#root.get(cluster.tokens.length);
    if (!node) {
      node = newNode();
      this.#root.set(cluster.tokens.length, node);
    }
    for (const key of cluster.path) {
      const child: Node = node.children.get(key) ?? newNode();
      node.children.set(key, child);
      node = child;
    }
    addInOrder(node.clusters, cluster);
    addInOrder(this.#clusters, cluster);
    return cluster;
  }

  #evictBeyondLimit(): Template | undefined {
    if (this.#clusters.length <= this.#maxTemplates) return undefined;
    const stale = this.#clusters.reduce((stalest, c) => (c.lastLine < stalest.lastLine ? c : stalest));
    this.#remove(stale);
    return stale;
  }

  #remove(cluster: Cluster): void {
    this.#clusters.splice(this.#clusters.indexOf(cluster), 1);
    const root = this.#root.get(cluster.tokens.length)!;
    const nodes = [root];
    for (const key of cluster.path) nodes.push(nodes.at(-1)!.children.get(key)!);
    const leaf = nodes.at(-1)!;
    leaf.clusters.splice(leaf.clusters.indexOf(cluster), 1);
    for (let i = nodes.length - 1; i > 0 && isEmpty(nodes[i]!); i--)
      nodes[i - 1]!.children.delete(cluster.path[i - 1]!);
    if (isEmpty(root)) this.#root.delete(cluster.tokens.length);
  }
}

const newNode = (): Node => ({ children: new Map(), clusters: [] });
const isEmpty = (node: Node): boolean => node.children.size === 0 && node.clusters.length === 0;
const hasDigit = (word: string): boolean => /\d/.test(word);
