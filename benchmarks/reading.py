"""Reading, checking and aggregating sales beside the plain typed read of DuckDB and Polars."""

import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks import TRIES
from salesforecast.core.engine import LOCAL_ENGINE
from salesforecast.core.optional import require
from salesforecast.datasets import generate_sales, write_sales
from salesforecast.sales.partitions import read_partitioned_sales
from salesforecast.sales.reading import read_sales
from salesforecast.sales.schema import ColumnMapping

LARGE = 10  # times the rows of the file, in pieces
PIECES = "pieces"
NAMES = {  # of the foreign layout
    "Transaction_ID": "Beleg",
    "Transaction_Date": "Datum",
    "Product_ID": "Artikel",
    "Product_Name": "Bezeichnung",
    "Category": "Warengruppe",
    "Units_Sold": "Menge",
    "Unit_Price": "Preis",
    "Revenue": "Umsatz",
    "Customer_ID": "Kunde",
    "Region": "Gebiet",
}
NUMBERS = ("Units_Sold", "Unit_Price", "Revenue")
LAYOUTS = ("plain", "foreign")
MAPPINGS = {"plain": None, "foreign": ColumnMapping(columns=NAMES)}


def write_foreign(plain: Path, path: Path) -> Path:
    """Write the rows of a plain file with other names, semicolons, decimal commas and German dates."""
    cells = pd.read_csv(plain, dtype=str, keep_default_na=False)
    date = cells["Transaction_Date"]
    day = date.str.replace(r"^(\d{4})-(\d\d)-(\d\d)", r"\3.\2.\1", regex=True)
    cells["Transaction_Date"] = day.str.replace(r":\d\d$", "", regex=True)
    for name in NUMBERS[1:]:
        cells[name] = cells[name].str.replace(".", ",", regex=False)
    cells.rename(columns=NAMES).to_csv(path, sep=";", index=False)
    return path


def write_pieces(plain: Path, folder: Path, pieces: int) -> Path:
    """Write the rows of a plain file several times as a folder of Parquet; each time they have ids of their own."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import csv, parquet

    rows = csv.read_csv(
        plain, convert_options=csv.ConvertOptions(column_types=dict.fromkeys(NAMES, pa.string()))
    )
    folder.mkdir()
    for i in range(pieces):
        ids = pc.replace_substring(rows["Transaction_ID"], "TXN", f"T{i}N")
        parquet.write_table(rows.set_column(0, "Transaction_ID", ids), folder / f"{i:02d}.parquet")
    return folder


def ours(path: Path, layout: str) -> pd.Series:
    """Revenue by day and category of checked sales."""
    frame = read_sales(path, MAPPINGS[layout]).frame
    return (
        frame["Revenue"]
        .groupby([frame["Transaction_Date"].dt.normalize(), frame["Category"]], observed=True)
        .sum()
    )


def in_pieces(folder: Path) -> pd.Series:
    """Revenue by day and category of sales that are checked piece by piece."""
    frame = read_partitioned_sales(folder, None, LOCAL_ENGINE).aggregate_daily(["Category"]).frame
    return frame["Revenue"].groupby([frame["Transaction_Date"].dt.normalize(), frame["Category"]]).sum()


def by_duckdb(path: Path, layout: str, keep: bool) -> Any:
    """Revenue by day and category of a typed read; it keeps the rows, as reading does, or only adds them up."""
    duckdb = require("duckdb", "peers")
    foreign = layout == "foreign"
    types = {
        name: "TIMESTAMP" if name == "Transaction_Date" else "DOUBLE" if name in NUMBERS else "VARCHAR"
        for name in NAMES
    }
    columns = {NAMES[name] if foreign else name: kind for name, kind in types.items()}
    marks = ", decimal_separator=',', timestampformat='%d.%m.%Y %H:%M', delim=';'" if foreign else ""
    rows = f"read_csv('{path}', columns={columns}, header=true, ignore_errors=true{marks})"
    day, category, revenue = (NAMES[n] if foreign else n for n in ("Transaction_Date", "Category", "Revenue"))
    with duckdb.connect() as connection:
        if keep:
            connection.execute(f"create table rows as select * from {rows}")
        return connection.execute(
            f"select {day}::date, {category}, sum({revenue}) from {'rows' if keep else rows} group by all"
        ).fetchall()


def by_polars(path: Path, layout: str) -> Any:
    """Revenue by day and category of a typed read."""
    pl = require("polars", "peers")
    foreign = layout == "foreign"
    names = {name: NAMES[name] if foreign else name for name in NAMES}
    rows = pl.read_csv(
        path,
        separator=";" if foreign else ",",
        decimal_comma=foreign,
        schema={names[name]: pl.Float64 if name in NUMBERS else pl.String for name in NAMES},
        ignore_errors=True,
    )
    stamp = "%d.%m.%Y %H:%M" if foreign else "%Y-%m-%d %H:%M:%S"
    dated = rows.with_columns(pl.col(names["Transaction_Date"]).str.to_datetime(stamp, strict=False))
    day = dated[names["Transaction_Date"]].dt.date().alias("day")
    return dated.group_by(day, names["Category"]).agg(pl.col(names["Revenue"]).sum())


def seconds_of(path: Path, layout: str) -> dict[str, float]:
    """Seconds of each way, the best of some rounds in which they take turns."""
    ways = {
        "salesforecast": lambda: ours(path, layout),
        "DuckDB, typed read and group-by": lambda: by_duckdb(path, layout, keep=True),
        "DuckDB, group-by only": lambda: by_duckdb(path, layout, keep=False),
        "Polars, typed read and group-by": lambda: by_polars(path, layout),
    }
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(TRIES):
        for name, call in ways.items():
            began = time.perf_counter()
            call()
            found[name].append(time.perf_counter() - began)
    return {name: min(seconds) for name, seconds in found.items()}


def measured_apart(path: Path, layout: str) -> dict[str, float]:
    """Seconds and peak memory of one reading in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.reading", str(path), layout]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def reading(rows: int, folder: Path) -> dict[str, Any]:
    """CSV to daily revenue by category, over the plain typed read of others; and memory, also of a larger file."""
    files = {"plain": write_sales(generate_sales(rows=rows, seed=1), folder / "plain.csv")}
    files["foreign"] = write_foreign(files["plain"], folder / "foreign.csv")
    found: dict[str, Any] = {"rows": rows}
    for layout in LAYOUTS:
        seconds = seconds_of(files[layout], layout)
        found[layout] = {
            "seconds": {name: round(value, 3) for name, value in seconds.items()},
            "ratios": {
                f"salesforecast / {name}": round(seconds["salesforecast"] / value, 2)
                for name, value in seconds.items()
                if name != "salesforecast"
            },
            "peak memory GB": round(measured_apart(files[layout], layout)["peak GB"], 3),
        }
    small, large = (
        measured_apart(write_pieces(files["plain"], folder / f"{count} pieces", count), PIECES)
        for count in (1, LARGE)
    )
    found["in pieces"] = {
        "rows": LARGE * rows,
        "seconds": round(large["seconds"], 1),
        "peak memory GB": round(large["peak GB"], 2),
        "seconds per row / those of a tenth of the rows": round(
            large["seconds"] / LARGE / small["seconds"], 2
        ),
    }
    return found


def peak_memory() -> float:
    """Return the largest memory of this process in GB; `ru_maxrss` would count that of the process that started it."""
    status = Path("/proc/self/status").read_text()
    return float(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) / 2**20


def main() -> None:
    """Read one file or folder, and print seconds and peak memory."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("layout", choices=(*LAYOUTS, PIECES))
    options = parser.parse_args()
    began = time.perf_counter()
    if options.layout == PIECES:
        in_pieces(options.path)
    else:
        ours(options.path, options.layout)
    seconds = time.perf_counter() - began
    print(json.dumps({"seconds": seconds, "peak GB": peak_memory()}))


if __name__ == "__main__":
    main()
