"""The processes that a process has started, and whether they have ended."""

import os
import time
from collections.abc import Iterable
from contextlib import suppress

import psutil


def command(process: psutil.Process) -> list[str]:
    """What the process was started with; nothing for one that has just ended."""
    with suppress(psutil.NoSuchProcess):  # a zombie too
        return process.cmdline()
    return []


def kernels(pid: int | None = None) -> set[psutil.Process]:
    """The notebook kernels that a process has started, which is this one if none is named."""
    started = psutil.Process(pid or os.getpid()).children()
    return {one for one in started if any("ipykernel" in word for word in command(one))}


def survivors(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Those that still run after a minute; a zombie, which has no command left, has ended."""
    left, end = list(processes), time.monotonic() + 60
    while (left := [one for one in left if one.is_running() and command(one)]) and time.monotonic() < end:
        time.sleep(0.1)
    return left
