"""Text that people read: no secret gets into it."""

import pytest

from salesforecast.core.text import format_money, format_number, format_percent, redact_url, suggest_name


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann:s3cret@host/shop",
        "postgresql://ann:a:s3cret@b@host/shop",
        "postgresql://host/shop?password=s3cret",
        "postgresql://host/shop?user=ann&PASSWORD=s3cret&sslmode=require",
        "postgresql://host/shop?sslpassword=s3cret",
        "mssql+pyodbc:///?odbc_connect=DRIVER%3DX%3BPWD%3Ds3cret%3B",
        "mssql+pyodbc:///?odbc_connect=DRIVER=X;UID=ann;PWD=s3cret",
        "jdbc:sqlserver://host;password=s3cret;encrypt=true",
        "https://ann:s3cret@host/x",
        "https://s3cret@host/x",
        "https://host/x?api_key=s3cret&access_token=s3cret",
    ],
)
def test_secrets_of_an_address_are_redacted(url: str) -> None:
    assert "s3cret" not in redact_url(url)
    assert "host" in redact_url(url) or "odbc" in url
    assert redact_url(redact_url(url)) == redact_url(url)


@pytest.mark.parametrize(
    "url", ["data/a:b@c.csv", "sqlite:///sales.db", "postgresql://ann@host/shop?sslmode=require"]
)
def test_what_is_no_secret_stays(url: str) -> None:
    assert redact_url(url) == url


def test_numbers() -> None:
    assert [format_number(x) for x in (None, float("nan"), float("inf"), -1234.5)] == [
        "–",
        "–",
        "–",
        "-1,234",
    ]
    assert format_number(-1234.5, 1, minus="−") == "−1,234.5"
    assert [format_percent(0.1, sign=True), format_percent(-0.1, 0), format_percent(None)] == [
        "+10.0%",
        "-10%",
        "–",
    ]
    assert [format_money(999, "£"), format_money(1000, "£"), format_money(-5, "EUR", 0)] == [
        "£999.00",
        "£1,000",
        "-5 EUR",
    ]
    assert format_money(-5, "£", minus="−") == "−£5.00"


def test_suggestions() -> None:
    assert suggest_name("REGOIN", ["Region", "Category"]) == " Did you mean 'Region'?"
    assert suggest_name("x", []) == ""
