import { featureFilesIn, type LakeSource, withLake } from "./lake-read.ts";

/** Quality of the feature rows of one entity, or of all, that end on one day (UTC). */
export interface QualityOfDay {
  /** YYYY-MM-DD. */
  readonly day: string;
  /** Null: of all entities. */
  readonly entity: string | null;
  readonly rows: number;
  /** 0 to 1. */
  readonly mean: number;
  readonly lowest: number;
}

/** For each day with rows that end in [fromMs, toMs): all entities first, then each, the worst mean first. */
export async function qualityReport(source: LakeSource, fromMs: number, toMs: number): Promise<QualityOfDay[]> {
  return await withLake(source, async (db, dir) => {
    const files = await featureFilesIn(db, dir);
    if (!files) return [];
    const found = await db.runAndReadAll(
      `SELECT strftime(epoch_ms(window_end_ms - 1), '%Y-%m-%d') AS day, entity, count(*), avg(quality::DOUBLE), min(quality::DOUBLE)
       FROM read_parquet(${files}, union_by_name = true)
       WHERE window_end_ms >= ${Math.trunc(fromMs)} AND window_end_ms < ${Math.trunc(toMs)}
       GROUP BY GROUPING SETS ((day), (day, entity))
       ORDER BY day, grouping(entity) DESC, avg(quality::DOUBLE), entity`,
    );
    return found.getRows().map(([day, entity, rows, mean, lowest]) => ({
      day: String(day),
      entity: entity === null ? null : String(entity),
      rows: Number(rows),
      mean: Number(mean),
      lowest: Number(lowest),
    }));
  });
}
