"""Odd words after every command: an exit code and a sentence, no traceback, and nothing written elsewhere."""

import io
import os
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
import typer.main
from hypothesis import HealthCheck, given, seed
from hypothesis import settings as options
from hypothesis import strategies as st

from salesforecast.cli.main import app, main
from salesforecast.core.settings import settings

WAITING = {"serve", "dashboard", "up", "schedule", "run"}  # these run until they are stopped
ODD = [
    *("", " ", "-1", "0", "1", "9" * 400, "-" * 300, "1e400", "nan", "inf", "٣", "0x10", "1_000"),
    *("a:b:c", ":rocket:", "[bold]x[/]", "[/]", "\x00", "\udcff", "ü" * 60, "\n", "=1+1", "{}", "%s", "null"),
    *("../..", ".", "/", "~", "C:\\x", "sales.csv", "broken.yaml", "binary", "folder", "out.csv", "a.docx"),
    *("sqlite:///none.db", "postgresql://u:p@w@h/d", "http://[::1", "file:///x", "nosuch://h", "://"),
    *("2026-02-30", "2026-13-01", "0000-00-00", "Region;Category", "Region,,", ";", "--", "--nope", "-x"),
]
WORD = st.sampled_from(ODD) | st.text(max_size=12)


def commands() -> dict[str, list[str]]:
    """The options of every command, by its name."""
    found: dict[str, list[str]] = {}

    def walk(command: object, name: str) -> None:
        for each, inner in getattr(command, "commands", {}).items():
            if each not in WAITING:
                walk(inner, f"{name} {each}".strip())
        if not hasattr(command, "commands"):
            found[name] = [word for given in command.params for word in given.opts if word.startswith("-")]  # type: ignore[attr-defined]

    walk(typer.main.get_command(app), "")
    return found


COMMANDS = commands()


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with files that are no use, in which the commands run."""
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "sales.csv").write_text("Transaction_Date,Units_Sold,Unit_Price\n2026-01-01,1,2\n")
    (folder / "broken.yaml").write_text("columns: {Revenue: [\n")
    (folder / "binary").write_bytes(bytes(range(256)))
    (folder / "folder").mkdir()
    before = Path.cwd()
    os.chdir(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODEL_DIR", str(folder / "models"))
        patch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        settings.cache_clear()
        yield folder
    os.chdir(before)
    settings.cache_clear()


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
@seed(1)
@options(
    max_examples=12, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_odd_words_end_in_a_sentence(command: str, workplace: Path, data: st.DataObject) -> None:
    words = command.split()
    for _ in range(data.draw(st.integers(0, 4))):
        if COMMANDS[command] and data.draw(st.booleans()):
            words.append(data.draw(st.sampled_from(COMMANDS[command])))
        words.append(data.draw(WORD))
    output, messages = io.StringIO(), io.StringIO()
    code = 0
    with redirect_stdout(output), redirect_stderr(messages):
        try:
            main(words)
        except SystemExit as end:
            code = int(end.code or 0)
    told = messages.getvalue() + output.getvalue()
    assert code in (0, 1, 2), (words, code)
    assert "Traceback" not in told and " at 0x" not in told, (words, told)
    assert code == 0 or told.strip(), words
