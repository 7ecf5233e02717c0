"""The generator: structure, truth, dirt and drift; and the sample, which it must reproduce to the byte."""

import gzip
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from salesforecast.core.settings import UserError
from salesforecast.datasets import (
    CATEGORIES,
    COLUMNS,
    DATA_ERRORS,
    DUPLICATE_ERROR,
    REGIONS,
    Drift,
    DriftKind,
    SyntheticSales,
    assign_promotions,
    black_fridays,
    compute_oracle_wape,
    draw_promotions,
    generate_sales,
    write_sales,
)

SAMPLE = Path(__file__).parents[1] / "data" / "sample" / "sales_sample.csv"
NUMBERS = ["Units_Sold", "Unit_Price", "Revenue"]
CALM: dict[str, Any] = {
    "rows": 20_000,
    "start": "2024-07-01",
    "days": 730,
    "error_share": 0,
    "return_share": 0,
}


@pytest.fixture(scope="module")
def sales() -> SyntheticSales:
    """The default: 60,000 rows over three years."""
    return generate_sales()


@pytest.fixture(scope="module")
def clean(sales: SyntheticSales) -> pd.DataFrame:
    """Rows that are neither dirty nor returns, cells as numbers, with their truth."""
    kept = (sales.truth["dirty"] == "") & ~sales.truth["returned"]
    frame = sales.frame[kept].astype(dict.fromkeys(NUMBERS, float)).join(sales.truth[kept])
    return frame.assign(listed=frame["Units_Sold"] * frame["Unit_Price"])


def wape(predicted: np.ndarray | pd.Series, actual: np.ndarray | pd.Series) -> float:
    return float(np.abs(np.asarray(predicted) - np.asarray(actual)).sum() / np.abs(actual).sum())


# --- the file ------------------------------------------------------------------------------


def test_the_sample_is_what_the_generator_makes(tmp_path: Path) -> None:
    made = write_sales(generate_sales(rows=3_000), tmp_path / "sample.csv")
    assert made.read_bytes() == SAMPLE.read_bytes()


def test_the_sample_has_every_fault_once_and_spans_two_years() -> None:
    sample = generate_sales(rows=3_000)
    faults = sample.truth["dirty"].value_counts()
    assert faults.drop("").to_dict() == dict.fromkeys([*DATA_ERRORS, DUPLICATE_ERROR], 1)
    assert sample.truth["ds"].max() - sample.truth["ds"].min() > pd.Timedelta(days=2 * 365)


def test_columns_and_style(sales: SyntheticSales, clean: pd.DataFrame) -> None:
    assert tuple(sales.frame.columns) == COLUMNS
    style = {
        "Transaction_ID": r"TXN\d{6}",
        "Transaction_Date": r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d",
        "Product_ID": r"P\d{4}",
        "Customer_ID": r"CUST\d{5}",
    }
    for column, pattern in style.items():
        assert clean[column].str.fullmatch(pattern).all(), column
    plain = sales.frame.loc[clean.index]
    assert plain["Units_Sold"].str.fullmatch(r"[1-9]\d*").all()
    assert plain[["Unit_Price", "Revenue"]].apply(lambda cells: cells.str.fullmatch(r"\d+\.\d\d").all()).all()
    assert set(clean["Category"]) == set(CATEGORIES)
    assert set(clean["Region"]) == set(REGIONS)
    assert clean["Transaction_ID"].is_unique


def test_days_and_hours(sales: SyntheticSales, clean: pd.DataFrame) -> None:
    when = pd.to_datetime(clean["Transaction_Date"])
    assert when.is_monotonic_increasing
    assert when.dt.normalize().astype("datetime64[ns]").equals(clean["ds"])
    assert when.dt.hour.between(7, 22).all()
    assert sales.daily["ds"].iloc[[0, -1]].dt.strftime("%Y-%m-%d").tolist() == ["2023-10-01", "2026-09-30"]
    assert not ((when.dt.month == 12) & (when.dt.day == 25)).any()


@pytest.mark.parametrize("rows", [1, 2, 240, 5_001])
@pytest.mark.parametrize("error_share", [0.0, 0.05, 0.25])
def test_exactly_the_rows_asked_for(rows: int, error_share: float) -> None:
    made = generate_sales(rows=rows, error_share=error_share, days=90, return_share=0)
    assert len(made.frame) == len(made.truth) == rows
    assert (made.truth["dirty"] != "").sum() == round(error_share * rows)


@pytest.mark.parametrize("days", [1, 2, 7, 2_000])
def test_any_length_of_history(days: int) -> None:
    made = generate_sales(rows=500, days=days, start="2020-02-28")
    assert len(made.daily) == days
    assert made.truth["ds"].between(made.daily["ds"].iloc[0], made.daily["ds"].iloc[-1]).all()


def test_equal_seeds_equal_sales() -> None:
    first, again, other = (generate_sales(rows=300, seed=seed) for seed in (1, 1, 2))
    for name in ("frame", "truth", "daily", "promotions"):
        pd.testing.assert_frame_equal(getattr(first, name), getattr(again, name))
    assert not first.frame.equals(other.frame)


def test_a_file_reads_back_as_the_frame(tmp_path: Path) -> None:
    made = generate_sales(rows=400, error_share=0.1)
    plain = write_sales(made, tmp_path / "new" / "sales.csv")
    pd.testing.assert_frame_equal(pd.read_csv(plain, dtype=object, keep_default_na=False), made.frame)
    packed = write_sales(made, tmp_path / "sales.csv.gz")
    assert gzip.decompress(packed.read_bytes()) == plain.read_bytes()
    assert b'"' not in plain.read_bytes()


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = write_sales(generate_sales(rows=5), tmp_path / "sales.csv")
    before = path.read_bytes()
    broken = generate_sales(rows=5)
    broken.frame.loc[0, "Region"] = 'needs "quotes"'
    with pytest.raises(ValueError, match="quot"):
        write_sales(broken, path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["sales.csv"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"rows": 0}, "0 rows"),
        ({"days": 0}, "0 days"),
        ({"error_share": 0.5}, "error_share"),
        ({"return_share": -0.1}, "return_share"),
        ({"start": "yesterday-ish"}, "'yesterday-ish' is no day"),
        ({"start": "2025-12-25", "days": 1}, "closed from 2025-12-25"),
    ],
)
def test_faults_of_the_caller_are_named(wrong: dict, said: str) -> None:
    with pytest.raises(UserError, match=said):
        generate_sales(**({"rows": 10} | wrong))


# --- the truth -----------------------------------------------------------------------------


def test_revenue_is_never_above_list(clean: pd.DataFrame) -> None:
    cents = np.rint(clean[["Revenue", "listed"]] * 100).astype(int)
    assert (cents["Revenue"] <= cents["listed"]).all()
    assert (cents["Revenue"] > 0).all()


def test_the_truth_is_the_mean_and_its_noise_the_spread(clean: pd.DataFrame) -> None:
    z = (clean["Revenue"] / clean["listed"] - clean["expected_share"]) / clean["noise_sd"]
    for _, part in z.groupby(pd.cut(clean["expected_share"], [0, 0.75, 0.9, 1]), observed=True):
        assert abs(part.mean()) < 4 / len(part) ** 0.5
        assert part.std() == pytest.approx(1, abs=0.04)
    np.testing.assert_allclose(clean["expected_revenue"], clean["expected_share"] * clean["listed"])


def test_daily_truth_is_the_mean_of_what_is_drawn() -> None:
    """Summed over the years; the standard error is that of the sum of the rows."""
    made = generate_sales(rows=200_000, error_share=0, return_share=0.02, days=730)
    revenue = made.frame["Revenue"].astype(float)
    error = np.sqrt((revenue**2).sum())
    assert abs(revenue.sum() - made.daily["expected_revenue"].sum()) < 4 * error
    assert made.daily["expected_sales"].sum() == pytest.approx(200_000)
    by_month = revenue.groupby(made.truth["ds"].dt.to_period("M")).sum()
    expected = made.daily.groupby(made.daily["ds"].dt.to_period("M"))["expected_revenue"].sum()
    assert wape(by_month, expected) < 0.05


def test_promotions_of_the_truth_are_in_the_calendar(sales: SyntheticSales, clean: pd.DataFrame) -> None:
    on = clean[clean["promotion"] > 0]
    calendar = sales.promotions.loc[on["promotion"]].set_axis(on.index)
    assert on["ds"].between(calendar["first"], calendar["last"]).all()
    assert (on["Category"] == calendar["Category"].astype(object)).all()
    assert (on["Region"] == calendar["Region"].astype(object)).all()
    assert (on["depth"] == calendar["depth"]).all()
    assert (clean.loc[clean["promotion"] == 0, "depth"] == 0).all()


def test_the_deeper_promotion_holds() -> None:
    days = np.datetime64("2025-03-01") + np.arange(10)
    calendar = draw_promotions(np.random.default_rng(1), days).iloc[[0, 0]]
    calendar = calendar.assign(first=days[[0, 3]], last=days[[9, 5]], depth=[0.1, 0.3])
    calendar.index = pd.Index([1, 2])
    for order in ([0, 1], [1, 0]):
        assert assign_promotions(calendar.iloc[order], days)[:, 0, 0].tolist() == [
            1,
            1,
            1,
            2,
            2,
            2,
            1,
            1,
            1,
            1,
        ]


def test_black_fridays_follow_the_fourth_thursday() -> None:
    days = np.arange("2023-01-01", "2030-01-01", dtype="datetime64[D]")
    known = ["2023-11-24", "2024-11-29", "2025-11-28", "2026-11-27", "2027-11-26", "2028-11-24", "2029-11-23"]
    assert days[black_fridays(days)].astype(str).tolist() == known


def test_best_possible_leaves_room_for_a_model(sales: SyntheticSales) -> None:
    best = compute_oracle_wape(sales)
    assert 0.03 < best["wape"] < 0.05
    assert best["list_revenue"] > 3 * best["wape"]


def test_best_possible_counts_only_clean_sales() -> None:
    made = generate_sales(rows=2_000, error_share=0.2, return_share=0.2)
    kept = (made.truth["dirty"] == "") & ~made.truth["returned"]
    only = replace(made, frame=made.frame[kept], truth=made.truth[kept])
    assert compute_oracle_wape(made) == compute_oracle_wape(only)


# --- what a model can find -----------------------------------------------------------------


def test_recent_discounts_are_worth_knowing(clean: pd.DataFrame) -> None:
    """The segment's share of the last four days takes at least 40% off the error of the product's mean."""
    sold = clean.assign(segment=clean["Category"] + clean["Region"])
    past, test = (sold[sold["ds"] < "2026-04-01"], sold["ds"] >= "2026-04-01")
    overall = past["Revenue"].sum() / past["listed"].sum()
    sums = past.groupby("Product_ID")[["Revenue", "listed"]].sum()
    product = sold["Product_ID"].map(sums["Revenue"] / sums["listed"]).fillna(overall)
    daily = sold.pivot_table(index="ds", columns="segment", values=["Revenue", "listed"], aggfunc="sum")
    recent = daily.asfreq("D").fillna(0).rolling(4, min_periods=1).sum().shift(1)
    share = (recent["Revenue"] + 20) / (recent["listed"] + 20 / overall)  # few sales are drawn to the mean
    share = share.melt(ignore_index=False, value_name="share").set_index("segment", append=True)
    known = sold.join(share, on=["ds", "segment"])["share"] * product / overall
    by_product = wape((product * sold["listed"])[test], sold["Revenue"][test])
    by_history = wape((known * sold["listed"])[test], sold["Revenue"][test])
    best = wape(sold["expected_revenue"][test], sold["Revenue"][test])
    assert best < by_history < 0.6 * by_product


def test_calendar_beats_seasonal_naive(sales: SyntheticSales, clean: pd.DataFrame) -> None:
    """Weekday, Fourier year, trend and the closed day, fitted on log revenue, against the last week repeated."""
    y = clean.groupby("ds")["Revenue"].sum().reindex(sales.daily["ds"], fill_value=0.0)
    t = np.arange(len(y))
    fourier = [wave(2 * np.pi * k * t / 365.25) for k in range(1, 7) for wave in (np.sin, np.cos)]
    closed = (y.index.month == 12) & (y.index.day == 25)
    x = np.column_stack([*np.eye(7)[y.index.dayofweek].T, t / len(t), closed, *fourier])
    errors = []
    for end in range(len(y) - 6 * 28, len(y), 28):
        ahead = slice(end, end + 28)
        weights = np.linalg.lstsq(x[:end], np.log1p(y.to_numpy()[:end]), rcond=None)[0]
        naive = np.tile(y.to_numpy()[end - 7 : end], 4)
        errors.append((wape(np.expm1(x[ahead] @ weights), y.iloc[ahead]), wape(naive, y.iloc[ahead])))
    model, naive = np.mean(errors, axis=0)
    assert model < 0.85 * naive


def test_week_and_year_differ_by_category(clean: pd.DataFrame) -> None:
    when = clean["ds"].dt
    count = pd.crosstab(clean["Category"], when.dayofweek)
    weekend = count[5] / count[[0, 1, 2, 3]].mean(axis=1)
    assert weekend["Home & Garden"] > 1.3 * weekend["Grocery"]
    month = pd.crosstab(clean["Category"], when.month)
    assert month.loc["Toys", 12] > 1.5 * month.loc["Toys", 7]
    assert month.loc["Home & Garden", 7] > 1.5 * month.loc["Home & Garden", 1]


def test_products_come_and_go_and_prices_move(clean: pd.DataFrame) -> None:
    life = clean.groupby("Product_ID")["ds"].agg(["min", "max"])
    assert (life["min"] > "2024-04-01").mean() > 0.05
    assert (life["max"] < "2026-06-01").mean() > 0.05
    prices = clean.drop_duplicates(["Product_ID", "ds", "Unit_Price"])
    assert not prices.duplicated(["Product_ID", "ds"]).any()
    prices = prices.drop_duplicates(["Product_ID", "Unit_Price"])
    assert (prices["Product_ID"].value_counts() > 1).mean() > 0.8


def test_cheap_goods_sell_in_larger_and_spread_numbers(clean: pd.DataFrame) -> None:
    cheap, dear = (
        clean.loc[rows, "Units_Sold"] for rows in (clean["Unit_Price"] < 8, clean["Unit_Price"] > 80)
    )
    assert cheap.mean() > 2 * dear.mean()
    assert (cheap - 1).var() > 1.5 * (cheap - 1).mean()


# --- dirt and drift ------------------------------------------------------------------------


def test_every_fault_is_what_it_is_called() -> None:
    made = generate_sales(rows=2_000, error_share=0.1, return_share=0.1)
    dirty = {fault: made.frame[made.truth["dirty"] == fault] for fault in [*DATA_ERRORS, DUPLICATE_ERROR]}
    assert min(map(len, dirty.values())) >= 22
    dates = {
        name: pd.to_datetime(rows["Transaction_Date"], format="%Y-%m-%d %H:%M:%S", errors="coerce")
        for name, rows in dirty.items()
    }
    assert dates["unparsable date"].isna().all()
    assert (dates["future date"].dt.year == 2196).all()
    assert (dirty["missing units"]["Units_Sold"] == "").all()
    assert (dirty["missing revenue"]["Revenue"] == "").all()
    assert dirty["text in a number"]["Units_Sold"].str.fullmatch(r"\d+ pcs").all()
    assert (dirty["zero price"]["Unit_Price"] == "0.00").all()
    assert (dirty["negative price"]["Unit_Price"].astype(float) < 0).all()
    above = dirty["revenue above list"][NUMBERS].astype(float)
    assert (above["Revenue"] > above["Units_Sold"] * above["Unit_Price"]).all()
    assert made.frame.index[made.frame.duplicated()].equals(dirty[DUPLICATE_ERROR].index)
    assert (made.truth.loc[dirty[DUPLICATE_ERROR].index - 1, "dirty"] == "").all()


def test_returns_are_negative_and_can_be_switched_off(sales: SyntheticSales) -> None:
    returned = sales.truth["returned"]
    assert returned.mean() == pytest.approx(0.005, abs=0.0015)
    cells = sales.frame.loc[returned, NUMBERS].astype(float)
    assert (
        (cells["Units_Sold"] < 0).all() and (cells["Revenue"] < 0).all() and (cells["Unit_Price"] > 0).all()
    )
    assert (sales.truth.loc[returned, "expected_revenue"] < 0).all()
    assert not generate_sales(rows=2_000, return_share=0).truth["returned"].any()


def drifted(kind: DriftKind, strength: float) -> SyntheticSales:
    """Two years that change in the middle, on 2025-07-01."""
    return generate_sales(**CALM, drift=Drift(kind, "2025-07-01", strength))


def halves(frame: pd.DataFrame, made: SyntheticSales) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows before and after the change."""
    late = made.truth["ds"] >= "2025-07-01"
    return frame[~late], frame[late]


def test_drift_of_the_price_level() -> None:
    calm, made = generate_sales(**CALM), drifted("price_level", 0.3)
    was, now = (
        s.frame["Unit_Price"].astype(float).groupby([s.frame["Product_ID"], s.truth["ds"]]).first()
        for s in (calm, made)
    )
    ratio = (now / was).dropna()
    late = ratio.index.get_level_values("ds") >= "2025-07-01"
    assert ratio[~late].to_numpy() == pytest.approx(1)
    assert ratio[late].to_numpy() == pytest.approx(1.3, abs=0.01)
    sold, calmly = (s.daily.set_index("ds")["expected_sales"]["2025-07-01":].sum() for s in (made, calm))
    assert sold < 0.9 * calmly


def test_drift_of_the_mix() -> None:
    made = drifted("mix", 0.5)
    before, after = halves(made.frame, made)
    favoured = list(CATEGORIES)[: len(CATEGORIES) // 2]
    assert after["Category"].isin(favoured).mean() > before["Category"].isin(favoured).mean() + 0.1


def test_drift_of_the_promotions() -> None:
    made = drifted("changed_promotions", 1.0)
    before, after = halves(made.truth, made)
    assert before["depth"].max() <= 0.35 < after["depth"].max()
    assert after["expected_share"].mean() < before["expected_share"].mean() - 0.05


def test_a_new_region_appears() -> None:
    made = drifted("new_region", 0.3)
    before, after = halves(made.frame, made)
    assert "Overseas" not in set(before["Region"])
    assert (after["Region"] == "Overseas").mean() == pytest.approx(0.3, abs=0.03)


def test_a_broken_feed_loses_categories_and_rows() -> None:
    made, calm = drifted("broken_feed", 0.5), generate_sales(**CALM)
    before, after = halves(made.frame, made)
    whole_before, whole_after = halves(calm.frame, calm)
    pd.testing.assert_frame_equal(before, whole_before)
    assert set(after["Category"]) == {""}
    assert len(after) / len(whole_after) == pytest.approx(0.5, abs=0.03)
    assert len(made.truth) == len(made.frame)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(("weather", "2026-01-01"), "weather"), (("mix", "soon"), "soon"), (("mix", "2026-01-01", 2), "not 2")],
)
def test_a_drift_that_cannot_be_is_refused(arguments: tuple, said: str) -> None:
    with pytest.raises(UserError, match=said):
        Drift(*arguments)
