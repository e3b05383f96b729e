import { gzipSync } from "node:zlib";
import type { ListedShard, ShardRecord, ShardSource } from "../../sources/index.ts";
import { WeirError } from "../../streams/index.ts";

interface FakeShard {
  readonly shard: string;
  parents: readonly string[];
  records: ShardRecord[];
  children: ListedShard[];
  closed: boolean;
}

/** A fake stream in memory. Iterators are `shard:index`; `pageSize` records a page; `fault` may throw before a read. */
export class FakeKinesis implements ShardSource {
  created = 1_000;
  retentionMs = 86_400_000;
  pageSize = 3;
  /** Name the children in the last page, as AWS does; else the reader must list. */
  namesChildren = true;
  fault: (call: "iterator" | "records", shard: string) => string | undefined = () => undefined;
  readonly iterators: string[] = [];
  /** Calls of listShards so far. */
  lists = 0;
  readonly #shards = new Map<string, FakeShard>();
  #sequence = 100;

  add(shard: string, parents: readonly string[] = []): void {
    this.#shards.set(shard, { shard, parents, records: [], children: [], closed: false });
    for (const p of parents) {
      const parent = this.#shards.get(p);
      if (!parent) continue;
      parent.closed = true;
      parent.children.push({ shard, parents });
    }
  }

  /** Takes no more records, but has no children listed yet. */
  close(shard: string): void {
    this.#find(shard).closed = true;
  }

  /** Forgets the shard as retention does. */
  expire(shard: string): void {
    this.#shards.delete(shard);
  }

  put(shard: string, data: Uint8Array | object, arrivalMs = 1_700_000_000_000, more: Partial<ShardRecord> = {}): void {
    const bytes = data instanceof Uint8Array ? data : gzipSync(JSON.stringify(data));
    const record = { sequence: String(this.#sequence++), arrivalMs, data: bytes, ...more };
    this.#shards.get(shard)!.records.push(record);
  }

  async describe() {
    return { createdMs: this.created, retentionMs: this.retentionMs };
  }

  async holds(_stream: string, shard: string, sequence: string): Promise<boolean> {
    return this.#find(shard).records.some((r) => r.sequence === sequence);
  }

  /** Drops the shard's records before the given one, as retention does. */
  trim(shard: string, sequence: string): void {
    const found = this.#find(shard);
    found.records = found.records.filter((r) => r.sequence >= sequence);
  }

  async listShards(): Promise<readonly ListedShard[]> {
    this.lists++;
    return [...this.#shards.values()].map(({ shard, parents }) => ({ shard, parents }));
  }

  async iterator(_stream: string, shard: string, sequence: string): Promise<string> {
    this.#throw("iterator", shard);
    this.iterators.push(`${shard} after ${sequence || "horizon"}`);
    const at = this.#find(shard).records.findIndex((r) => r.sequence > sequence);
    return `${shard}:${at < 0 ? this.#find(shard).records.length : at}`;
  }

  async records(iterator: string) {
    const [shard, index] = iterator.split(":") as [string, string];
    this.#throw("records", shard);
    const found = this.#find(shard);
    const from = Number(index);
    const records = found.records.slice(from, from + this.pageSize);
    const isLast = from + records.length === found.records.length;
    const next = found.closed && isLast ? null : `${shard}:${from + records.length}`;
    const children = next === null && this.namesChildren ? found.children : [];
    return { records, next, children, millisBehindLatest: isLast ? 0 : 1_000 };
  }

  #find(shard: string): FakeShard {
    const found = this.#shards.get(shard);
    if (!found) throw new WeirError("KINESIS_NOT_FOUND", "retry", shard, "");
    return found;
  }

  #throw(call: "iterator" | "records", shard: string): void {
    const code = this.fault(call, shard);
    if (code) throw new WeirError(code, "retry", `${call} of ${shard}`, "");
  }
}
