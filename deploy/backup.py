"""Save and restore what cannot be made again: models, ledger, MLflow's database and its artifacts.

    python deploy/backup.py save FOLDER       a new folder of files with their SHA-256
    python deploy/backup.py restore FOLDER    back into their places; what is there is set aside, not deleted

Where things are: MODEL_DIR and MLFLOW_TRACKING_URI of the settings. Where that is a server, name its database in
MLFLOW_BACKEND (postgresql://… needs pg_dump and pg_restore; leave it empty where the database is saved elsewhere) and
its artifacts' folder in MLFLOW_ARTIFACTS. Published versions never change, so nothing has to be stopped for saving;
stop the services before restoring.
"""

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tarfile
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from salesforecast.core.settings import UserError, settings
from salesforecast.registry.files import CURRENT, STAGING_PREFIX

SUMS = "sha256.json"
SQLITE = ("", "-wal", "-shm", "-journal")


def backend() -> str:
    """MLflow's database: the one named, else the store of the settings where that is a database."""
    uri = os.environ.get("MLFLOW_BACKEND", settings().tracking_uri)
    return "" if uri.startswith("http") else uri


def artifacts() -> Path | None:
    """The folder of MLflow's artifacts: the one named, else `mlartifacts` beside a SQLite store."""
    if named := os.environ.get("MLFLOW_ARTIFACTS"):
        return Path(named)
    return sqlite_file().with_name("mlartifacts") if backend().startswith("sqlite") else None


def sqlite_file() -> Path:
    """The file of a SQLite store."""
    return Path(backend().removeprefix("sqlite:///"))


def postgres() -> str:
    """The address as PostgreSQL's own programs know it."""
    return backend().replace("postgresql+psycopg://", "postgresql://", 1)


def copy_sqlite(source: Path, target: Path) -> None:
    """A consistent copy of a database that may be written to meanwhile."""
    read_only = f"{source.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(read_only, uri=True)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)


def sha256(path: Path) -> str:
    """The digest of a file of any size."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def pack(folder: Path, target: Path, databases: list[Path]) -> None:
    """A folder as .tar.gz: `current` first, so that the version it names is in it; no half-written version."""

    def wanted(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
        name = Path(info.name).name
        is_database = any(name == f"{path.name}{more}" for path in databases for more in SQLITE)
        return None if name.startswith(STAGING_PREFIX) or is_database else info

    with tarfile.open(target, "w:gz") as tar:
        for path in sorted(folder.iterdir(), key=lambda path: (path.name != CURRENT, path.name)):
            tar.add(path, path.name, filter=wanted)


def save(folder: Path) -> list[str]:
    """Save into `folder`; returns the files' names."""
    if folder.exists():
        raise UserError(f"{folder} is there already. Name a new folder.")
    models, store = settings().model_dir, artifacts()
    if not models.is_dir():
        raise UserError(f"There is no folder {models} to save. Set MODEL_DIR.")
    beside = folder.with_name(folder.name + ".part")
    beside.mkdir(parents=True)
    databases = sorted(models.glob("*.sqlite3"))
    for path in databases:
        copy_sqlite(path, beside / path.name)
    if backend().startswith("sqlite"):
        copy_sqlite(sqlite_file(), beside / "mlflow.db")
    elif backend():
        with (beside / "mlflow.pgdump").open("wb") as file:
            subprocess.run(["pg_dump", "--format=custom", "--no-owner", postgres()], stdout=file, check=True)
    pack(models, beside / "models.tar.gz", databases)
    if store and store.is_dir():  # after the database: every artifact that it names is there
        pack(store, beside / "mlflow-artifacts.tar.gz", [])
    names = sorted(path.name for path in beside.iterdir())
    (beside / SUMS).write_text(
        json.dumps({name: sha256(beside / name) for name in names}, indent=1), encoding="utf-8"
    )
    beside.rename(folder)
    return names


def checked(folder: Path) -> list[str]:
    """The files of a backup; raises `UserError` where one is missing or is not what was saved."""
    try:
        sums = json.loads((folder / SUMS).read_text(encoding="utf-8"))
    except OSError:
        raise UserError(f"{folder} is no backup: it has no {SUMS}.") from None
    for name, expected in sums.items():
        if not (folder / name).is_file() or sha256(folder / name) != expected:
            raise UserError(
                f"{folder / name} is missing or damaged. Nothing was restored; take another backup."
            )
    return sorted(sums)


def set_aside(path: Path) -> None:
    """Move away what is there, so that a restored backup replaces it as a whole."""
    aside = f".before-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    if path.is_dir():  # its contents: the folder may be a volume that cannot be moved
        kept = [entry for entry in path.iterdir() if not entry.name.startswith(".before-")]
        (path / aside).mkdir()
        for entry in kept:
            entry.rename(path / aside / entry.name)
    else:
        for more in SQLITE:
            if (file := path.with_name(path.name + more)).exists():
                file.rename(file.with_name(f"{file.name}{aside}"))


def unpack(archive: Path, folder: Path) -> None:
    """Put a saved folder in its place."""
    folder.mkdir(parents=True, exist_ok=True)
    set_aside(folder)
    with tarfile.open(archive) as tar:
        # Python before 3.11.4 has no filter; sums have shown that the archive is the one that was saved
        tar.extraction_filter = getattr(tarfile, "data_filter", lambda member, path: member)
        tar.extractall(folder)


def restore(folder: Path) -> list[str]:
    """Restore from `folder`; returns the files' names."""
    names, models, store = checked(folder), settings().model_dir, artifacts()
    if "mlflow-artifacts.tar.gz" in names and not store:
        raise UserError("The backup has artifacts of MLflow. Name their folder in MLFLOW_ARTIFACTS.")
    if f"mlflow.{'db' if backend().startswith('sqlite') else 'pgdump'}" not in names and backend():
        raise UserError(
            f"The backup has no database of the kind that {backend().partition(':')[0]} is. Set MLFLOW_BACKEND."
        )
    unpack(folder / "models.tar.gz", models)
    for path in folder.glob("*.sqlite3"):
        shutil.copy2(path, models / path.name)
    if store and "mlflow-artifacts.tar.gz" in names:
        unpack(folder / "mlflow-artifacts.tar.gz", store)
    if backend().startswith("sqlite"):
        set_aside(sqlite_file())
        shutil.copy2(folder / "mlflow.db", sqlite_file())
    elif backend():
        command = [
            "pg_restore",
            "--clean",
            "--if-exists",
            "--no-owner",
            "--exit-on-error",
            "--single-transaction",
        ]
        subprocess.run([*command, f"--dbname={postgres()}", str(folder / "mlflow.pgdump")], check=True)
    return names


def main(words: list[str]) -> int:
    """Run the command; returns its exit code."""
    try:
        action, folder = words
        names = {"save": save, "restore": restore}[action](Path(folder))
    except (ValueError, KeyError) as error:
        print(f"Error: {error}" if isinstance(error, UserError) else __doc__, file=sys.stderr)
        return 2
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    print(f"{action}d" if action == "save" else "restored", *names, sep="\n  ")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
