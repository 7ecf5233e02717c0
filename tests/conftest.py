"""Fixtures: a small published model, made once a session, and the folder of real data."""

import io
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from salesforecast.core.settings import settings
from salesforecast.registry.publishing import publish
from support.models import NEW, OLD, ROOT, Trained, small_training

# a shell ignores Ctrl-C for what it runs in the background, and what the tests start would inherit that
signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ["COLUMNS"] = "200"  # of what commands print


@pytest.fixture(scope="session", autouse=True)
def own_store(tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test writes to the project's models, settings or MLflow store."""
    folder = tmp_path_factory.mktemp("store")
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
    os.environ["MODEL_DIR"] = str(folder / "models")
    os.environ["SALESFORECAST_DATA_DIR"] = str(folder / "data")
    settings.cache_clear()


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Models of 8,000 synthetic sales."""
    return small_training(tmp_path_factory.mktemp("trained"))


@pytest.fixture(scope="session")
def two_versions(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two versions that predict differently; the older one, a random forest, is served."""
    models = tmp_path_factory.mktemp("two") / "models"
    manifest = trained.training.manifest

    def copy(folder: Path) -> None:
        for name in manifest.files:
            shutil.copy(trained.training.path / name, folder)

    for version, served in ((OLD, "random_forest"), (NEW, "xgboost")):
        publish(models, version, manifest.model_copy(update={"served": served}), copy, serve=version == OLD)
    return models


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with real exports; tests that need it skip without it."""
    folder = Path(os.environ.get("SALESFORECAST_REAL_DATA", ROOT / ".." / "shared" / "data")).resolve()
    if not (folder / "online_retail.csv.gz").exists():
        pytest.skip(f"no real data in {folder}: set SALESFORECAST_REAL_DATA to the folder that holds it")
    return folder


Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run_process() -> Command:
    """Run `salesforecast WORDS…` in a process of its own, in the project's root."""

    def run(*words: object, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", "from salesforecast.cli.main import main; main()", *map(str, words)],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env=os.environ | (env or {}) | {"COLUMNS": "200"},
            timeout=600,
        )

    return run


@pytest.fixture
def run_command() -> Command:
    """Run `salesforecast WORDS…` in this process, in the project's root, which saves the imports of a new one."""

    def run(*words: object, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        from salesforecast.cli.main import main

        output, messages = io.StringIO(), io.StringIO()
        arguments = [str(word) for word in words]
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(output), redirect_stderr(messages):
            patch.chdir(ROOT)
            for name, value in (env or {}).items():
                patch.setenv(name, value)
            settings.cache_clear()
            try:
                main(arguments)
                code = 0
            except SystemExit as end:
                code = int(end.code or 0)
        settings.cache_clear()
        return subprocess.CompletedProcess(arguments, code, output.getvalue(), messages.getvalue())

    return run


@pytest.fixture(scope="session")
def api(trained: Trained) -> Iterator[str]:
    """The address of an API of the small models."""
    from support.browsing import free_port, serving

    with serving(trained.models, free_port()) as found:
        yield found.url


@pytest.fixture(scope="session")
def dashboard(api: str) -> Iterator[str]:
    """The address of a dashboard of that API."""
    from support.browsing import showing

    with showing(api) as found:
        yield found.url


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A browser; for a module only, as its event loop would be in the way of other tests."""
    from support.browsing import chromium

    with chromium() as found:
        yield found


@pytest.fixture
def page(browser: Any, dashboard: str) -> Iterator[Any]:
    """A visitor's page; no request leaves the machine, and no script fails."""
    from support.browsing import visiting

    with visiting(browser, dashboard) as found:
        yield found.page
    found.lost_connections.clear()  # a test that loads the page anew ends its connection
    found.check()
