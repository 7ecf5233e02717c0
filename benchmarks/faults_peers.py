"""What Evidently and NannyML hear of the same faults: `python benchmarks/faults_peers.py TABLES RESULTS LIBRARY`.

Each library runs in an environment of its own (Evidently 0.7 does not start with pandas 3), on the tables that
`python -m benchmarks.faults FOLDER --tables TABLES` writes, and adds "peers" to its results. Each library sees the sales
before the first month, with their predicted revenue, as its reference, and one month after the other, with its defaults:
Evidently's drift of each column, NannyML's univariate drift and realised performance with chunks of a month. An *alarm* is
a column, or the performance, that the library marks. As for our own monitoring, a fault is *found* where its month has an
alarm that the same month without it does not have, and it *names the column* where such an alarm is of a column that the
fault changed; neither library is asked for a segment.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd

os.environ.update(NML_DISABLE_USAGE_LOGGING="true", DO_NOT_TRACK="1")
NUMBERS = ["Units_Sold", "Unit_Price", "Revenue", "Predicted"]
CHANGED = {
    "price x1.3 in a category": ["Unit_Price", "Revenue"],
    "units x100 in a category": ["Units_Sold", "Revenue"],
    "region missing": ["Region"],
    "region's cells empty": ["Region"],
    "a day twice": [],
    "feed stops at noon": [],
    "new category of 10%": ["Category"],
    "currency x0.85": ["Unit_Price", "Revenue"],
    "mix x1.3": ["Category"],
    "mix x1.8": ["Category"],
    "promotion policy": ["Revenue", "performance"],
}
Alarms = Callable[[pd.DataFrame], set[str]]


def evidently_alarms(reference: pd.DataFrame) -> tuple[str, Alarms]:
    """Return the library's version, and what tells the columns whose distribution drifted."""
    import evidently
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    columns = [name for name in reference if name != "Transaction_Date"]
    definition = DataDefinition(
        numerical_columns=[name for name in columns if name in NUMBERS],
        categorical_columns=[name for name in columns if name not in NUMBERS],
    )
    before = Dataset.from_pandas(reference[columns], definition)

    def alarms(month: pd.DataFrame) -> set[str]:
        report = Report([DataDriftPreset()], include_tests=True)
        snapshot = report.run(Dataset.from_pandas(month[columns], definition), before).dict()
        failed = [test for test in snapshot["tests"] if str(test["status"]).endswith("FAIL")]
        return {test["metric_config"]["params"].get("column", "dataset") for test in failed}

    return evidently.__version__, alarms


def nannyml_alarms(reference: pd.DataFrame) -> tuple[str, Alarms]:
    """Return the library's version, and what tells the columns and the performance that left their thresholds."""
    import nannyml

    columns = [name for name in reference if name != "Transaction_Date"]
    time = {"timestamp_column_name": "Transaction_Date", "chunk_period": "M"}
    drift = nannyml.UnivariateDriftCalculator(column_names=columns, **time).fit(reference)
    performance = nannyml.PerformanceCalculator(
        y_pred="Predicted", y_true="Revenue", problem_type="regression", metrics=["mae", "rmse"], **time
    ).fit(reference)

    def alarms(month: pd.DataFrame) -> set[str]:
        found = drift.calculate(month).to_df().xs("alert", axis=1, level=-1)
        marked = {str(name[0]) for name in found.columns[found.any()]}
        errors = performance.calculate(month).to_df().xs("alert", axis=1, level=-1)
        return marked | ({"performance"} if bool(errors.any(axis=None)) else set())

    return nannyml.__version__, alarms


LIBRARIES: dict[str, Callable[[pd.DataFrame], tuple[str, Alarms]]] = {
    "evidently": evidently_alarms,
    "nannyml": nannyml_alarms,
}


def look_at(shop: Path, library: Callable[[pd.DataFrame], tuple[str, Alarms]]) -> dict[str, object]:
    """Return a library's alarms in the clean months and in the faulty ones of a shop."""
    version, alarms = library(pd.read_parquet(shop / "reference.parquet"))
    found = {path.stem: alarms(pd.read_parquet(path)) for path in sorted(shop.glob("* ????-??.parquet"))}
    clean = {
        name.removeprefix("clean "): marked for name, marked in found.items() if name.startswith("clean ")
    }
    faults: dict[str, list[dict[str, object]]] = {}
    for name, marked in found.items():
        fault, _, month = name.rpartition(" ")
        if fault == "clean":
            continue
        new = marked - clean[month]
        named = bool(new & set(CHANGED[fault]))
        faults.setdefault(fault, []).append(
            {"month": month, "found": bool(new), "names_the_column": named, "alarms": sorted(new)}
        )
    clean_alarms = {month: sorted(marked) for month, marked in clean.items()}
    return {"version": version, "alarms_when_clean": clean_alarms, "faults": faults}


def summary(shops: dict[str, dict]) -> dict[str, object]:
    """Count the faults that are found and whose column is named, and the clean months with an alarm."""
    rows = [row for shop in shops.values() for each in shop["faults"].values() for row in each]
    clean = [marked for shop in shops.values() for marked in shop["alarms_when_clean"].values()]
    return {
        "injected": len(rows),
        "found": sum(row["found"] for row in rows),
        "names_the_column": sum(row["names_the_column"] for row in rows),
        "clean_months": len(clean),
        "clean_months_with_alarm": sum(bool(marked) for marked in clean),
    }


def main() -> None:
    """Look at the tables of each shop with a library, and add what it found to the results."""
    tables, results, name = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    shops = {shop.name: look_at(shop, LIBRARIES[name]) for shop in sorted(tables.iterdir())}
    result = json.loads(results.read_text(encoding="utf-8"))
    result.setdefault("peers", {})[name] = {"summary": summary(shops), "shops": shops}
    results.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(name, json.dumps(result["peers"][name]["summary"]))


if __name__ == "__main__":
    main()
