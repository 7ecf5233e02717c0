"""A Dask cluster for tests: a scheduler and workers in processes of their own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

PYTHON = [sys.executable, "-m", "dask"]


@dataclass
class Processes:
    """A scheduler and its workers."""

    folder: Path
    address: str = ""
    scheduler: subprocess.Popen[bytes] | None = None
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """`dask WORDS…`, with one thread per process."""
        threads = dict.fromkeys(("OMP_NUM_THREADS", "SALESFORECAST_THREADS"), "1")
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen([*PYTHON, *words], env=os.environ | threads, stdout=log, stderr=log)

    def start_scheduler(self) -> None:
        """The scheduler, on any free port."""
        file = self.folder / "scheduler.json"
        place = ("--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file))
        self.scheduler = self.start("scheduler", "--no-dashboard", *place)
        until = time.monotonic() + 60
        while not file.exists() or not file.read_text().rstrip().endswith("}"):
            assert time.monotonic() < until and self.scheduler.poll() is None, (
                self.folder / "log"
            ).read_text()
            time.sleep(0.1)
        self.address = json.loads(file.read_text())["address"]

    def start_worker(self) -> None:
        """A worker that nobody starts again."""
        options = ("--nthreads", "1", "--no-dashboard", "--no-nanny", "--local-directory", str(self.folder))
        self.workers.append(self.start("worker", self.address, *options))

    def kill_worker(self) -> None:
        """End a worker without a word."""
        self.workers.pop().send_signal(signal.SIGKILL)


@contextmanager
def dask_processes(folder: Path, workers: int = 2) -> Iterator[Processes]:
    """A running scheduler with workers; all of them ended afterwards."""
    found = Processes(folder)
    try:
        found.start_scheduler()
        for _ in range(workers):
            found.start_worker()
        yield found
    finally:
        for process in (*found.workers, *filter(None, [found.scheduler])):
            process.kill()
            process.wait()
