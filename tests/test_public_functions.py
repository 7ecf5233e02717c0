"""What holds for every public function."""

import inspect
import pkgutil
from collections.abc import Callable, Iterator
from importlib import import_module

import pytest

import salesforecast


def public_functions() -> Iterator[tuple[str, Callable[..., object]]]:
    """All functions that a module of the package offers, by their full names."""
    for found in pkgutil.walk_packages(salesforecast.__path__, "salesforecast."):
        if found.name == "salesforecast.__main__":  # runs the command
            continue
        module = import_module(found.name)
        for name in getattr(module, "__all__", []):
            value = getattr(module, name)
            if inspect.isfunction(value):
                yield f"{found.name}.{name}", value


FUNCTIONS = dict(public_functions())


def test_the_public_functions_are_found() -> None:
    assert {"salesforecast.train.train_models", "salesforecast.lifecycle.promotion.promote"} <= set(FUNCTIONS)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_path_may_be_text(name: str) -> None:
    for parameter in inspect.signature(FUNCTIONS[name]).parameters.values():
        wanted = str(parameter.annotation)
        if "Path" in wanted and "Callable" not in wanted:
            assert "str" in wanted, parameter
