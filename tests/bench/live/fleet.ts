import { machineDirective, metricDocument } from "../../../local/fleet/wire.ts";
import type { LogEvent } from "../../../schemas/index.ts";
import { randomOf } from "../../templates/lines.ts";

const MINUTE_MS = 60_000;
/** CloudWatch's agent sends what a log has gained this often. */
export const FLUSH_EVERY_MS = 5_000;
const FLUSHES_PER_MINUTE = MINUTE_MS / FLUSH_EVERY_MS;
const LINES_PER_FLUSH = 2;
const directive = machineDirective("CWAgent");

/** What one instance sends at one time. */
export interface Delivery {
  readonly instance: number;
  readonly entity: string;
  readonly atMs: number;
  readonly events: readonly LogEvent[];
}

/**
 * A fleet as it delivers: every five seconds each instance sends the two log lines since then, once a minute its metric
 * document as well, each at its own moment. About 5.6 KB an instance and minute: 12 GB a day from 1,500.
 */
export class LiveFleet {
  readonly #names: readonly string[];
  readonly #random = randomOf(1);

  constructor(instances: number) {
    this.#names = Array.from(
      { length: instances },
      (_, i) => `i-${(0x1000_0000 + i * 7_919).toString(16).padStart(17, "0")}`,
    );
  }

  /** What arrives from `fromMs` (inclusive) to `toMs`, in any order. */
  *between(fromMs: number, toMs: number): Generator<Delivery> {
    for (const [instance, entity] of this.#names.entries()) {
      const phase = (instance * 37) % FLUSH_EVERY_MS;
      for (let flush = Math.ceil((fromMs - phase) / FLUSH_EVERY_MS); ; flush++) {
        const atMs = flush * FLUSH_EVERY_MS + phase;
        if (atMs >= toMs) break;
        yield { instance, entity, atMs, events: this.#events(instance, entity, flush, atMs) };
      }
    }
  }

  #events(instance: number, entity: string, flush: number, atMs: number): LogEvent[] {
    const below = (n: number) => Math.floor(this.#random() * n);
    const events: LogEvent[] = [];
    for (let line = 0; line < LINES_PER_FLUSH; line++) {
      const timestampMs = atMs - below(FLUSH_EVERY_MS);
      const took = below(900);
      const message = `${new Date(timestampMs).toISOString()} INFO ${entity} request-handler[${line}] GET /api/v1/orders/${below(1e6)} answered 200 in ${took} ms, ${took * 37} bytes, user ${instance}, cache miss, upstream checkout`;
      events.push({ id: `${instance}-${flush}-${line}`, timestampMs, message });
    }
    if (flush % FLUSHES_PER_MINUTE === instance % FLUSHES_PER_MINUTE) {
      const message = metricDocument(directive, atMs, entity, {
        CPUUtilization: below(10_000) / 100,
        MemoryUtilization: below(10_000) / 100,
        NetworkIn: below(1e7),
        NetworkOut: below(1e7),
        DiskReadOps: below(500),
        DiskWriteOps: below(500),
      });
      events.push({ id: `${instance}-${flush}-m`, timestampMs: atMs, message });
    }
    return events;
  }
}
