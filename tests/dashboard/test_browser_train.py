"""The tab Train in a real browser: a training that outlives the page, the gate's comparison, and what is served."""

import os
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from salesforecast.api.auth import generate_key
from salesforecast.lifecycle.jobs import read_jobs
from salesforecast.registry.events import read_events
from salesforecast.registry.versions import current_version
from support.browsing import WAIT, free_port, serving, showing, visiting
from support.models import SMALL_YAML, Trained
from support.sales import german_books


@dataclass(frozen=True)
class Board:
    """A dashboard that may train."""

    url: str
    models: Path
    key: str


@pytest.fixture(scope="module")
def board(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    """A dashboard whose settings have an admin key, with an API and models of its own."""
    folder = tmp_path_factory.mktemp("board")
    shutil.copytree(trained.models, folder / "models")
    (folder / "params.yaml").write_text(SMALL_YAML)
    key, line = generate_key("anna", ["admin"])
    settings = {
        "MODEL_DIR": str(folder / "models"),
        "SALESFORECAST_API_KEYS": line,
        "SALESFORECAST_PARAMS_PATH": str(folder / "params.yaml"),
        "SALESFORECAST_DATA_DIR": str(folder / "data"),
        "SALESFORECAST_REPORTS_DIR": str(folder / "reports"),
    }
    with serving(folder / "models", free_port()) as api, showing(api.url, **settings) as found:
        yield Board(found.url, folder / "models", key)


def upload(page: Page) -> None:
    """Give a file on the tab Data and read it as proposed."""
    page.get_by_role("tab", name="Data", exact=True).click()
    content = german_books(4_000)[1]
    page.locator(".sf-panel:visible input[type=file]").set_input_files(
        {"name": "umsatzliste.xlsx", "mimeType": "application/octet-stream", "buffer": content}
    )
    page.get_by_role("button", name="Read the file").click()
    expect(page.get_by_text("umsatzliste.xlsx was read.")).to_be_visible(timeout=WAIT)


def train_tab(page: Page) -> Locator:
    """The tab Train."""
    page.get_by_role("tab", name="Train", exact=True).click()
    return page.locator(".sf-panel:visible")


def test_without_an_admin_key_the_tab_says_how_to_set_one(page: Page) -> None:
    tab = train_tab(page)
    expect(tab.get_by_text("No admin key is set")).to_be_visible(timeout=WAIT)
    expect(tab.get_by_text("salesforecast key NAME --scopes admin")).to_be_visible()
    expect(tab.get_by_role("button", name="Train on this file")).to_have_count(0)


@pytest.mark.slow
def test_an_upload_is_trained_compared_promoted_and_rolled_back(browser: Browser, board: Board) -> None:
    old = current_version(board.models)
    with visiting(browser, board.url) as visitor:
        upload(visitor.page)
        tab = train_tab(visitor.page)
        start = tab.get_by_role("button", name="Train on this file")
        tab.get_by_label("Admin key").fill("sf_wrong")
        start.click()
        expect(tab.get_by_text("This key is not among the keys")).to_be_visible(timeout=WAIT)
        assert not read_jobs(board.models)
        tab.get_by_label("Admin key").fill(board.key)
        start.click()
        expect(tab.get_by_text("It goes on if you close this page.")).to_be_visible(timeout=WAIT)
        start.click()
        expect(tab.get_by_text("A training of umsatzliste.xlsx has been running since")).to_be_visible(
            timeout=WAIT
        )
    visitor.check()
    with visiting(browser, board.url) as visitor:  # the page was closed; another one shows the same job
        tab = train_tab(visitor.page)
        expect(tab.get_by_text("umsatzliste.xlsx").first).to_be_visible(timeout=WAIT)
        expect(tab.get_by_text("Challenger and champion")).to_be_visible(timeout=600_000)
        job = read_jobs(board.models)[0]
        assert job.state in ("promoted", "refused") and job.version
        checks = tab.locator(".sf-card", has_text="What is compared").locator("tbody tr")
        expect(checks.first).to_contain_text("over 184 days")
        assert checks.count() > 1
        rows = tab.locator(".sf-card", has_text="Model for single sales").locator("tbody tr")
        expect(rows).to_have_count(2)
        expect(rows.first).to_contain_text(job.version)
        expect(rows.first).to_contain_text("4,000")
        assert job.who == "anna" and not list((board.models / "jobs").glob("*/upload"))
        expect(tab.get_by_text("are shown to those who enter an admin key")).to_be_visible(timeout=WAIT)
        expect(tab.get_by_text("What the command printed")).to_be_hidden()
        tab.get_by_label("Admin key").fill(board.key)
        expect(tab.get_by_text("What the command printed")).to_be_visible(timeout=WAIT)
        if job.state == "promoted":
            assert read_events(board.models)[-1]["why"] == "in the dashboard, by anna: passed the gate"
        else:
            tab.get_by_role("button", name="Serve this version").click()
            expect(tab.get_by_text(f"{job.version} is served now.")).to_be_visible(timeout=WAIT)
        assert current_version(board.models) == job.version
        expect(rows.first).to_contain_text("served")
        tab.get_by_role("button", name=f"Roll back to {old}").click()
        expect(tab.get_by_text(f"{old} is served again.")).to_be_visible(timeout=WAIT)
        expect(rows.nth(1)).to_contain_text("served")
        assert current_version(board.models) == old
        assert read_events(board.models)[-1]["why"] == "in the dashboard, by anna"
        expect(tab.get_by_text("was trained without tracking")).to_be_visible(timeout=WAIT)  # a warning
    visitor.check()


@pytest.mark.slow
def test_a_training_that_is_killed_is_told_as_such(browser: Browser, board: Board) -> None:
    with visiting(browser, board.url) as visitor:
        upload(visitor.page)
        tab = train_tab(visitor.page)
        tab.get_by_label("Admin key").fill(board.key)
        tab.get_by_role("button", name="Train on this file").click()
        expect(tab.get_by_text("It goes on if you close this page.")).to_be_visible(timeout=WAIT)
        end = time.monotonic() + 120
        while (job := read_jobs(board.models)[0]).state == "starting":
            assert time.monotonic() < end
            time.sleep(0.1)
        os.kill(job.pid, signal.SIGKILL)
        expect(tab.get_by_text("The training was killed.")).to_be_visible(timeout=WAIT)
        expect(tab.get_by_role("button", name="Stop the training")).to_be_hidden()
    visitor.check()
