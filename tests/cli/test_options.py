"""What options mean: a day, a mapping, this machine or a cluster."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from salesforecast.cli.options import MAX_HORIZON, HorizonOption, Limit, open_cluster, parse_day, read_mapping
from salesforecast.core import engine
from salesforecast.core.settings import UserError


def test_a_horizon_is_from_a_period_to_ten_years_and_a_share_from_nothing_to_all() -> None:
    horizon, limit = HorizonOption.__metadata__[0], Limit.__metadata__[0]
    assert (horizon.min, horizon.max, MAX_HORIZON) == (1, 3660, 3660)
    assert (limit.min, limit.max) == (0, 1)


def test_a_day_is_written_in_one_way() -> None:
    assert parse_day("2026-09-30", "--from") == date(2026, 9, 30)
    with pytest.raises(UserError, match="--from '30.9.2026' is not a date. Write it as YYYY-MM-DD"):
        parse_day("30.9.2026", "--from")


def test_a_mapping_is_read_where_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text("currency: EUR\n")
    mapping = read_mapping(path)
    assert mapping is not None and mapping.currency == "EUR"
    assert read_mapping(None) is None


def test_this_machine_needs_no_scheduler() -> None:
    with open_cluster("pandas", None) as cluster:
        assert cluster is None
    with pytest.raises(UserError, match="Use it with --engine dask"), open_cluster("pandas", "tcp://a:1"):
        pass


@pytest.mark.parametrize(("given", "asked"), [("tcp://a:1", "tcp://a:1"), (None, "")])
def test_a_cluster_is_the_one_that_is_named(monkeypatch: pytest.MonkeyPatch, given: Any, asked: str) -> None:
    from contextlib import nullcontext

    monkeypatch.setattr(engine, "connect", lambda address: nullcontext(f"cluster at {address}"))
    with open_cluster("dask", given) as cluster:
        assert cluster == f"cluster at {asked}"
