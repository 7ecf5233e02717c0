"""Benchmarks: `make bench`."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

TRIES = 3  # the best of these is kept: what else the machine does only ever adds time


@contextmanager
def clock(times: dict[str, float], name: str) -> Iterator[None]:
    """Add the seconds that the block takes."""
    began = time.perf_counter()
    yield
    times[name] = times.get(name, 0.0) + time.perf_counter() - began


def best(call: Callable[[], Any], tries: int = TRIES) -> float:
    """Seconds of the quickest of some calls."""
    taken = []
    for _ in range(tries):
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
    return min(taken)
