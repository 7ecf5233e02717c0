"""Check a deployed API and dashboard: python deploy/smoke.py https://api.example.com [--dashboard URL] [--key KEY]

Prints a line per check; the exit code is the number of those that failed.
"""

import argparse
import os
import socket
import ssl
import warnings
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from urllib.parse import urlsplit

import requests

from salesforecast.api.auth import HEADERS, is_loopback
from salesforecast.client import ApiError, Client
from salesforecast.core.settings import UserError

Check = tuple[str, Callable[[], str]]
OLD_TLS = (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1)


def expect(holds: bool, otherwise: str) -> None:
    """Raise `AssertionError` with what is wrong."""
    if not holds:
        raise AssertionError(otherwise)


def tls(url: str) -> str:
    """The certificate is trusted, and old protocols are refused."""
    parts = urlsplit(url)
    expect(parts.scheme == "https", "the address is http: keys and sales can be read on the way")
    where = (parts.hostname or "", parts.port or 443)
    trusted = ssl.create_default_context(cafile=os.environ.get("REQUESTS_CA_BUNDLE"))
    with (
        socket.create_connection(where, 10) as plain,
        trusted.wrap_socket(plain, server_hostname=where[0]) as safe,
    ):
        version = safe.version()
    for old in OLD_TLS:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings(action="ignore"):  # that they are old is why they are tried
            context.minimum_version = context.maximum_version = old
        try:
            with socket.create_connection(where, 10) as plain, context.wrap_socket(plain):
                raise AssertionError(f"{old.name} is accepted")
        except OSError:
            continue
    return f"{version}, certificate trusted, nothing older than TLS 1.2"


def of_status(client: Client) -> str:
    """A model is loaded."""
    found = client.status()
    return f"version {found.version}, {found.transactional_model_type}, history until {found.history_until}"


def key_required(url: str) -> str:
    """Without a key, and with a wrong one, nothing is predicted."""
    for headers in ({}, {"X-API-Key": "sf_wrong"}):
        found = requests.post(f"{url}/predict", json={}, headers=headers, timeout=30)
        expect(
            found.status_code == 401,
            f"POST /predict {'with a wrong' if headers else 'without a'} key: {found.status_code}",
        )
    return "without a key, and with a wrong one: 401"


def prediction(client: Client) -> str:
    """A sale is predicted, within its range."""
    info = client.model_info()
    columns = {name: values[0] for name, values in (info.choices or {}).items() if values}
    found = client.predict({"Units_Sold": 3, "Unit_Price": 20.0, **columns})
    ordered = found.lower_95 <= found.lower_80 <= found.upper_80 <= found.upper_95
    expect(ordered and found.predicted_revenue > 0, f"not plausible: {found}")
    return f"3 units at 20: {found.predicted_revenue:,.2f}, 95% within {found.lower_95:,.2f} to {found.upper_95:,.2f}"


def forecast(client: Client) -> str:
    """The week after the history is forecast."""
    first = date.fromisoformat(str(client.status().history_until)) + timedelta(days=1)
    days = client.forecast_sarima(first, first + timedelta(days=6)).forecasts
    expect(
        len(days) == 7 and all(day.predicted_revenue is not None for day in days), f"not a full week: {days}"
    )
    return f"7 days from {first}, {sum(day.predicted_revenue or 0 for day in days):,.0f} in all"


def headers(url: str) -> str:
    """What keeps browsers from harm is sent."""
    found = requests.get(f"{url}/status", timeout=30)
    missing = [name for name, value in HEADERS if found.headers.get(name) != value]
    expect(not missing, f"missing or different: {', '.join(missing)}")
    if url.startswith("https"):
        expect("Strict-Transport-Security" in found.headers, "no Strict-Transport-Security")
    expect("X-Request-ID" in found.headers, "no X-Request-ID")
    return f"{len(HEADERS)} security headers, a request id"


def docs(url: str) -> str:
    """The interactive page of docs, and the document behind it."""
    page = requests.get(f"{url}/docs", timeout=30)
    expect(page.ok and "text/html" in page.headers["Content-Type"], f"/docs: {page.status_code}")
    found = requests.get(f"{url}/openapi.json", timeout=30)
    expect(found.ok, f"/openapi.json: {found.status_code}")
    return f"/docs, and {len(found.json()['paths'])} endpoints in /openapi.json"


def no_metrics(url: str) -> str:
    """Metrics are not for the public."""
    found = requests.get(f"{url}/metrics", timeout=30)
    expect(found.status_code in (401, 403, 404), f"/metrics without a key: {found.status_code}")
    return f"not public: {found.status_code}"


def dashboard(url: str) -> str:
    """It answers, and lets nobody in without a token."""
    health = requests.get(f"{url.rstrip('/')}/healthz", timeout=30)
    expect(health.ok and health.json()["status"] == "ok", f"/healthz: {health.status_code}")
    page = requests.get(url, timeout=60)
    expect(page.ok, f"{url}: {page.status_code}")
    if is_loopback(urlsplit(url).hostname or "") and "/login" not in page.url:
        return "answers; open, as it may be on this machine"
    expect("/login" in page.url, "a visitor without a token is let in")
    return "answers, and asks for the token"


def checks(url: str, key: str | None, board: str) -> Iterator[Check]:
    """All checks that the given addresses allow."""
    client = Client(url, api_key=key)
    if not is_loopback(urlsplit(url).hostname or "") or url.startswith("https"):  # else it may be open
        yield "TLS", lambda: tls(url)
        yield "key required", lambda: key_required(url)
        yield "metrics", lambda: no_metrics(url)
    yield "status", lambda: of_status(client)
    yield "predict", lambda: prediction(client)
    yield "forecast", lambda: forecast(client)
    yield "docs", lambda: docs(url)
    yield "headers", lambda: headers(url)
    if board:
        yield "dashboard", lambda: dashboard(board)


def main() -> int:
    """Run the checks; returns how many failed."""
    parser = argparse.ArgumentParser(description="Check a deployed API and dashboard.")
    parser.add_argument("url", help="of the API")
    parser.add_argument("--dashboard", default="", help="address of the dashboard")
    parser.add_argument("--key", default=None, help="API key [SALESFORECAST_API_KEY]")
    given = parser.parse_args()
    failed = 0
    try:
        for name, check in checks(given.url.rstrip("/"), given.key, given.dashboard):
            try:
                print(f"ok      {name:13} {check()}")
            except (AssertionError, ApiError, OSError, ValueError, LookupError) as error:
                failed += 1
                print(f"FAILED  {name:13} {error}")
    except UserError as error:
        print(f"FAILED  {error}")
        return 1
    print("All is well." if not failed else f"{failed} checks failed.")
    return failed


if __name__ == "__main__":
    raise SystemExit(main())
