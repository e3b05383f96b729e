/** What one run came to: the last line of `npm start -- --json`. Times in seconds. */
export interface Summary {
  /** Distinct events the source wrote. */
  readonly events: number;
  readonly late: number;
  readonly dead: number;
  readonly duplicates: number;
  /** Feature rows. */
  readonly rows: number;
  readonly predictions: number;
  readonly anomalies: number;
  /** Distinct incidents. */
  readonly incidents: number;
  /** Incidents with an explanation. */
  readonly explanations: number;
  /** Rows in all Parquet files, features and raw logs. */
  readonly parquetRows: number;
  /** Events the source wrote that stand neither in a topic nor among the dead letters. */
  readonly lost: number;
  readonly truth: {
    readonly incidents: number;
    readonly found: number;
    readonly falseAlertsPerMachineDay: number;
  };
  readonly seconds: number;
}

const whole = new Intl.NumberFormat("en-US");

/** The summary as a small table for people, without a final line break. */
export function renderSummary(summary: Summary): string {
  const { truth } = summary;
  const rows: [string, string, string][] = [
    ["events", whole.format(summary.events), "written by the source"],
    ["  late", whole.format(summary.late), "came after their window had closed"],
    ["  dead", whole.format(summary.dead), "could not be used; kept with the reason"],
    ["  duplicates", whole.format(summary.duplicates), "came twice, counted once"],
    ["  lost", whole.format(summary.lost), summary.lost === 0 ? "none: every event is accounted for" : "MISSING"],
    ["feature rows", whole.format(summary.rows), "one per machine and window"],
    ["predictions", whole.format(summary.predictions), ""],
    ["anomalies", whole.format(summary.anomalies), "rows over the threshold"],
    ["incidents", whole.format(summary.incidents), `${whole.format(summary.explanations)} explained`],
    ["Parquet rows", whole.format(summary.parquetRows), "features and raw logs"],
    ["known trouble", whole.format(truth.incidents), foundText(truth)],
    ["time", `${summary.seconds.toFixed(1)} s`, ""],
  ];
  const nameWidth = Math.max(...rows.map(([name]) => name.length));
  const valueWidth = Math.max(...rows.map(([, value]) => value.length));
  return rows
    .map(([name, value, note]) => `${name.padEnd(nameWidth)}  ${value.padStart(valueWidth)}  ${note}`.trimEnd())
    .join("\n");
}

const foundText = ({ incidents, found, falseAlertsPerMachineDay }: Summary["truth"]): string =>
  incidents === 0 ? "" : `${found} found, ${falseAlertsPerMachineDay.toFixed(2)} false alerts a machine-day`;
