"""The mapping file and the contract of a row."""

from pathlib import Path

import pandas as pd
import pytest

from salesforecast.core.settings import UserError
from salesforecast.datasets import generate_sales
from salesforecast.forecasting.inputs import read_series
from salesforecast.sales.reading import read_sales
from salesforecast.sales.schema import (
    ColumnMapping,
    contract_failures,
    find_column,
    load_mapping,
    row_contract,
)
from support.models import ROOT

NOW = pd.Timestamp("2024-06-30 12:00")


def mapping_of(folder: Path, text: str) -> ColumnMapping:
    (folder / "mapping.yaml").write_text(text, encoding="utf-8")
    return load_mapping(folder / "mapping.yaml")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("colums: {}", "Did you mean 'columns'?"),
        ("returns: {whne: x}", "returns.whne: there is no such key. Did you mean 'when'?"),
        ("returns: {effect: drop}", "returns.effect: found 'drop'"),
        ("columns: {Units_Sold: 1}", "belongs under constants"),
        ("columns: {Region: a}\nconstants: {Region: b}", "Region stands in both"),
        ("columns: {Region: a, Category: b}\nconstants: {Region: b, Category: c}", "Category stands in both"),
        ("columns: {is_return: a}", "'is_return' is taken"),
        ("features: [Customer_ID]", "a person is never a feature"),
        ("personal: [phone]\nfeatures: [phone]", "a person is never a feature"),
        ("numeric_features: [size]", "list it under features too"),
        ("max_quarantined_share: 5", "max_quarantined_share: found 5"),
        ("read: {decimal: ',', thousands: ','}", "must differ"),
        ("read: {delimiter: ';;'}", "read.delimiter: found ';;'"),
        ("events: {fair: [soon]}", "found 'soon'"),
        ("closures: {leave: [2026-08-16 to 2026-08-03]}", "has -12 days"),
        ("closures: {leave: [August]}", "Write 2026-08-03, or 2026-08-03 to 2026-08-16"),
        ("holidays: XX", "no such country"),
        ("holidays: US-XX", "has no part 'XX'"),
        ("holidays: NO", "Put it in quotes"),
        ("closed_weekdays: [sun]", "closed_weekdays.0: found 'sun'"),
        ("- a list", "It needs keys"),
        ("a: [", "not YAML"),
    ],
)
def test_a_wrong_mapping_is_explained(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(UserError) as error:
        mapping_of(tmp_path, text)
    assert says in str(error.value)


def test_a_missing_mapping_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.yaml cannot be read"):
        load_mapping(tmp_path / "nowhere.yaml")


def test_an_empty_mapping_is_the_default(tmp_path: Path) -> None:
    assert mapping_of(tmp_path, "# nothing yet\n") == ColumnMapping() == load_mapping(None)


def test_a_mapping_survives_json(tmp_path: Path) -> None:
    mapping = mapping_of(
        tmp_path,
        "holidays: [2024-12-24]\nevents: {fair: [2024-05-01, 2025-05-01]}\nfeatures: [size]\n"
        "closures: {leave: [2026-08-03 to 2026-08-16, 2026-01-05], stocktaking: 2026-02-02}",
    )
    assert [len(days) for days in mapping.closures.values()] == [15, 1]
    assert ColumnMapping.model_validate_json(mapping.model_dump_json()) == mapping


@pytest.mark.parametrize(
    "path", sorted((ROOT / "data" / "mappings").glob("*.yaml")), ids=lambda path: path.stem
)
def test_shipped_mappings_load(path: Path) -> None:
    assert load_mapping(path).columns


def test_similar_names_are_not_guessed_between() -> None:
    assert find_column("Unit Price", ["unit_price", "x"]) == "unit_price"
    assert find_column("Unit_Price", ["unit price", "UNIT_PRICE"]) is None


SALE = {
    "Transaction_Date": "2024-06-01",
    "Units_Sold": 2.0,
    "Unit_Price": 5.0,
    "Revenue": 9.0,
    "is_return": False,
}


@pytest.mark.parametrize(
    ("change", "reasons"),
    [
        ({}, set()),
        ({"Revenue": 0.0}, set()),
        ({"Revenue": 10.009}, set()),
        ({"Units_Sold": 40.0, "Unit_Price": 3.33, "Revenue": 133.32}, set()),  # 40 × 3.333
        (
            {"Units_Sold": 40.0, "Unit_Price": 3.33, "Revenue": 133.45},
            {"Revenue is above Units_Sold × Unit_Price"},
        ),
        ({"Transaction_Date": "2024-06-30 23:00"}, set()),
        ({"Units_Sold": -2.0, "Revenue": -9.0, "is_return": True}, set()),
        ({"Revenue": 10.02}, {"Revenue is above Units_Sold × Unit_Price"}),
        ({"Transaction_Date": "2024-07-01"}, {"Transaction_Date is in the future"}),
        ({"Transaction_Date": None}, {"Transaction_Date is missing"}),
        ({"Revenue": None}, {"Revenue is missing"}),
        ({"Units_Sold": 0.0, "Revenue": 0.0}, {"Units_Sold is zero"}),
        ({"Unit_Price": 0.0, "Revenue": 0.0}, {"Unit_Price is zero or negative"}),
        ({"Unit_Price": -5.0, "Revenue": 0.0}, {"Unit_Price is zero or negative"}),
        ({"Units_Sold": -2.0}, {"Units_Sold is negative and the row is no return"}),
        ({"Revenue": -1.0}, {"Revenue is negative and the row is no return"}),
        ({"Unit_Price": float("inf")}, {"Unit_Price is infinite"}),
        (
            {"Units_Sold": -2.0, "Revenue": -11.0, "is_return": True},
            {"Revenue is above Units_Sold × Unit_Price"},
        ),
    ],
)
def test_the_contract_of_a_row(change: dict, reasons: set[str]) -> None:
    rows = pd.DataFrame([SALE | change]).astype({"Units_Sold": float, "Unit_Price": float, "Revenue": float})
    rows["Transaction_Date"] = pd.to_datetime(rows["Transaction_Date"]).astype("datetime64[ns]")
    names = [name for name in rows if name != "is_return"]
    assert set(contract_failures(rows, row_contract(names, NOW))["reason"]) == reasons


def test_a_least_share_can_be_asked_for() -> None:
    rows = pd.DataFrame([SALE | {"Revenue": revenue} for revenue in (1.0, 2.0, 10.0)])
    rows["Transaction_Date"] = pd.to_datetime(rows["Transaction_Date"]).astype("datetime64[ns]")
    names = [name for name in rows if name != "is_return"]
    broken = contract_failures(rows, row_contract(names, NOW, 0.2))
    assert broken.to_dict("list") == {
        "position": [0],
        "reason": ["Revenue is below 0.2 of Units_Sold × Unit_Price"],
    }


def test_a_share_of_list_revenue_may_be_rounded_to_cents() -> None:
    """40 × 3.33 at half price is 66.60; prices rounded to cents leave 0.205 of play."""
    sale = SALE | {"Units_Sold": 40.0, "Unit_Price": 3.33}
    rows = pd.DataFrame([sale | {"Revenue": revenue} for revenue in (66.6, 66.4, 66.39)])
    rows["Transaction_Date"] = pd.to_datetime(rows["Transaction_Date"]).astype("datetime64[ns]")
    names = [name for name in rows if name != "is_return"]
    assert contract_failures(rows, row_contract(names, NOW, 0.5))["position"].tolist() == [2]


def test_a_product_in_fifty_may_be_lost_and_no_category_or_region() -> None:
    limits = ColumnMapping().max_lost
    assert (limits.products, limits.categories, limits.regions, limits.days) == (0.02, 0.0, 0.0, 0.02)


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        (ColumnMapping(features=("nope",)), "features: 'nope' is no column of the source.*Columns: .*promo"),
        (ColumnMapping(features=("prom",)), "features: 'prom' .*promo"),
        (ColumnMapping(personal=("e-mail",)), "personal: 'e-mail' is no column of the source"),
        (ColumnMapping(read={"sheet": "May"}), r"read.sheet: .*sales.csv is no Excel file.*'May'"),
        (ColumnMapping(read={"sheets": "all"}), "read.sheets: .*is no Excel file"),
        (ColumnMapping(read={"table": "sales"}), r"sales.csv is no database and has no table 'sales'"),
    ],
)
def test_what_a_mapping_names_has_to_be_there(mapping: ColumnMapping, message: str, tmp_path: Path) -> None:
    source = tmp_path / "sales.csv"
    source.write_text("Transaction_Date,Revenue,promo\n2024-01-01,5,yes\n2024-01-02,6,no\n")
    with pytest.raises(UserError, match=message):
        read_sales(source, mapping)
    fits = ColumnMapping(features=("promo",), personal=("Customer_ID",))
    assert read_sales(source, fits).report.rows_accepted == 2


def test_a_mapping_is_given_as_a_path_in_python_too(tmp_path: Path) -> None:
    days = pd.date_range("2026-01-01", periods=10).strftime("%Y-%m-%d")
    rows = pd.DataFrame({"Tag": days, "Umsatz": [10.5, *[20.0] * 9]})
    rows.to_csv(tmp_path / "sales.csv", index=False)
    path = tmp_path / "shop.yaml"
    path.write_text("columns: {Transaction_Date: Tag, Revenue: Umsatz}\n")
    for given in (path, str(path), load_mapping(path)):
        sales = read_sales(tmp_path / "sales.csv", given)
        assert sales.frame["Revenue"].sum() == 190.5 and sales.mapping == load_mapping(path)
        assert read_series(rows, mapping=given).panel.values.sum() == 190.5
    with pytest.raises(UserError, match=r"nowhere\.yaml cannot be read"):
        read_sales(tmp_path / "sales.csv", "nowhere.yaml")


def test_a_source_of_another_kind_is_named() -> None:
    with pytest.raises(UserError, match=r"not from a SyntheticSales\. Its rows are in `\.frame`"):
        read_sales(generate_sales(rows=10))  # type: ignore[arg-type]
    with pytest.raises(UserError, match="path, a database URL or a DataFrame, not from a list"):
        read_sales([])  # type: ignore[arg-type]
