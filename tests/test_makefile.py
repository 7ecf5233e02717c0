"""The Makefile: a command that fails ends its target. Bash goes on after `a && b` where `a` fails, whatever `set -e` says."""

import re
import subprocess
from pathlib import Path

import pytest

MAKEFILE = Path(__file__).parents[1] / "Makefile"


def recipes(text: str) -> list[list[str]]:
    """The commands of each target, continued lines in one."""
    blocks = re.findall(r"(?:^\t.*\n?)+", text.replace("\\\n", " "), flags=re.MULTILINE)
    return [[line.strip() for line in block.splitlines()] for block in blocks]


def unnoticed(text: str) -> list[str]:
    """Commands whose failure would not end their target: lists with `&&` that are not the last command, and no condition."""
    return [
        command
        for commands in recipes(text)
        for command in commands[:-1]
        if " && " in command and not re.match(r"(?:if|elif|while) ", command)
    ]


def test_no_command_fails_unnoticed() -> None:
    text = MAKEFILE.read_text(encoding="utf-8")
    assert len(recipes(text)) > 20
    assert not unnoticed(text)
    assert unnoticed("check:\n\tfalse && true\n\tmypy\n") == ["false && true"]


@pytest.mark.parametrize(("commands", "code"), [("false && true\n\ttrue", 0), ("false\n\ttrue", 2)])
def test_why_bash_needs_one_command_a_line(commands: str, code: int, tmp_path: Path) -> None:
    head = (
        "".join(MAKEFILE.read_text(encoding="utf-8").partition(".SHELLFLAGS")[:2]) + " := -eu -o pipefail -c"
    )
    (tmp_path / "Makefile").write_text(f"{head}\n\ncheck:\n\t{commands}\n")
    found = subprocess.run(["make", "check"], cwd=tmp_path, capture_output=True, check=False)
    assert found.returncode == code
