"""Files of values and arrays that run no code when they are read."""

import pickle
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from salesforecast.core.settings import UserError
from salesforecast.core.stored import read_stored, write_stored
from support.pickles import Harmful


def restored(value: object, folder: Path) -> Any:
    path = folder / "value.pkl"
    write_stored(value, path)
    return read_stored(path.read_bytes(), path.name)


@pytest.mark.parametrize(
    "value",
    [
        {"a": [1, 2.5, None, True, "x"], "b": {}},
        {80: 1.28, "$array": "0", (1, 2): ("a", [b"\x00\xff"])},
        {"$tuple": [1]},
        (),
        [0.1, float("inf"), -0.0, 1e-320, 2**70],
        np.datetime64("2026-11-28"),
        np.float32(0.1),
        "",
    ],
)
def test_a_value_comes_back_with_its_types(value: object, tmp_path: Path) -> None:
    again = restored(value, tmp_path)
    assert repr(again) == repr(value)
    assert type(again) is type(value)


@pytest.mark.parametrize("dtype", ["f8", "f4", "i8", "u1", "?", "M8[D]", "U5"])
def test_arrays_come_back_to_the_bit(dtype: str, tmp_path: Path) -> None:
    array = np.array([0, 1, 1, 0, 1, 1]).astype(dtype).reshape(2, 3)
    again = restored({"a": array}, tmp_path)["a"]
    assert (again.dtype, again.shape) == (array.dtype, array.shape)
    assert again.tobytes() == array.tobytes()


def test_the_same_values_give_the_same_bytes(tmp_path: Path) -> None:
    files = [tmp_path / "one", tmp_path / "two"]
    for path in files:
        write_stored({"a": np.arange(9.0), "b": "text"}, path)
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize("value", [date(2026, 1, 1), {1}, Path("x"), np.array([Path("x")], object), print])
def test_an_object_is_refused_when_it_is_written(value: object, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="without a pickle"):
        write_stored({"value": value}, tmp_path / "value.pkl")
    assert not list(tmp_path.iterdir())


def test_a_pickle_is_never_read(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    with pytest.raises(UserError, match="may be a pickle"):
        read_stored(pickle.dumps(Harmful(marker)), "model.pkl")
    archive = tmp_path / "objects.npz"
    np.savez(archive, value=np.array([Harmful(marker)], object))
    with pytest.raises(UserError, match="damaged"):
        read_stored(archive.read_bytes(), "model.pkl")
    assert not marker.exists()


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "value.pkl"
    write_stored({"a": np.arange(1000.0), "b": "text"}, path)
    data = path.read_bytes()
    for cut in range(4, len(data), 97):
        with pytest.raises(UserError, match="value.pkl is damaged"):
            read_stored(data[:cut], path.name)
    for place in range(4, len(data), 53):
        spoilt = bytearray(data)
        spoilt[place] ^= 0xFF
        try:
            read_stored(bytes(spoilt), path.name)
        except UserError as error:
            assert "value.pkl is damaged" in str(error)
