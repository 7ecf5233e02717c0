"""Run the notebooks, and compare what their cells put out with what their pages show: `make test`.

Usage: python tests/notebooks.py [--write] [NOTEBOOK ...]. Without names, all notebooks but the runs. `--write` puts the new
outputs into a notebook where one differs. A cell fails that raises, or whose output has other words, or a number that is more than a
hundredth away: the last digits of a model may differ between machines. Versions and times of day may be others.
"""

import argparse
import contextlib
import math
import multiprocessing
import os
import re
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from itertools import zip_longest
from pathlib import Path

from execnb.nbio import read_nb, write_nb
from execnb.shell import CaptureShell
from nbdev.clean import clean_nb
from nbdev.frontmatter import FrontmatterProc
from nbdev.process import NBProcessor

NBS = Path(__file__).parents[1] / "nbs"
NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?")
TOLERANCE = 0.01  # of a number
LAYOUT = re.compile(r"[\s─━═┄-]+")  # blanks and rules are as wide as the numbers beside them
OF_THE_RUN = re.compile(
    r"\b\d{8}-\d{6}-[0-9a-f]{4}\b"  # a version
    r"|\b[0-9a-f]{40}\b\+?"  # a commit
    r"|\b\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}(:\d{2})?([.+][\d:]+)?"  # a time
    r"|\b\d[\d.,]* (?:µs|ms|s|seconds|minutes)\b"  # how long something took
    r"|^<.*>$",  # an object that is drawn
    re.MULTILINE,
)
SHOWN = ("text/html", "text/markdown", "text/plain")  # a page shows the first that an output has
TAG = re.compile(r"<(style|script)\b.*?</\1>|<[^>]*>", re.DOTALL)
PRELOADED = [
    "pandas",
    "sklearn.ensemble",
    "statsmodels.api",
    "xgboost",
    "plotly.graph_objects",
    "nbdev.process",
]


def notebooks() -> list[Path]:
    """List all notebooks but the runs, which are executed by tests of their own."""
    parts = [path for path in sorted(NBS.rglob("*.ipynb")) if path.relative_to(NBS).parts[0] != "runs"]
    return [
        path for path in parts if not any(part.startswith((".", "_")) for part in path.relative_to(NBS).parts)
    ]


def shown_text(outputs: list) -> str:
    """Return the text that a cell's outputs show; a picture has none."""
    texts = []
    for output in outputs or []:
        if output.output_type == "stream" and output.name == "stdout":
            texts.append("".join(output.text))
        elif output.output_type in ("execute_result", "display_data"):
            kind = next((kind for kind in SHOWN if kind in output.data), SHOWN[-1])
            text = "".join(output.data.get(kind, ""))
            texts.append(TAG.sub(" ", text) if kind == "text/html" else text)
    return OF_THE_RUN.sub("", "\n".join(texts))


def differences(old: str, new: str) -> list[str]:
    """List what differs between two texts, apart from their layout and the last digits of numbers."""
    if NUMBER.sub("#", LAYOUT.sub(" ", old)).strip() != NUMBER.sub("#", LAYOUT.sub(" ", new)).strip():
        lines = zip_longest(old.splitlines(), new.splitlines(), fillvalue="")
        return [
            f"{was!r} is {now!r}" for was, now in lines if NUMBER.sub("#", was) != NUMBER.sub("#", now)
        ] or [old]
    pairs = zip(NUMBER.findall(old), NUMBER.findall(new), strict=True)
    return [f"{was} is {now}" for was, now in pairs if not close(was, now)]


def close(was: str, now: str) -> bool:
    """Tell whether two numbers are the same but for `TOLERANCE`, or for one in their last shown digit."""
    digits = len(was.partition(".")[2].partition("e")[0])
    return math.isclose(
        *(float(each.replace(",", "")) for each in (was, now)), rel_tol=TOLERANCE, abs_tol=10.0**-digits
    )


def not_run(cell) -> bool:
    """Tell whether nbdev does not run a cell."""
    evaluated = (getattr(cell, "directives_", None) or {}).get("eval:", [""])[0].lower()
    return cell.cell_type != "code" or "nbdev_export(" in cell.source or evaluated == "false"


def check(path: Path, write: bool) -> list[str]:
    """Run a notebook in its folder; return what is wrong with it."""
    if not write:
        os.environ["IN_TEST"] = "1"  # no pictures, which are not compared
    nb = NBProcessor(path, procs=FrontmatterProc, process=True).nb
    if str(nb.frontmatter_.get("skip_exec", "")).lower() == "true":
        return []
    kept = read_nb(path)
    shell = CaptureShell(path)
    with contextlib.chdir(path.parent), tempfile.TemporaryDirectory() as metrics:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = metrics  # else those of all notebooks: they have one parent
        for cell in nb.cells:
            if not not_run(cell):
                cell.outputs = []
                shell.cell(cell)
                if shell.exc:
                    return [f"{path.relative_to(NBS)}: {shell.prettytb(fname=path)}"]
    wrong = []
    for old, new in zip(kept.cells, nb.cells, strict=True):
        if not_run(new):
            continue
        found = differences(shown_text(old.outputs), shown_text(new.outputs))
        if found:
            wrong.append(f"{path.relative_to(NBS)}, cell {old.id}: " + "; ".join(found[:5]))
    if wrong and write:
        for old, new in zip(kept.cells, nb.cells, strict=True):
            if not not_run(new):
                messages = any(output.get("name") == "stderr" for output in old.outputs)  # shown on purpose
                old.outputs = [each for each in new.outputs if messages or each.get("name") != "stderr"]
        clean_nb(kept)
        write_nb(kept, path)
    return wrong


def main() -> None:
    """Check the notebooks that are named, or all."""
    parser = argparse.ArgumentParser(
        description="Run notebooks and compare their outputs with those that are kept."
    )
    parser.add_argument("notebooks", nargs="*", type=Path)
    parser.add_argument("--write", action="store_true", help="keep the new outputs where others were")
    arguments = parser.parse_args()
    paths = [path.resolve() for path in arguments.notebooks] or notebooks()
    context = multiprocessing.get_context(
        "forkserver"
    )  # each notebook has a process of its own, which imports little
    context.set_forkserver_preload(PRELOADED)
    with ProcessPoolExecutor(2, mp_context=context, max_tasks_per_child=1) as pool:
        results = list(pool.map(check, paths, [arguments.write] * len(paths)))
    wrong = [problem for result in results for problem in result]
    print(*wrong, f"{len(paths)} notebooks, {len(wrong)} problems", sep="\n")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    import notebooks as module  # its processes find `check` there: a notebook takes the name __main__

    module.main()
