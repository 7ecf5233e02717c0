"""Synthetic sales that tests of the dashboard share."""

import io

import numpy as np
import pandas as pd

EVIL = "<script>alert(1)</script>"


def sales(rows: int = 3_000) -> pd.DataFrame:
    """Made-up sales over two years, in order of date, one product with a name that is a script."""
    rng = np.random.default_rng(0)
    days = np.sort(rng.integers(0, 730, rows))
    product = rng.integers(0, 50, rows)
    frame = pd.DataFrame(
        {
            "Transaction_Date": pd.Timestamp("2024-01-01") + pd.to_timedelta(days, unit="D"),
            "Product_ID": [f"P{i:03}" for i in product],
            "Product_Name": [EVIL if i == 7 else f"Thing {i}" for i in product],
            "Category": [f"Category {i % 10}" for i in product],
            "Region": rng.choice(["North", "South", "West"], rows),
            "Units_Sold": rng.integers(1, 9, rows).astype(float),
            "Unit_Price": np.round(rng.lognormal(3, 1, rows), 2),
        }
    )
    frame["Revenue"] = np.round(frame["Units_Sold"] * frame["Unit_Price"] * 0.9, 2)
    return frame


def german_orders(rows: int = 500) -> pd.DataFrame:
    """Sales to predict as a German shop lists them: foreign names, and three rows with a fault."""
    frame = sales(rows)
    cells = pd.DataFrame(
        {
            "Belegnummer": [f"B{i:05}" for i in range(rows)],
            "Datum": frame["Transaction_Date"].dt.normalize().astype(object),
            "Warengruppe": frame["Category"],
            "Gebiet": frame["Region"],
            "Menge": frame["Units_Sold"].astype(object),
            "Stückpreis": frame["Unit_Price"].astype(object),
        }
    )
    cells.loc[10, "Menge"] = "viele"
    cells.loc[20, "Datum"] = "irgendwann"
    cells.loc[30, "Stückpreis"] = None
    return cells


def german_books(rows: int = 2_000) -> tuple[pd.DataFrame, bytes]:
    """Sales, and the same as a German shop exports them to Excel: a title above, foreign names, amounts as text."""
    frame = sales(rows)
    money = frame["Revenue"].map(lambda value: f"{value:,.2f}".translate(str.maketrans(",.", ".,")) + " €")
    cells = pd.DataFrame(
        {
            "Belegdatum": frame["Transaction_Date"].dt.strftime("%d.%m.%Y"),
            "Artikel": frame["Product_Name"],
            "Warengruppe": frame["Category"],
            "Gebiet": frame["Region"],
            "Menge": frame["Units_Sold"].astype(int).astype(str),
            "Umsatz brutto": money,
        }
    )
    file = io.BytesIO()
    with pd.ExcelWriter(file, engine="openpyxl") as book:
        cells.to_excel(book, index=False, startrow=3)
        sheet = book.sheets["Sheet1"]
        sheet["A1"], sheet["A2"] = "Muster GmbH, Umsatzliste", "gedruckt am 02.01.2026"
    return frame, file.getvalue()
