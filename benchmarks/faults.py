"""What monitoring hears of faults that are injected into real sales: `python -m benchmarks.faults FOLDER`.

Two real shops and a synthetic one are trained on until a day, and monitored by month after it: once as they are, which
tells the false incidents, and once for each fault in each of some months. A fault is *found* where a finding of its month
is a warning or critical that the same month without it does not have, and *named* where such a finding says which segment
and which kind of fault it is. Writes `benchmarks/faults.json`.
"""

import argparse
import json
import platform
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from salesforecast.core.params import ForecastParams, MonitorParams, Params
from salesforecast.datasets import generate_sales
from salesforecast.monitoring.findings import Finding
from salesforecast.monitoring.monitor import monitor
from salesforecast.registry.predictor import Predictor, load_model
from salesforecast.sales.reading import read_sales
from salesforecast.sales.schema import ColumnMapping, load_mapping
from salesforecast.training.orchestration import train_models

RESULTS = Path(__file__).with_name("faults.json")
MAPPINGS = Path(__file__).parents[1] / "data" / "mappings"
SMALL = Params(
    random_forest=[{"n_estimators": 4, "min_samples_leaf": 20, "max_samples": 10_000}],
    xgboost=[{"n_estimators": 60, "max_depth": 4, "learning_rate": 0.1}],
    forecast=ForecastParams(windows=2),
)
MONEY = ["Unit_Price", "Revenue"]


@dataclass(frozen=True)
class Shop:
    """Sales with canonical columns, without returns, and the first day after the training."""

    frame: pd.DataFrame
    first: str

    @property
    def months(self) -> list[str]:
        """The whole months after the training."""
        last = self.frame["Transaction_Date"].max()
        months = pd.period_range(self.first, last, freq="M")
        return [str(month) for month in months if month.end_time.normalize() <= last]

    def until(self, month: str) -> pd.DataFrame:
        """What was sold from the end of the training to the end of the month."""
        end = pd.Period(month).end_time
        return self.frame[self.frame["Transaction_Date"].between(self.first, end)].reset_index(drop=True)


def shop_of(name: str, folder: Path | None) -> Shop:
    """One of the three shops."""
    if name == "synthetic":
        frame, first = read_sales(generate_sales(rows=60_000, seed=11).frame).frame, "2026-03-01"
    else:
        assert folder is not None
        frame = read_sales(folder / f"{name}.csv.gz", load_mapping(MAPPINGS / f"{name}.yaml")).frame
        first = {"complete_journey": "2017-07-01", "online_retail": "2011-06-01"}[name]
    frame = frame[~frame["is_return"]].drop(columns=["is_return"])
    if name == "online_retail":  # it has no category: the first digits of its article numbers are the ranges
        frame["Category"] = "Range " + frame["Product_ID"].astype(str).str[:2]
    frame["Revenue"] = frame["Revenue"].round(2)
    return Shop(frame.sort_values("Transaction_Date", kind="stable").reset_index(drop=True), first)


# --- faults -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fault:
    """A fault, and what a finding that names it rightly is called: one of these checks, and the segment."""

    inject: Callable[[pd.DataFrame, pd.Series, str, np.random.Generator], pd.DataFrame]
    checks: tuple[str, ...]
    segment: bool = True  # whether its finding has to name the segment


def middle(frame: pd.DataFrame, column: str) -> str:
    """The value of a column whose share of the revenue is nearest to 12%."""
    shares = frame.groupby(column, observed=True)["Revenue"].sum() / frame["Revenue"].sum()
    return str((shares - 0.12).abs().idxmin())


def times(
    columns: list[str], factor: float
) -> Callable[[pd.DataFrame, pd.Series, str, np.random.Generator], pd.DataFrame]:
    """Multiply columns of a segment in the month."""

    def inject(frame: pd.DataFrame, month: pd.Series, segment: str, rng: np.random.Generator) -> pd.DataFrame:
        rows = month & (frame["Category"] == segment)
        return frame.assign(**{name: frame[name].where(~rows, frame[name] * factor) for name in columns})

    return inject


def everywhere(
    columns: list[str], factor: float
) -> Callable[[pd.DataFrame, pd.Series, str, np.random.Generator], pd.DataFrame]:
    """Multiply columns of all rows of the month."""
    return lambda frame, month, segment, rng: frame.assign(
        **{name: frame[name].where(~month, frame[name] * factor) for name in columns}
    )


def more_of(factor: float) -> Callable[[pd.DataFrame, pd.Series, str, np.random.Generator], pd.DataFrame]:
    """More sales of the segment: rows of the month again, with ids of their own."""

    def inject(frame: pd.DataFrame, month: pd.Series, segment: str, rng: np.random.Generator) -> pd.DataFrame:
        rows = frame[month & (frame["Category"] == segment)]
        again = rows.sample(round((factor - 1) * len(rows)), random_state=int(rng.integers(1 << 30)))
        again = again.assign(Transaction_ID=[f"more-{i}" for i in range(len(again))])
        return pd.concat([frame, again]).sort_values("Transaction_Date", kind="stable", ignore_index=True)

    return inject


def without_region(
    frame: pd.DataFrame, month: pd.Series, segment: str, rng: np.random.Generator
) -> pd.DataFrame:
    """No sale of the region any more."""
    return frame[~(month & (frame["Region"].astype(str) == segment))].reset_index(drop=True)


def blank_region(
    frame: pd.DataFrame, month: pd.Series, segment: str, rng: np.random.Generator
) -> pd.DataFrame:
    """The region's cells are empty."""
    return frame.assign(
        Region=frame["Region"].astype(object).where(~(month & (frame["Region"].astype(str) == segment)))
    )


def day_twice(frame: pd.DataFrame, month: pd.Series, segment: str, rng: np.random.Generator) -> pd.DataFrame:
    """All rows of one day of the month once more."""
    days = frame.loc[month, "Transaction_Date"].dt.normalize()
    day = days.drop_duplicates().iloc[-10]
    return pd.concat([frame, frame[frame["Transaction_Date"].dt.normalize() == day]], ignore_index=True)


def stops_at_noon(
    frame: pd.DataFrame, month: pd.Series, segment: str, rng: np.random.Generator
) -> pd.DataFrame:
    """Nothing arrives after noon of the 18th day of the month."""
    start = frame.loc[month, "Transaction_Date"].min().normalize()
    return frame[frame["Transaction_Date"] < start + pd.Timedelta(days=17, hours=12)].reset_index(drop=True)


def new_category(
    frame: pd.DataFrame, month: pd.Series, segment: str, rng: np.random.Generator
) -> pd.DataFrame:
    """A tenth of the rows of the month are of a category that was not there before."""
    rows = month & (rng.random(len(frame)) < 0.1)
    return frame.assign(Category=frame["Category"].astype(object).where(~rows, "Brand new"))


def promotion_policy(
    frame: pd.DataFrame, month: pd.Series, segment: str, rng: np.random.Generator
) -> pd.DataFrame:
    """Half of the rows of the month are sold for a quarter less than before, at the same list price."""
    rows = month & (rng.random(len(frame)) < 0.5)
    return frame.assign(Revenue=frame["Revenue"].where(~rows, frame["Revenue"] * 0.75).round(2))


FAULTS: dict[str, Fault] = {
    "price x1.3 in a category": Fault(times(MONEY, 1.3), ("price",)),
    "units x100 in a category": Fault(times(["Units_Sold", "Revenue"], 100.0), ("units",)),
    "region missing": Fault(without_region, ("sales",)),
    "region's cells empty": Fault(blank_region, ("sales", "missing")),
    "a day twice": Fault(day_twice, ("repeated day", "refused rows"), segment=False),
    "feed stops at noon": Fault(stops_at_noon, ("feed",), segment=False),
    "new category of 10%": Fault(new_category, ("new",)),
    "currency x0.85": Fault(everywhere(MONEY, 0.85), ("price",), segment=False),
    "mix x1.3": Fault(more_of(1.3), ("sales", "drift")),
    "mix x1.8": Fault(more_of(1.8), ("sales", "drift")),
    "promotion policy": Fault(
        promotion_policy, ("price realisation", "bias", "drift: Realised_Share"), segment=False
    ),
}


def segment_of(name: str, frame: pd.DataFrame) -> str:
    """The segment that a fault concerns: a category of about 12% of the revenue, or a region of about as much."""
    if "region" in name:
        return middle(frame, "Region")
    return "Brand new" if name.startswith("new category") else middle(frame, "Category")


def names_it(finding: Finding, fault: Fault, segment: str) -> bool:
    """Whether the finding says which kind of fault it is, and where."""
    right = finding.check.startswith(fault.checks)
    if not fault.segment:
        return right and (not finding.segment or finding.segment == "all sales")
    return right and (
        segment in finding.message or finding.segment.endswith(segment) or finding.check == "missing: Region"
    )


# --- measuring --------------------------------------------------------------------------------------------------------


def findings_of(sales: pd.DataFrame, month: str, models: Path) -> list[Finding]:
    """What a run at the end of the month finds; none where reading refuses the file, which is told too."""
    as_of = (pd.Period(month).end_time + pd.Timedelta(days=1)).date()
    report = monitor(
        sales, ColumnMapping(), models_dir=models, params=MonitorParams(), as_of=date(*as_of.timetuple()[:3])
    )
    return [finding for finding in report.findings if finding.level in ("warning", "critical")]


PEER_COLUMNS = ["Transaction_Date", "Category", "Region", "Units_Sold", "Unit_Price", "Revenue"]


@dataclass(frozen=True)
class Tables:
    """A folder of the tables that other libraries are to look at: rows with their predicted revenue."""

    folder: Path
    model: Predictor

    def write(self, name: str, sales: pd.DataFrame) -> None:
        """Write one table."""
        self.folder.mkdir(parents=True, exist_ok=True)
        table = sales[[column for column in PEER_COLUMNS if column in sales]].reset_index(drop=True)
        texts = table.select_dtypes(["category", "object", "string"]).columns
        table[texts] = table[texts].astype("string").astype(object)
        predicted = self.model.predict(sales.reset_index(drop=True))["predicted_revenue"].to_numpy()
        table.assign(Predicted=predicted).to_parquet(self.folder / f"{name}.parquet", index=False)


def measure(
    shop: Shop, models: Path, months: list[str], faults: list[str], tables: Tables | None = None
) -> dict[str, Any]:
    """Findings of the months as they are, and of the faults in some of them."""
    clean = {month: findings_of(shop.until(month), month, models) for month in shop.months}
    before: set[str] = set()
    incidents = []  # a warning counts where two runs in a row have it, as the defaults have it
    for month, findings in clean.items():
        now = {finding.check for finding in findings}
        critical = {finding.check for finding in findings if finding.level == "critical"}
        incidents += [f"{month} {check}" for check in sorted((now & before) | critical)]
        before = now
    out: dict[str, Any] = {
        "clean_months": len(clean),
        "findings_when_clean": {month: [f.check for f in findings] for month, findings in clean.items()},
        "incidents_when_clean": incidents,
        "faults": {},
    }
    if tables:
        tables.write("reference", shop.frame[shop.frame["Transaction_Date"] < shop.first])
        for month in clean:
            in_month = shop.frame["Transaction_Date"].dt.to_period("M").astype(str) == month
            tables.write(f"clean {month}", shop.frame[in_month])
    for name in faults:
        fault = FAULTS[name]
        rows = []
        for month in months:
            sales = shop.until(month)
            rng = np.random.default_rng(7)
            in_month = sales["Transaction_Date"].dt.to_period("M").astype(str) == month
            segment = segment_of(name, sales[in_month])
            broken = fault.inject(sales, in_month, segment, rng)
            change = broken["Revenue"].sum() - sales["Revenue"].sum()
            if tables:
                after = broken["Transaction_Date"].dt.to_period("M").astype(str) == month
                tables.write(f"{name} {month}", broken[after])
            usual = {(f.check, f.level) for f in clean[month]}
            findings = [f for f in findings_of(broken, month, models) if (f.check, f.level) not in usual]
            named = [f for f in findings if names_it(f, fault, segment)]
            rows.append(
                {
                    "month": month,
                    "segment": segment,
                    "revenue": round(float(change / sales.loc[in_month, "Revenue"].sum()), 4),
                    "found": bool(findings),
                    "named": bool(named),
                    "finding": (named or findings or [None])[0] and (named or findings)[0].message,
                    "checks": [f.check for f in findings],
                }
            )
        out["faults"][name] = rows
        print(name, json.dumps([(row["month"], row["named"], row["checks"]) for row in rows]), flush=True)
    return out


def train(shop: Shop, folder: Path) -> Path:
    """Train on what was sold before the first month."""
    old = shop.frame[shop.frame["Transaction_Date"] < shop.first]
    train_models(old, ColumnMapping(), models_dir=folder, params=SMALL, track=False)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="of the real exports")
    parser.add_argument("--shops", nargs="+", default=["complete_journey", "online_retail", "synthetic"])
    parser.add_argument("--faults", nargs="+", default=list(FAULTS))
    parser.add_argument(
        "--months", type=int, default=2, help="of each shop, into which each fault is injected"
    )
    parser.add_argument("--models", type=Path, help="folder that keeps the trained versions")
    parser.add_argument("--tables", type=Path, help="folder for the tables that faults_peers.py looks at")
    parser.add_argument("--out", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    result: dict[str, Any] = {"python": platform.python_version(), "shops": {}}
    with tempfile.TemporaryDirectory() as temporary:
        for name in chosen.shops:
            print(name, flush=True)
            shop = shop_of(name, chosen.folder)
            models = (chosen.models or Path(temporary)) / f"faults-{name}"
            if not (models / "current").exists():
                train(shop, models)
            months = shop.months[1 : 1 + chosen.months]
            tables = Tables(chosen.tables / name, load_model(models)) if chosen.tables else None
            result["shops"][name] = measure(shop, models, months, chosen.faults, tables)
    result["summary"] = summary(result["shops"])
    chosen.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result["summary"], indent=1))


def summary(shops: dict[str, Any]) -> dict[str, Any]:
    """Shares of the faults that are found and named, and incidents in clean months."""
    faults: dict[str, Any] = {}
    for name in FAULTS:
        rows = [row for shop in shops.values() for row in shop["faults"].get(name, [])]
        if rows:
            faults[name] = {
                "injected": len(rows),
                "found": sum(row["found"] for row in rows),
                "named": sum(row["named"] for row in rows),
            }
    clean = {
        name: {"months": shop["clean_months"], "incidents": len(shop["incidents_when_clean"])}
        for name, shop in shops.items()
    }
    return {"faults": faults, "clean": clean}


if __name__ == "__main__":
    main()
