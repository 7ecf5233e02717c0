"""What the tests of the demand tabs share, a module at a time: some record into the folder of models."""

import pytest

from support.models import Trained, demand_training


@pytest.fixture(scope="module")
def demand(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A version that has demand forecasts."""
    return demand_training(tmp_path_factory.mktemp("demand"))
