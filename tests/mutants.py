"""Change operators and numbers in modules one at a time, and report the changes that no test notices: `make mutants`.

Usage: python tests/mutants.py [--count N] [--seed S] [MODULE ...], where MODULE is such as core/metrics. The tests of a module
are those of `tests/PACKAGE/test_MODULE.py` where that file is there, else of `tests/PACKAGE`.
"""

import argparse
import ast
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIBRARY = ROOT / "salesforecast"
SAMPLE = (
    "core/metrics",
    "core/text",
    "sales/schema",
    "sales/chunks",
    "features/preprocessor",
    "models/estimator",
    "models/explanations",
    "models/trees",
    "forecasting/orders",
    "forecasting/overrides",
    "forecasting/sarima/calendar",
    "registry/bundle",
    "registry/manifest",
    "registry/publishing",
    "monitoring/incidents",
    "training/inputs",
    "lifecycle/gate",
    "api/batch",
    "dashboard/model/comparisons",
    "cli/options",
)
REFUSED = (
    "lifecycle/jobs",
    "lifecycle/schedule",
)  # they end processes: changed, they would end those of others
OPERATORS: dict[type[ast.AST], type] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.And: ast.Or,
    ast.Or: ast.And,
}


def changes(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Apply each change, yield its line and what it is, and take it back."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            for i, compared in enumerate(node.ops):
                if other := OPERATORS.get(type(compared)):
                    node.ops[i] = other()
                    yield node.lineno, f"{type(compared).__name__} → {other.__name__}"
                    node.ops[i] = compared
        elif isinstance(node, ast.BinOp | ast.BoolOp):
            operator = node.op
            if other := OPERATORS.get(type(operator)):
                node.op = other()
                yield node.lineno, f"{type(operator).__name__} → {other.__name__}"
                node.op = operator
        elif (
            isinstance(node, ast.Constant)
            and isinstance(node.value, int | float)
            and not isinstance(node.value, bool)
        ):
            number = node.value
            node.value = number + 1
            yield node.lineno, f"{number} → {number + 1}"
            node.value = number


def passes(tests: Path) -> bool:
    """Whether the tests pass as the module is now."""
    words = ["-q", "-x", "-p", "no:cacheprovider", "-m", "not slow", str(tests)]
    return not subprocess.run(
        [sys.executable, "-m", "pytest", *words], cwd=ROOT, capture_output=True
    ).returncode


def survivors(module: str, count: int, seed: int) -> list[str]:
    """Change the module `count` times; return the changes that its tests do not notice."""
    path = LIBRARY / f"{module}.py"
    folder, name = ROOT / "tests" / module.split("/")[0], f"test_{Path(module).name}.py"
    tests = next(folder.rglob(name), folder)
    text = path.read_text(encoding="utf-8")
    places = sum(1 for _ in changes(ast.parse(text)))
    chosen = set(random.Random(seed).sample(range(places), min(count, places)))
    found = []
    try:
        for i, (line, change) in enumerate(changes(tree := ast.parse(text))):
            if i in chosen:
                path.write_text(ast.unparse(tree), encoding="utf-8")
                if passes(tests):
                    found.append(f"{module}.py:{line} {change}")
    finally:
        path.write_text(text, encoding="utf-8")
    print(
        f"{module}: {len(chosen) - len(found)} of {len(chosen)} changes were noticed by {tests.relative_to(ROOT)}",
        flush=True,
    )
    return found


def main() -> None:
    """Run the sample, or the modules that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*", default=SAMPLE)
    parser.add_argument("--count", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if refused := sorted(set(options.modules) & set(REFUSED)):
        parser.error(f"{', '.join(refused)} would, changed, end the processes of others.")
    print(
        "\n".join(
            line for module in options.modules for line in survivors(module, options.count, options.seed)
        )
    )


if __name__ == "__main__":
    main()
