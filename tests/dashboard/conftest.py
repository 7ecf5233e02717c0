"""What the tests of the demand tabs share: a module at a time where some record into the folder of models."""

from collections.abc import Iterator

import pytest

from support.boards import DemandBoard
from support.models import Trained, demand_training


@pytest.fixture(scope="module")
def demand(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A version that has demand forecasts."""
    return demand_training(tmp_path_factory.mktemp("demand"))


@pytest.fixture(scope="session")
def demand_board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemandBoard]:
    """The board that tests share which only look at it."""
    from support.browsing import free_port, serving, showing

    trained = demand_training(tmp_path_factory.mktemp("demand-board"))
    with serving(trained.models, free_port()) as api, showing(api.url) as shown:
        yield DemandBoard(shown.url, api.url, trained)
