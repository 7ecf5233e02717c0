"""The API in real processes, for the tests that ask it over real connections."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import requests

from support.browsing import free_port
from support.models import ROOT

ROW = {
    "Units_Sold": 10,
    "Unit_Price": 5.99,
    "Category": "Beauty",
    "Region": "North",
    "Transaction_Date": "2026-09-01",
}
HEADER = b"Transaction_Date,Category,Region,Units_Sold,Unit_Price\n"
LINE = b"2026-09-01,Beauty,North,10,5.99\n"


@dataclass
class Server:
    """A server of this test, and a client of it that keeps its connections."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path
    client: requests.Session = field(default_factory=requests.Session)

    def ask(self, method: str, path: str, **how: Any) -> requests.Response:
        return self.client.request(method, f"http://127.0.0.1:{self.port}{path}", timeout=60, **how)

    def predict(self, row: dict = ROW, **how: Any) -> requests.Response:
        return self.ask("POST", "/predict", json=row, **how)

    @property
    def workers(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()

    def stop(self, with_signal: int = signal.SIGTERM) -> int:
        self.process.send_signal(with_signal)
        return self.process.wait(120)


@contextmanager
def running(
    words: list[str],
    port: int,
    models: Path,
    folder: Path,
    env: dict[str, str],
    asking: Callable[[], object] | None = None,
) -> Iterator[Server]:
    """The server that these words start, from when it answers: what `asking` asks, or /livez."""
    log = folder / f"server-{port}.log"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PROMETHEUS")}
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, *words],
            cwd=ROOT,
            env=clean | {"MODEL_DIR": str(models), "FLASK_APP": "salesforecast.api.main:app"} | env,
            stdout=out,
            stderr=out,
        )
    server = Server(process, port, log)
    try:
        end = time.monotonic() + 240  # other tests share the cores
        while True:
            try:
                asking() if asking else server.ask("GET", "/livez")
                break
            except (requests.ConnectionError, OSError):
                assert process.poll() is None and time.monotonic() < end, log.read_text()
                time.sleep(0.1)
        yield server
    finally:
        server.client.close()
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def serving(
    models: Path, folder: Path, workers: int = 2, host: str = "127.0.0.1", **env: str
) -> Iterator[Server]:
    """`salesforecast serve`."""
    port = free_port()
    start = ["-c", "from salesforecast.cli.main import main; main()", "serve"]
    words = [*start, "--workers", str(workers), "--port", str(port), "--host", host]
    with running(words, port, models, folder, env) as server:
        yield server
