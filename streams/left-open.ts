import { WeirError } from "./errors.ts";
import type { PartitionName } from "./ports.ts";

export type Decision = "commit" | "abort";

/**
 * A transaction can have ended for the coordinator and still be open in a partition: the marker that says so never came
 * there. Kafka 4.4.0 gives a marker up where the partition has no leader at that moment (it takes it for deleted), as
 * happens to all partitions of an only broker that is killed and started again. Read_committed readers stand still there,
 * and the next marker of the same producer id takes the open records along, whatever had been decided about them.
 *
 * Therefore a producer asks for such partitions before it writes, and ends them as was decided.
 */
export interface LeftOpen {
  /** Partitions in which this producer id has a transaction open. To be asked while the coordinator has none under way. */
  find(): Promise<readonly PartitionName[]>;
  /** Ends them with a transaction of their own; resolves when all markers that come have come. */
  end(partitions: readonly PartitionName[], decision: Decision): Promise<void>;
}

/** True if there were any. Throws `TRANSACTION_LEFT_OPEN` (retry) if there still are. */
export async function endLeftOpen(producer: string, decision: Decision, leftOpen: LeftOpen): Promise<boolean> {
  const found = await leftOpen.find();
  if (found.length === 0) return false;
  await leftOpen.end(found, decision);
  const [still] = await leftOpen.find();
  if (still === undefined) return true;
  throw new WeirError(
    "TRANSACTION_LEFT_OPEN",
    "retry",
    `A transaction of ${producer} stays open in ${still.topic}/${still.partition}: the broker did not mark its end.`,
    "It is tried again; if it lasts, look for it with kafka-transactions.sh find-hanging.",
  );
}

/**
 * What to do with a transaction left open if its decision was forgotten: a successor initialised the producer and died
 * before it could act. Abort, for nobody has seen it committed: where the markers of all its partitions are missing no
 * reader got past it, and whoever wrote it is fenced. Where only some are missing, and the successor died within those
 * milliseconds, this may be wrong.
 */
export const FORGOTTEN: Decision = "abort";
