"""The dashboard as a visitor has it: a real API, a real server, a real browser."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, expect

from salesforecast.dashboard.app import PANELS
from salesforecast.dashboard.server import WEBSOCKET_PROTOCOL
from support.browsing import WAIT, Running, Visitor, free_port, showing, visiting
from support.models import ROOT, Trained
from support.processes import command, kernels, survivors

TABS = [panel.title for panel in PANELS]


def theme(page: Page) -> str:
    return page.evaluate("document.documentElement.dataset.sfTheme")


def test_a_visitor_finds_tabs_by_keyboard_a_status_and_two_themes(browser: Browser, dashboard: str) -> None:
    with visiting(browser, dashboard) as visitor:
        finds_tabs_a_status_and_themes(visitor)
    visitor.check()


def finds_tabs_a_status_and_themes(visitor: Visitor) -> None:
    page = visitor.page
    tabs = page.get_by_role("tab")
    assert tabs.all_inner_texts() == TABS
    expect(page.locator("#sf-status .sf-pill-text")).to_contain_text("Models ready; data end")
    tabs.first.focus()
    for key, name in (
        ("ArrowRight", TABS[1]),
        ("End", TABS[-1]),
        ("ArrowRight", TABS[0]),
        ("ArrowLeft", TABS[-1]),
    ):
        page.keyboard.press(key)
        expect(page.get_by_role("tab", name=name, exact=True)).to_be_focused()
        expect(page.get_by_role("tab", selected=True)).to_have_text(name)
        expect(page.get_by_role("tabpanel", name=name, exact=True)).to_be_visible()
    page.locator("#sf-status summary").click()
    expect(page.locator("#sf-status").get_by_text("Sales until")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#sf-status").get_by_text("Sales until")).not_to_be_visible()
    assert theme(page) == "light"
    page.get_by_role("button", name="Switch between light and dark").click()
    assert theme(page) == "dark"
    visitor.reload()
    assert theme(page) == "dark"
    expect(page.get_by_role("tab", selected=True)).to_have_text(TABS[-1])  # the address remembers the tab


def test_what_is_no_page_or_comes_from_elsewhere_is_refused(dashboard: str) -> None:
    missing = requests.get(f"{dashboard}/nothing", timeout=30)
    assert missing.status_code == 404 and "There is no such page" in missing.text
    for path in ("api/kernels", "voila/files/dashboard.ipynb", "api/contents"):
        assert requests.get(f"{dashboard}/{path}", timeout=30).status_code == 404
    for path in (
        "..%2f",
        "..%2f..%2fetc%2fpasswd",
        "salesforecast",
        "salesforecast/static/..%2f..%2fconf.json",
        "none/static/a",
        "%00",
    ):
        assert requests.get(f"{dashboard}/voila/templates/{path}", timeout=30).status_code == 404, path
    assert requests.post(f"{dashboard}/api/kernels", timeout=30).status_code in (403, 404, 405)
    other = requests.get(dashboard, headers={"Host": "elsewhere.example"}, timeout=30)
    assert other.status_code == 403
    answer = requests.get(f"{dashboard}/healthz", timeout=30)
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]


# asks the page's own process to run code, then what it is; gives the types of its answers
ASK_TO_RUN = """([address, code]) => new Promise((done, failed) => {
  const socket = new WebSocket(address, "v1.kernel.websocket.jupyter.org"), said = [];
  socket.binaryType = "arraybuffer";
  const ask = (type, content) => {  // a count of offsets, the offsets of channel and parts, and these
    const header = { msg_id: type, msg_type: type, session: "s", username: "", version: "5.3", date: new Date().toISOString() };
    const parts = ["shell", ...[header, {}, {}, content].map((part) => JSON.stringify(part))].map((part) => new TextEncoder().encode(part));
    const offsets = parts.reduce((at, part) => [...at, at.at(-1) + part.length], [8 * (parts.length + 2)]);
    const message = new DataView(new ArrayBuffer(offsets.at(-1)));
    [offsets.length, ...offsets].forEach((value, i) => message.setBigUint64(8 * i, BigInt(value), true));
    parts.forEach((part, i) => new Uint8Array(message.buffer).set(part, offsets[i]));
    socket.send(message.buffer);
  };
  socket.onopen = () => {
    ask("execute_request", { code, silent: false, store_history: false, user_expressions: {}, allow_stdin: false });
    ask("kernel_info_request", {});
  };
  socket.onclose = () => failed(new Error(`the connection was closed after ${said}`));
  socket.onmessage = (message) => {
    const view = new DataView(message.data), offset = (i) => Number(view.getBigUint64(8 * (i + 1), true));
    const part = (i) => JSON.parse(new TextDecoder().decode(message.data.slice(offset(i), offset(i + 1))));
    const [header, parent_header] = [part(1), part(2)];
    if (parent_header.session === "s") said.push(header.msg_type);
    if (header.msg_type === "kernel_info_reply") setTimeout(() => done(said), 1000);
  };
})"""


def test_no_code_of_a_visitor_is_run(browser: Browser, dashboard: str, tmp_path: Path) -> None:
    with visiting(browser, dashboard) as visitor:
        sockets: list[str] = []
        visitor.page.on("websocket", lambda socket: sockets.append(socket.url))
        visitor.reload()
        address = sockets[-1].split("?")[0]
        marker = tmp_path / "was here"
        said = visitor.page.evaluate(ASK_TO_RUN, [address, f"open({str(marker)!r}, 'w').close()"])
        assert "kernel_info_reply" in said  # it listens
        assert "execute_reply" not in said and not marker.exists()


# a computer that needs more than the two seconds after which anywidget gives up a widget
SLOW = """
const make = URL.createObjectURL.bind(URL);
let waits = true;
URL.createObjectURL = (code) => {
  const end = Date.now() + (waits ? 2500 : 0);
  waits = false;
  while (Date.now() < end);
  return make(code);
};
"""


def test_a_slow_computer_gives_up_no_widget(browser: Browser, dashboard: str) -> None:
    with visiting(browser, dashboard) as visitor:
        visitor.page.add_init_script(SLOW)
        visitor.reload()
        expect(visitor.page.locator("#sf-status .sf-pill-text")).to_contain_text("Models ready")
        expect(visitor.page.locator(".js-plotly-plot").first).to_be_visible()
    assert visitor.errors == []


def process_of(page: Page, board: Running) -> psutil.Process:
    """The process of a page."""
    name = page.evaluate("JSON.parse(document.getElementById('jupyter-config-data').textContent).kernelId")
    return next(one for one in kernels(board.process.pid) if any(name in word for word in command(one)))


@pytest.mark.slow
def test_a_process_that_answers_late_still_draws_its_page(browser: Browser, api: str) -> None:
    def load_late() -> None:
        """Load the page from a process that stops as the page connects."""
        with page.expect_websocket(timeout=WAIT):
            page.reload()
        process = process_of(page, board)
        process.suspend()
        page.wait_for_timeout(4_300)  # a page waits four seconds for all widgets, then asks one by one
        process.resume()

    with showing(api) as board, visiting(browser, board.url) as visitor:
        page = visitor.page
        for _ in range(5):  # ipykernel 7 stopped answering in one of four
            visitor.reload(load_late)
            expect(page.locator("#sf-status .sf-pill-text")).to_contain_text("Models ready")
    visitor.check()


MESSAGE = re.compile(rb'"msg_type": ?"(\w+)"')  # first its own, then that which it answers


def test_no_widget_is_made_or_closed_while_a_page_loads(browser: Browser, api: str, tmp_path: Path) -> None:
    """A page that loads asks for all widgets, and would not know what was made or closed meanwhile."""
    said: list[tuple[str, bytes]] = []
    with (
        showing(api, tmp_path, SALESFORECAST_DASHBOARD_WARM="0") as board,
        visiting(browser, board.url) as visitor,
    ):
        visitor.page.on(
            "websocket",
            lambda socket: [
                socket.on("framesent", lambda frame: said.append(("page", frame))),
                socket.on("framereceived", lambda frame: said.append(("process", frame))),
            ],
        )
        visitor.reload()
        expect(visitor.page.locator(".js-plotly-plot").first).to_be_visible()
    shown = next(i for i, (who, frame) in enumerate(said) if who == "page" and b'"shown":true' in frame)
    changes = [
        i
        for i, (who, frame) in enumerate(said)
        if who == "process" and (kind := MESSAGE.search(frame)) and kind[1] in (b"comm_open", b"comm_close")
    ]
    assert len(changes) > 100 and changes[0] > shown
    visitor.check()


def test_a_page_without_contents_says_so_at_once(browser: Browser, dashboard: str) -> None:
    def take_contents(route: Route) -> None:
        page = route.fetch(timeout=WAIT)
        text = page.text()
        assert text.count("application/vnd.jupyter.widget-view+json") == 1
        route.fulfill(
            response=page, body=text.replace("application/vnd.jupyter.widget-view+json", "text/none")
        )

    with visiting(browser, dashboard) as visitor:
        visitor.page.clock.install()  # a minute, after which every page says so, does not pass
        visitor.page.route(f"{dashboard}/", take_contents, times=1)
        visitor.page.reload()
        visitor.page.clock.run_for(10)
        expect(visitor.page.get_by_role("alert")).to_contain_text("The dashboard did not start.")
        visitor.page.clock.run_for(6_000)  # and says so until the page is loaded anew
        expect(visitor.page.get_by_role("alert")).to_contain_text("The dashboard did not start.")
        visitor.page.clock.resume()
        visitor.page.get_by_role("button", name="Reload").click()
        visitor.page.wait_for_selector("[data-sf-ready]", state="attached")
        expect(visitor.page.get_by_role("alert")).not_to_be_visible()


BROKEN = """
import sys
if any("ipykernel" in word for word in sys.orig_argv):
    sys.modules["anywidget"] = None
"""


def test_a_dashboard_that_fails_says_why_in_the_log(browser: Browser, api: str, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(BROKEN)
    with (
        (tmp_path / "log").open("wb") as log,
        showing(api, tmp_path, log, PYTHONPATH=str(tmp_path)) as board,
    ):
        page = browser.new_page()
        page.goto(board.url, timeout=WAIT)
        expect(page.get_by_role("alert")).to_contain_text("The dashboard did not start.")
        page.close()
    said = (tmp_path / "log").read_text()
    assert "Error at server while executing cell" in said and "import of anywidget halted" in said


def test_an_invalid_address_is_reported(run_process: Any) -> None:
    port = free_port()
    with ExitStack() as stack:
        taken = stack.enter_context(socket.socket())
        taken.bind(("127.0.0.1", port))
        taken.listen()
        found = run_process("dashboard", "--port", port)
        assert found.returncode == 2 and "--port" in found.stderr and "Traceback" not in found.stderr
        found = run_process("up", env={"DASHBOARD_PORT": str(port), "API_PORT": str(free_port())})
        assert found.returncode == 2 and "DASHBOARD_PORT" in found.stderr


@pytest.mark.slow
def test_all_tabs_are_accessible_and_fit_in_both_themes(browser: Browser, dashboard: str) -> None:
    axe = Axe()
    for width, height, look in ((1366, 768, "light"), (390, 844, "dark")):
        with visiting(browser, dashboard, width, height, look) as visitor:
            expect(visitor.page.locator(".js-plotly-plot").first).to_be_visible()
            for tab in TABS:
                visitor.open(tab)
                visitor.page.wait_for_timeout(2_500)  # what the tab fetches
                expect(visitor.page.locator(".sf-busy:visible")).to_have_count(0)
                visitor.page.wait_for_function(f"document.documentElement.scrollWidth <= {width}")
                found = axe.run(visitor.page).response["violations"]
                serious = [
                    (fault["id"], [node["html"][:150] for node in fault["nodes"][:3]])
                    for fault in found
                    if fault["impact"] in ("serious", "critical")
                ]
                assert serious == [], (tab, look)
        visitor.check()


@pytest.mark.slow
def test_two_visitors_do_not_see_each_others_files(browser: Browser, dashboard: str) -> None:
    with visiting(browser, dashboard) as one, visiting(browser, dashboard) as other:
        for visitor, name, revenue in ((one, "one.csv", "1.00"), (other, "other.csv", "2.00")):
            visitor.open("Data")
            data = f"Transaction_Date,Revenue\n2026-01-30,{revenue}\n2026-01-31,{revenue}\n".encode()
            place = visitor.page.locator(".sf-drop input[type=file]").first
            place.set_input_files({"name": name, "mimeType": "text/csv", "buffer": data})
            expect(visitor.page.get_by_text(f"{name} was read.")).to_be_visible()
        for visitor, revenue, foreign in ((one, "2.00", "other.csv"), (other, "4.00", "one.csv")):
            visitor.open("History")
            expect(visitor.page.locator(".sf-kpi-value").first).to_contain_text(revenue)
            assert foreign not in visitor.page.content()
    one.check()
    other.check()


@pytest.mark.slow
def test_a_full_dashboard_says_so_and_a_dead_session_too(browser: Browser, api: str, tmp_path: Path) -> None:
    env = {"SALESFORECAST_DASHBOARD_SESSIONS": "1", "SALESFORECAST_DASHBOARD_WARM": "1"}
    with showing(api, tmp_path, **env) as board:
        with visiting(browser, board.url) as visitor:
            full = requests.get(board.url, timeout=60)
            assert full.status_code == 503 and "The dashboard is busy" in full.text
            assert full.headers["Retry-After"] == "15"
        wait_for(lambda: requests.get(f"{board.url}/healthz", timeout=30).json()["visitors"] == 0)
        with visiting(browser, board.url) as visitor:  # whoever left made room
            process_of(visitor.page, board).kill()
            expect(visitor.page.get_by_text("This session has ended")).to_be_visible()
            expect(visitor.page.get_by_role("button", name="Reload")).to_be_visible()
        wait_for(lambda: kernels(board.process.pid))  # the one for the next visitor may be starting
        left = kernels(board.process.pid)
        board.process.send_signal(signal.SIGINT)
        assert board.process.wait(60) == 0
        assert survivors(left) == []


def wait_for(done: Any) -> None:
    """Wait until something is so."""
    end = time.monotonic() + WAIT / 1000
    while not done():
        assert time.monotonic() < end
        time.sleep(0.3)


@pytest.mark.slow
def test_a_connection_without_the_protocol_is_refused(dashboard: str) -> None:
    """Voila would count up to a number that it reads from a message of the older protocol."""
    head = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    head |= {"Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="}
    url = f"{dashboard}/api/kernels/00000000-0000-0000-0000-000000000000/channels"
    statuses = [
        requests.get(url, headers=head | other, timeout=30).status_code
        for other in ({}, {"Sec-WebSocket-Protocol": "v2"}, {"Sec-WebSocket-Protocol": WEBSOCKET_PROTOCOL})
    ]
    assert statuses == [400, 400, 404]


def test_a_token_is_asked_for_where_one_is_set(browser: Browser, api: str) -> None:
    with showing(api, SALESFORECAST_DASHBOARD_TOKEN="open-sesame") as board:
        page = browser.new_page()
        page.set_default_timeout(WAIT)
        assert requests.get(f"{board.url}/healthz", timeout=60).json()["status"] == "ok"
        page.goto(board.url)
        expect(page.get_by_text("This dashboard needs a token")).to_be_visible()
        page.get_by_label("Token").fill("wrong")
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("alert")).to_be_visible()
        page.get_by_label("Token").fill("open-sesame")
        page.get_by_role("button", name="Log in").click()
        page.wait_for_selector("[data-sf-ready]", state="attached")
        page.close()


def test_a_proxy_names_the_visitor(api: str) -> None:
    with showing(api, SALESFORECAST_DASHBOARD_USER_HEADER="X-Forwarded-User") as board:
        ann = {"X-Forwarded-User": "ann"}
        channels = f"{board.url}/api/kernels/00000000-0000-0000-0000-000000000000/channels"
        for url, named in ((board.url, 200), (channels, 400)):
            for headers in ({}, {"X-Forwarded-User": ""}, {"Remote-User": "ann"}):
                refused = requests.get(url, headers=headers, timeout=60)
                assert refused.status_code == 403, url
            assert requests.get(url, headers=ann, timeout=120).status_code == named, url
        page = requests.get(board.url, timeout=60)
        assert "You are not logged in" in page.text and "token" not in page.text.lower()
        assert requests.get(f"{board.url}/healthz", timeout=60).json()["status"] == "ok"


@pytest.mark.slow
def test_a_wheel_carries_the_dashboard(api: str, tmp_path: Path) -> None:
    build = [sys.executable, "-m", "uv", "build", "--wheel", "--quiet", "--out-dir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True)
    place = ["--target", str(tmp_path / "lib"), "--no-deps", str(next(tmp_path.glob("*.whl")))]
    subprocess.run([sys.executable, "-m", "uv", "pip", "install", "--quiet", *place], check=True)
    with showing(api, tmp_path, PYTHONPATH=str(tmp_path / "lib")) as board:
        page = requests.get(board.url, timeout=120)
    assert page.status_code == 200 and "application/vnd.jupyter.widget-view+json" in page.text


@pytest.mark.slow
def test_up_starts_all_three_says_where_and_ends_them(trained: Trained, tmp_path: Path) -> None:
    ports = {name: str(free_port()) for name in ("API_PORT", "DASHBOARD_PORT", "MLFLOW_PORT")}
    env = os.environ | ports | {"MODEL_DIR": str(trained.models), "COLUMNS": "200"}
    start = [sys.executable, "-c", "from salesforecast.cli.main import main; main()", "up"]
    process = subprocess.Popen(start, env=env, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    said = ""
    while "MLflow" not in said:
        line = process.stdout.readline()
        assert line, said
        said += line
    children = psutil.Process(process.pid).children(recursive=True)
    for port, path in zip(ports.values(), ("/readyz", "/healthz", "/health"), strict=True):
        assert f"http://127.0.0.1:{port}" in said
        assert requests.get(f"http://127.0.0.1:{port}{path}", timeout=30).status_code == 200
    process.send_signal(signal.SIGINT)
    assert process.wait(WAIT / 1000) == 130
    assert survivors(children) == []
