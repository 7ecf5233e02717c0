"""A real API, a real dashboard and a real browser, for the tests that need them."""

import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import requests
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Error,
    Locator,
    Page,
    WebSocket,
    expect,
    sync_playwright,
)

from support.models import ROOT

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]
WAIT = 180_000  # milliseconds; other tests share the cores
expect.set_options(timeout=WAIT)
NOT_OURS = (
    "processLuminoMessage",  # ipywidgets: a view that was replaced while it was drawn
    "Failed to load resource",  # the browser's word on the answers that a test asks for
)


PORTS = 1_500  # of each process of the tests, below those that the system gives to whoever connects meanwhile
GIVEN: set[int] = set()


def free_port() -> int:
    """A port of this test process that nobody listens on, each once: its server needs seconds until it listens."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 8
    while True:
        port = 20_000 + PORTS * worker + secrets.randbelow(PORTS)
        if port in GIVEN:
            continue
        GIVEN.add(port)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@dataclass
class Running:
    """A command of ours, once it answers."""

    process: subprocess.Popen[bytes]
    url: str


@contextmanager
def running(
    words: list[str],
    port: int,
    path: str,
    env: dict[str, str],
    cwd: Path = ROOT,
    log: int | IO[bytes] = subprocess.DEVNULL,
) -> Iterator[Running]:
    """`salesforecast WORDS…` from when it answers to the end of the block."""
    start = [sys.executable, "-c", "from salesforecast.cli.main import main; main()", *words]
    process = subprocess.Popen(start, cwd=cwd, env=os.environ | env, stderr=log)
    url, end = f"http://127.0.0.1:{port}", time.monotonic() + 300
    try:
        while True:
            assert process.poll() is None and time.monotonic() < end, f"{words} does not answer"
            try:
                if requests.get(url + path, timeout=5).status_code == 200:
                    break
            except requests.ConnectionError:
                time.sleep(0.2)
        yield Running(process, url)
    finally:
        process.terminate()
        process.wait(WAIT / 1000)


@contextmanager
def serving(models: Path, port: int) -> Iterator[Running]:
    """The API of these models."""
    env = {"MODEL_DIR": str(models), "API_PORT": str(port), "SALESFORECAST_API_WORKERS": "1"}
    with running(["serve"], port, "/readyz", env) as found:
        yield found


@contextmanager
def showing(
    api: str, cwd: Path = ROOT, log: int | IO[bytes] = subprocess.DEVNULL, **env: str
) -> Iterator[Running]:
    """The dashboard of this API."""
    port = free_port()
    words = ["dashboard", "--port", str(port), "--api-url", api]
    with running(words, port, "/healthz", env, cwd, log) as found:
        yield found


@dataclass
class Visitor:
    """Someone with a browser: the page, what it asked for, and what went wrong in it."""

    context: BrowserContext
    page: Page
    outside: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    lost_connections: list[str] = field(default_factory=list)
    messages: Counter[str] = field(default_factory=Counter)  # what page and process said, of all connections
    is_leaving: bool = False  # what ends from now on is not lost

    def open(self, tab: str) -> None:
        """Open a tab."""
        self.page.get_by_role("tab", name=tab, exact=True).click()

    def reload(self, how: Callable[[], object] | None = None) -> None:
        """Load the page anew; that the old one cannot send any more, as its process has ended, is no error."""
        errors = len(self.errors)

        def left(_: object) -> None:
            del self.errors[errors:]

        self.is_leaving = True
        self.page.once("framenavigated", left)
        with self.page.expect_navigation():
            (how or self.page.reload)()
        self.is_leaving = False
        self.wait_until_ready()

    def describe(self) -> str:
        """What the page shows, and what went wrong in it."""
        shown = "nothing"
        with suppress(Error):  # a page that has crashed
            shown = self.page.locator("body").inner_text(timeout=10_000)[:1_000]
        return (
            f"{self.page.url} showed {shown!r}; errors: {self.errors}; lost: {self.lost_connections}; "
            f"messages: {dict(self.messages)}"
        )

    def wait_until_ready(self) -> None:
        """Wait for the dashboard; a page that was drawn without its widgets loads itself anew, which is told."""
        self.page.wait_for_selector("[data-sf-ready]", state="attached")
        if self.page.evaluate("() => sessionStorage.getItem('sf-reloaded')"):
            warnings.warn(f"a page loaded itself anew: {self.describe()}", stacklevel=2)
            self.errors = [text for text in self.errors if "widget model not found" not in text]

    def check(self) -> None:
        """Nothing was asked of another host, no script of ours failed, and the connection to the server held."""
        found = (self.outside, self.errors, self.lost_connections)
        assert found == ([], [], []), f"{found}; messages: {dict(self.messages)}"


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, or Playwright's own."""
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        yield found
        found.close()


@contextmanager
def visiting(
    browser: Browser, url: str, width: int = 1366, height: int = 768, theme: str = "light"
) -> Iterator[Visitor]:
    """A visitor, once the dashboard is there; leaves as people do, also when a test fails."""
    context = browser.new_context(
        viewport={"width": width, "height": height}, accept_downloads=True, color_scheme=theme
    )
    visitor = Visitor(context, context.new_page())
    page = visitor.page
    page.set_default_timeout(WAIT)

    def asked(address: str) -> None:
        if address.startswith(("http", "ws")) and "//127.0.0.1:" not in address:
            visitor.outside.append(address)

    page.on("request", lambda request: asked(request.url))

    def lost(address: str) -> None:
        if not visitor.is_leaving:
            visitor.lost_connections.append(address)

    def said(frame: str | bytes, who: str) -> None:
        begin = frame[:2_000]  # the head of a message; its content may be long
        text = begin if isinstance(begin, str) else begin.decode("latin-1")
        visitor.messages.update(f"{who}: {kind}" for kind in re.findall(r'"msg_type": ?"(\w+)"', text)[:1])

    def connected(socket: WebSocket) -> None:
        asked(socket.url)
        socket.on("framesent", lambda frame: said(frame, "page"))
        socket.on("framereceived", lambda frame: said(frame, "process"))
        socket.on("close", lambda _: lost(socket.url))

    page.on("websocket", connected)
    page.on("pageerror", lambda error: visitor.errors.append(str(error)))
    page.on("console", lambda said: visitor.errors.append(said.text) if said.type == "error" else None)
    try:
        answer = page.goto(url)
        assert answer and answer.status == 200, f"the dashboard answers {answer and answer.status}"
        visitor.wait_until_ready()
        yield visitor
    except Exception as failure:
        failure.add_note(visitor.describe())
        raise
    finally:
        visitor.is_leaving = True
        with suppress(Error):  # a page that has crashed
            page.goto("about:blank")
        visitor.errors = [text for text in visitor.errors if not any(name in text for name in NOT_OURS)]
        context.close()


def card(place: Page | Locator, title: str) -> Locator:
    """The card with this title that the visitor sees."""
    page = place if isinstance(place, Page) else place.page
    head = page.locator("h2", has_text=re.compile(f"^{re.escape(title)}$"))
    return place.locator(".sf-panel:visible .sf-card" if isinstance(place, Page) else ".sf-card", has=head)


DRAWN = """chart => {
  const values = (from) => Array.from(from?._inputArray ?? from ?? [], (value) => typeof value === "number" && !isFinite(value) ? null : value);
  return (chart._fullData ?? []).map(({ name, type, x, y }) => ({ name, type, x: values(x), y: values(y) }));
}"""


@dataclass(frozen=True)
class Trace:
    """What a chart draws under one name."""

    name: str
    type: str
    x: list[Any]
    y: list[Any]


def drawn(place: Page | Locator, title: str) -> list[Trace]:
    """What plotly has drawn in the chart of this title: not what it was asked to draw."""
    chart = card(place, title).locator(".js-plotly-plot").first
    expect(chart).to_be_visible()
    return [Trace(**trace) for trace in chart.evaluate(DRAWN)]


def trace(place: Page | Locator, title: str, name: str) -> Trace:
    """What a chart draws under this name, of all that is not empty."""
    found = {one.name: one for one in drawn(place, title) if one.x}
    assert name in found, f"{title} draws {sorted(found)}"
    return found[name]


def eventually(place: Page | Locator, check: Callable[[], None]) -> None:
    """Wait until a check passes: a chart or a table follows the words beside it a moment later."""
    page, end = place if isinstance(place, Page) else place.page, time.monotonic() + WAIT / 1000
    while time.monotonic() < end:
        with suppress(AssertionError, Error):  # also of a chart that is replaced at this moment
            return check()
        page.wait_for_timeout(250)
    check()


def expect_drawn(place: Page | Locator, title: str, name: str, **axes: object) -> None:
    """Wait until a chart draws these values of x and y under this name."""

    def check() -> None:
        found = trace(place, title, name)
        assert {axis: getattr(found, axis) for axis in axes} == axes

    eventually(place, check)
