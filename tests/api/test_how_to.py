"""The how-to page about endpoints, executed as it is written."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from support.models import ROOT

PAGE = ROOT / "nbs" / "how-to" / "add-an-endpoint.ipynb"
STEP = re.compile(
    r"In `(?P<file>(?:nbs|tests)/[\w/.-]+)`|```(?P<language>python|sh)\n(?P<code>.*?)```", re.DOTALL
)


def copy_project(folder: Path) -> None:
    """Copy what exporting and testing one endpoint need."""
    for name in ("settings.ini", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    for name in ("nbs/api", "salesforecast", "tests/support"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "tests" / "api").mkdir()


def add_cell(notebook: Path, source: str) -> None:
    """Add a cell before the last one, which exports."""
    content = json.loads(notebook.read_text(encoding="utf-8"))
    cell = {"cell_type": "code", "execution_count": None, "id": f"page{len(content['cells'])}"}
    content["cells"].insert(-1, cell | {"metadata": {}, "outputs": [], "source": source})
    notebook.write_text(json.dumps(content), encoding="utf-8")


def test_the_page_adds_an_endpoint_as_it_is_written(tmp_path: Path) -> None:
    copy_project(tmp_path)
    text = "".join("".join(cell["source"]) for cell in json.loads(PAGE.read_text(encoding="utf-8"))["cells"])
    scripts = Path(sys.executable).parent
    env = os.environ | {"PYTHONPATH": str(tmp_path), "PATH": f"{scripts}:{os.environ['PATH']}"}
    file, output = Path(), ""
    for step in STEP.finditer(text):
        if step["file"]:
            file = tmp_path / step["file"]
        elif step["language"] == "sh":
            shell = ["sh", "-ec", step["code"]]
            done = subprocess.run(shell, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300)
            output += done.stdout
            assert done.returncode == 0, done.stdout + done.stderr
        elif file.suffix == ".ipynb":
            add_cell(file, step["code"].rstrip("\n"))
        else:
            file.write_text(step["code"], encoding="utf-8")
    assert "1 passed" in output
    code = (
        "from salesforecast.api.app import create_app; from salesforecast.api.example import example_client\n"
        "sale = {'Units_Sold': 10, 'Unit_Price': 5.99}\n"
        "print(example_client().post('/predict_total', json={'data': [sale, sale]}).get_json())\n"
        "print('/predict_total' in create_app().api_doc['paths'])"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert "'transactions': 2" in shown.stdout and shown.stdout.endswith("True\n"), (
        shown.stdout + shown.stderr
    )
