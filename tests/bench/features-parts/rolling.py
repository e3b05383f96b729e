"""
The columns of core-37 that come from metrics, by Polars and pandas, one thread each; seconds are CPU seconds of the process.
Arguments: a folder with the events as columns, how many entities and minutes, rounds. Ways that leave columns out say so.
"""
import json, os, statistics, sys, time

os.environ["POLARS_MAX_THREADS"] = "1"
import numpy as np
import pandas as pd
import polars as pl

folder, entities, minutes, rounds = sys.argv[1], *map(int, sys.argv[2:5])
W, PAD = 15, 15
L = minutes + PAD  # minutes of an entity in the dense form; none of the first 15 has a value, so no window sees its neighbour
M = range(6)
column = lambda name, kind: np.fromfile(os.path.join(folder, name), dtype=kind)
entity, minute = column("entity", np.uint32), column("minute", np.int32)
values = {f"m{i}": column(f"m{i}", np.float64) for i in M}
events = pl.DataFrame({"entity": entity, "minute": minute, **values}).with_columns(pl.col(f"m{i}").fill_nan(None) for i in M)
table = pd.DataFrame({"entity": entity, "minute": minute, **values})
smallest = [0.1, 0.1, 1000.0, 1.0, 1.0]
key = pl.col("entity").cast(pl.Int32) * L + pl.col("minute") + PAD


def panes(of, **how):
    """What a minute's events come to: number, sum, squares, least and greatest, as far as columns need them."""
    aggregates = []
    for i in M:
        c = pl.col(f"m{i}")
        aggregates += [c.count().alias(f"n{i}"), c.sum().alias(f"s{i}")]
        if i < 4:
            aggregates.append((c * c).sum().alias(f"q{i}"))
        if i < 2:
            aggregates += [c.min().alias(f"lo{i}"), c.max().alias(f"hi{i}")]
    return of.group_by("key", **how).agg(aggregates)


def dense(of):
    return pl.LazyFrame({"key": pl.int_range(0, entities * L, dtype=pl.Int32, eager=True)}).join(of, on="key", how="left")


def f32(e):
    return e.cast(pl.Float32)


def columns_of(lf):
    """core-37's columns of a dense frame: windows are a fixed number of rows."""
    roll = lambda e, f: getattr(e, f"rolling_{f}")(W, min_samples=1)
    zero = lambda name: pl.col(name).fill_null(0).cast(pl.Float64)
    lf = lf.with_columns(
        *[roll(zero(f"n{i}"), "sum").alias(f"N{i}") for i in M],
        *[roll(zero(f"s{i}"), "sum").alias(f"S{i}") for i in M],
        *[roll(zero(f"q{i}"), "sum").alias(f"Q{i}") for i in range(4)],
        *[roll(pl.col(f"lo{i}"), "min").alias(f"LO{i}") for i in range(2)],
        *[roll(pl.col(f"hi{i}"), "max").alias(f"HI{i}") for i in range(2)],
        *[pl.when(pl.col(f"n{i}") > 0).then(f32(pl.col(f"s{i}") / pl.col(f"n{i}"))).cast(pl.Float64).alias(f"y{i}") for i in M],
        (pl.col("key") % L).cast(pl.Float64).alias("t"),
    ).with_columns(
        *[pl.when(pl.col(f"y{i}").is_not_null()).then(pl.col("t")).otherwise(0.0).alias(f"t{i}") for i in range(2)],
        *[pl.col(f"y{i}").is_not_null().cast(pl.Float64).alias(f"h{i}") for i in range(2)],
        *[pl.col(f"y{i}").fill_null(0.0).alias(f"z{i}") for i in range(2)],
    )

    def std(i):
        n, s, q = (pl.col(f"{x}{i}") for x in "NSQ")
        return f32(pl.when(n > 1).then(((q - s * s / n) / (n - 1)).clip(0).sqrt()))

    def change(y, unit):
        before = y.shift(1)
        return f32((y - before) / pl.max_horizontal(before.abs(), pl.lit(unit)))

    def slope(i):
        h, t, z = (pl.col(f"{x}{i}") for x in "htz")
        n, x, xx, y, xy = (roll(e, "sum") for e in (h, t, t * t, z, z * t))
        return f32(pl.when(n > 1).then((n * xy - x * y) / (n * xx - x * x)))

    total = lambda i: pl.when(pl.col(f"N{i}") > 0).then(f32(pl.col(f"S{i}")))
    y = [pl.col(f"y{i}") for i in M]
    out = []
    for i in range(2):
        out += [pl.when(pl.col(f"N{i}") > 0).then(f32(pl.col(f"S{i}") / pl.col(f"N{i}"))), std(i), f32(pl.col(f"LO{i}")), f32(pl.col(f"HI{i}"))]
    out += [total(2), total(3)]
    out += [f32(y[i].shift(k)) for i in range(2) for k in (1, 5, 15)]
    out += [change(y[0], smallest[0]), change(y[1], smallest[1]), change(y[2] + y[3], smallest[2])]
    out += [total(4), total(5), change(y[4], smallest[3]), change(y[5], smallest[4])]
    out += [f32(y[2].shift(1)), f32(y[3].shift(1)), slope(0), slope(1), std(2), std(3)]
    named = [e.alias(f"c{i}") for i, e in enumerate(out)]
    return lf.select("key", *named).filter(pl.col("key") % L >= PAD).select(pl.exclude("key")).collect()


def by_panes():
    return columns_of(dense(panes(events.lazy().with_columns(key=key))))


def by_sorted_panes():
    return columns_of(dense(panes(events.lazy().with_columns(key=key).sort("key"), maintain_order=True)))


def by_rolling_group():
    grouped = events.lazy().sort("entity", "minute").rolling(index_column="minute", period="15i", group_by="entity")
    whole = [getattr(pl.col(f"m{i}"), f)().alias(f"{f}{i}") for i in range(2) for f in ("mean", "std", "min", "max")]
    spread = [pl.col(f"m{i}").std().alias(f"std{i}") for i in (2, 3)]
    return grouped.agg(whole + [pl.col(f"m{i}").sum().alias(f"sum{i}") for i in range(2, 6)] + spread).collect()


def by_pandas():
    """The same dense way, as far as the windows go: sums, means, deviations, extremes."""
    at = table["entity"].to_numpy().astype(np.int64) * L + table["minute"].to_numpy() + PAD
    grouped = table.assign(key=at).groupby("key")
    two, four, all_six = ["m0", "m1"], ["m0", "m1", "m2", "m3"], [f"m{i}" for i in M]
    squares = (table[four] ** 2).assign(key=at).groupby("key").sum()
    whole = range(entities * L)
    n, s, q = (f.reindex(whole, fill_value=0).rolling(W, min_periods=1).sum() for f in (grouped[all_six].count(), grouped[all_six].sum(), squares))
    low, high = (f.reindex(whole).rolling(W, min_periods=1) for f in (grouped[two].min(), grouped[two].max()))
    mean, std = s[two] / n[two], ((q - s[four] ** 2 / n[four]) / (n[four] - 1)).clip(lower=0) ** 0.5
    return [f.astype(np.float32) for f in (mean, std, low.min(), high.max(), s[all_six[2:]])]


def seconds_of(work):
    taken = []
    for _ in range(rounds + 1):
        started = time.process_time()
        result = work()
        taken.append(time.process_time() - started)
    return statistics.median(taken[1:]), result


whole = {"panes": by_panes, "sortedPanes": by_sorted_panes}
# Polars' rolling_mean_by and its like refuse columns with missing values, which these have.
partly = {"rollingGroups": by_rolling_group}
out = {"polars": {}, "polarsWindowsOnly": {}}
for name, way in whole.items():
    out["polars"][name], rows = seconds_of(way)
    rows.to_numpy().astype(np.float32).tofile(os.path.join(folder, name))
for name, way in partly.items():
    out["polarsWindowsOnly"][name], _ = seconds_of(way)
out["pandasWindowsOnly"], _ = seconds_of(by_pandas)
out["versions"] = {"polars": pl.__version__, "pandas": pd.__version__, "python": sys.version.split()[0]}
print(json.dumps(out))
