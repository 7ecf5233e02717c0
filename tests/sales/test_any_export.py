"""Random tables in random formats, with known sums: read right, or refused with a message, never wrong in silence."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from salesforecast.core.settings import UserError
from salesforecast.sales.reading import read_sales

NUMBERS = {
    "plain": lambda v, d: f"{v:.{d}f}",
    "english": lambda v, d: f"{v:,.{d}f}",
    "german": lambda v, d: f"{v:,.{d}f}".translate(str.maketrans(",.", ".,")),
    "comma": lambda v, d: f"{v:.{d}f}".replace(".", ","),
    "space": lambda v, d: f"{v:,.{d}f}".translate(str.maketrans(",.", "\u00a0,")),
    "swiss": lambda v, d: f"{v:,.{d}f}".replace(",", "'"),
    "dollar": lambda v, d: f"${v:,.{d}f}",
    "euro": lambda v, d: f"{v:,.{d}f}".translate(str.maketrans(",.", ".,")) + " €",
    "sap": lambda v, d: f"{v:,.{d}f}".translate(str.maketrans(",.", ".,")) + " ",
}
DATES = (
    "%Y-%m-%d",
    "%d.%m.%Y",
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%Y%m%d",
    "%Y/%m/%d",
    "%d %b %Y",
    "%Y-%m-%d %H:%M:%S",
    "%m/%d/%Y %I:%M %p",
)
ENCODINGS = ("utf-8", "utf-8-sig", "cp1252", "utf-16")


@dataclass(frozen=True)
class Export:
    """A random file and what it holds."""

    seed: int
    path: Path
    revenue: float
    rows: int
    about: str


def make_export(seed: int, folder: Path) -> Export:
    """Draw a table and how it is written."""
    rng = np.random.default_rng([17, seed])
    n = int(rng.integers(30, 160))
    style, layout = str(rng.choice(list(NUMBERS))), str(rng.choice(DATES))
    delimiter, encoding = str(rng.choice([",", ";", "\t", "|"])), str(rng.choice(ENCODINGS))
    if encoding == "cp1252" and style == "space":
        encoding = "utf-8"
    decimals = int(rng.choice([2, 2, 2, 0, 3]))
    prices = np.round(
        rng.choice([2.5, 9.9, 19.0, 140.0, 1299.0, 1725.0], n) * rng.choice([1, 1, 10], 1), decimals
    )
    if rng.random() < 0.3:
        prices = np.round(prices * rng.lognormal(0, 0.4, n), decimals)
    units = rng.integers(1, 9, n)
    prices = np.maximum(prices, 10.0**-decimals)
    start = pd.Timestamp("2023-01-05") + pd.Timedelta(days=int(rng.integers(0, 300)))
    offsets = np.sort(rng.integers(0, 200, n))
    if rng.random() < 0.2:
        offsets = offsets + np.where(offsets > 100, 150, 0)
    days = start + pd.to_timedelta(offsets, "D") + pd.to_timedelta(rng.integers(0, 86_400, n), "s")
    write = NUMBERS[style]
    revenue = np.round(units * prices, decimals)
    cells = {
        "Transaction_Date": days.strftime(layout),
        "Product_ID": rng.choice(["Käse", "Brot", "Café au lait", 'say "hi"', "a,b;c"], n),
        "Units_Sold": units.astype(str),
        "Unit_Price": [write(v, decimals) for v in prices],
    }
    with_revenue = rng.random() < 0.5
    if with_revenue:
        cells["Revenue"] = [write(v, decimals) for v in revenue]
    if with_revenue and rng.random() < 0.3:
        cells = {name: cells[name] for name in ("Transaction_Date", "Product_ID", "Revenue")}
    table = pd.DataFrame(cells)
    extra = str(rng.choice(["none", "none", "none", "total", "blank", "title", "trailing", "header"]))
    text = table.to_csv(
        index=False,
        sep=delimiter,
        quoting=int(rng.choice([0, 1])),
        lineterminator=str(rng.choice(["\n", "\r\n"])),
    )
    lines = text.splitlines(keepends=True)
    end = "\r\n" if text.endswith("\r\n") else "\n"
    if extra == "total" and "Revenue" in cells:
        amount = write(float(revenue.sum()), decimals)
        row = dict.fromkeys(cells, "") | {"Product_ID": "Total", "Revenue": amount}
        lines.append(
            pd.DataFrame([row]).to_csv(
                index=False, header=False, sep=delimiter, quoting=1, lineterminator=end
            )
        )
    elif extra == "blank":
        lines.insert(len(lines) // 2, end)
    elif extra == "title":
        lines.insert(0, f"Sales report{end}")
    elif extra == "trailing":
        lines = [line.rstrip("\r\n") + delimiter + end for line in lines]
    elif extra == "header":
        lines.insert(len(lines) // 2, lines[0])
    path = folder / f"{seed}.{'tsv' if delimiter == chr(9) else 'csv'}"
    path.write_bytes("".join(lines).encode(encoding, "replace"))
    about = (
        f"{style}, {decimals} decimals, {layout}, {delimiter!r}, {encoding}, {extra}, columns {list(cells)}"
    )
    return Export(seed, path, float(revenue.sum()), n, about)


def read_or_refuse(export: Export) -> str:
    """Return "read" or "refused", or what is wrong."""
    try:
        sales = read_sales(export.path)
    except UserError as error:
        return "refused" if len(str(error)) > 20 else f"{export.about}: says only {error}"
    finally:
        export.path.unlink()
    total = sales.report.revenue_total
    if abs(total - export.revenue) > 1e-6 * export.revenue + 0.011 * export.rows:
        told = [text for text in sales.report.warnings if "rejected rows hold" in text]
        if told and total + sales.report.rejected_revenue == pytest.approx(export.revenue, rel=1e-6):
            return "told"
        return f"seed {export.seed}: {export.about}: {total:.2f} instead of {export.revenue:.2f}, {sales.report.warnings}"
    if len(sales.frame) != export.rows:
        return f"seed {export.seed}: {export.about}: {len(sales.frame)} rows instead of {export.rows}"
    return "read"


def outcomes(seeds: range, folder: Path) -> pd.Series:
    """Read an export for each seed; fail for those that are wrong in silence."""
    found = [read_or_refuse(make_export(seed, folder)) for seed in seeds]
    wrong = [text for text in found if text not in ("read", "refused", "told")]
    assert not wrong, f"{len(wrong)} of {len(found)} are wrong:\n" + "\n".join(wrong[:10])
    return pd.Series(found).value_counts(normalize=True)


def test_a_few_dozen_exports_are_read_right_or_refused(tmp_path: Path) -> None:
    shares = outcomes(range(60), tmp_path)
    assert shares["read"] > 0.6, shares


@pytest.mark.slow
def test_two_thousand_exports_are_read_right_or_refused(tmp_path: Path) -> None:
    shares = outcomes(range(1000, 3000), tmp_path)
    print(shares)
    assert shares["read"] > 0.6, shares
