"""What a publishing leaves behind: five versions, sealed files, and nothing that a killed process began."""

import json
import os
import pickle
import time
from pathlib import Path

import pytest

from salesforecast.core.settings import settings
from salesforecast.core.stored import write_stored
from salesforecast.registry.manifest import Manifest
from salesforecast.registry.publishing import prune, publish
from salesforecast.registry.versions import current_version, list_versions

VERSIONS = [f"20260101-00000{i}-abcd" for i in range(8)]


def put(models: Path, number: int, serve: bool = True, **options: int) -> Path:
    return publish(models, VERSIONS[number], Manifest(), lambda folder: None, serve=serve, **options)


def test_five_versions_stay_unless_told_otherwise(tmp_path: Path) -> None:
    for number in range(7):
        put(tmp_path, number)
    assert list_versions(tmp_path) == VERSIONS[2:7]
    put(tmp_path, 7, keep=2)
    assert list_versions(tmp_path) == VERSIONS[6:8]


def test_what_is_served_and_what_is_new_stays_whatever_its_age(tmp_path: Path) -> None:
    put(tmp_path, 0)
    for number in range(1, 4):
        put(tmp_path, number, serve=False)
    assert current_version(tmp_path) == VERSIONS[0]
    assert prune(tmp_path, keep=4) == []
    assert prune(tmp_path, keep=3) == VERSIONS[1:2]
    assert prune(tmp_path, keep=1, newest=VERSIONS[2]) == VERSIONS[3:4]
    assert list_versions(tmp_path) == [VERSIONS[0], VERSIONS[2]]


def test_the_manifest_lists_size_and_digest_and_marks_a_pickle(tmp_path: Path) -> None:
    def write(folder: Path) -> None:
        (folder / "a.txt").write_bytes(b"abc")
        (folder / "old.pkl").write_bytes(pickle.dumps([1]))
        write_stored({"x": 1}, folder / "new.pkl")

    files = json.loads((publish(tmp_path, VERSIONS[1], Manifest(), write) / "manifest.json").read_text())[
        "files"
    ]
    assert files["a.txt"] == {
        "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "bytes": 3,
    }
    assert files["old.pkl"]["pickle"] is True and "pickle" not in files["new.pkl"]


def test_a_signature_is_written_where_there_is_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not (put(tmp_path, 1) / "manifest.sig").exists()
    monkeypatch.setenv("SALESFORECAST_SIGNING_KEY", "k" * 40)
    settings.cache_clear()
    try:
        assert len((put(tmp_path, 2) / "manifest.sig").read_text().strip()) == 64
    finally:
        monkeypatch.undo()
        settings.cache_clear()


def test_what_was_left_beside_current_goes_after_an_hour(tmp_path: Path) -> None:
    put(tmp_path, 1)
    for name, age in ((".current-old", 3700), (".current-young", 3500)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (0, time.time() - age))
    prune(tmp_path, keep=5)
    assert [path.name for path in tmp_path.glob(".current-*")] == [".current-young"]
