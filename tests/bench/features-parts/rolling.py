"""Trailing 15-minute statistics by pandas and Polars: mean, std, min, max of two metrics, sums of four. Median of 3."""
import json, os, statistics, sys, time

os.environ["POLARS_MAX_THREADS"] = "1"
import pandas as pd
import polars as pl

frame = pl.read_csv(sys.argv[1]).with_columns(pl.from_epoch("minute_s", time_unit="s").alias("ts")).sort("entity", "ts")
two, four = ["m0", "m1"], ["m2", "m3", "m4", "m5"]


def by_polars():
    grouped = frame.lazy().rolling(index_column="ts", period="15m", group_by="entity")
    whole = [getattr(pl.col(m), f)().alias(f"{m}_{f}") for m in two for f in ("mean", "std", "min", "max")]
    return grouped.agg(whole + [pl.col(m).sum().alias(f"{m}_sum") for m in four]).collect()


def by_polars_expressions():
    rolled = [
        getattr(pl.col(m), f"rolling_{f}_by")("ts", "15m").over("entity").alias(f"{m}_{f}")
        for m in two
        for f in ("mean", "std", "min", "max")
    ]
    sums = [pl.col(m).rolling_sum_by("ts", "15m").over("entity").alias(f"{m}_sum") for m in four]
    return frame.lazy().select("entity", "ts", *rolled, *sums).collect()


table = pd.read_csv(sys.argv[1])
table["ts"] = pd.to_datetime(table["minute_s"], unit="s")
table = table.sort_values(["entity", "ts"]).set_index("ts")


def by_pandas():
    rolled = table.groupby("entity")[two + four].rolling("15min")
    return rolled[two].agg(["mean", "std", "min", "max"]), rolled[four].sum()


def rate(work):
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return len(frame) / statistics.median(seconds)


ways = {"polars": by_polars, "polarsExpressions": by_polars_expressions, "pandas": by_pandas}
out = {name: rate(work) for name, work in ways.items()}
last = by_polars_expressions().sort("entity", "ts").row(-1, named=True)
out["last"] = [last[f"{m}_{f}"] for m in two for f in ("mean", "std", "min", "max")] + [last[f"{m}_sum"] for m in four]
out["versions"] = {"polars": pl.__version__, "pandas": pd.__version__, "python": sys.version.split()[0]}
print(json.dumps(out))
