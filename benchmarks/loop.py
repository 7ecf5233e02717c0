"""The whole loop, as a person sees it: train, serve, drift, alert, retrain behind the gate, roll back.

`python -m benchmarks.loop` (or `make demo-loop`) tells it in a folder of its own; it ends with 1 where a step does not
come out as it should.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests
import yaml

from salesforecast.datasets import Drift, generate_sales
from salesforecast.registry.versions import current_version

CHANGE, TRAINED_UNTIL = "2026-08-15", "2026-08-01"
CONFIGURATIONS = {
    "first": {
        "random_forest": [{"n_estimators": 2, "max_depth": 2}],
        "xgboost": [{"n_estimators": 6, "max_depth": 2}],
    },
    "worse": {
        "random_forest": [{"n_estimators": 2, "max_depth": 1}],
        "xgboost": [{"n_estimators": 2, "max_depth": 1, "learning_rate": 0.01}],
    },
    "better": {
        "random_forest": [{"n_estimators": 24, "min_samples_leaf": 10, "max_features": 0.25}],
        "xgboost": [{"n_estimators": 6, "max_depth": 2}],
    },
}
ROW = {
    "Units_Sold": 3,
    "Unit_Price": 20,
    "Category": "Toys",
    "Region": "North",
    "Transaction_Date": "2026-09-30",
}
MAIN = (sys.executable, "-c", "from salesforecast.cli.main import main; main()")


class Story:
    """A folder with sales, models and reports, and the commands that a person would type."""

    def __init__(self, folder: Path):
        self.folder, self.models, self.began = folder, folder / "models", time.monotonic()
        self.env = os.environ | {
            "MODEL_DIR": str(self.models),
            "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
            "SALESFORECAST_DATA_DIR": str(folder / "data"),
            "SALESFORECAST_REPORTS_DIR": str(folder / "reports"),
            "COLUMNS": "110",
        }

    def say(self, text: str) -> None:
        print(f"[{time.monotonic() - self.began:4.0f} s] {text}", flush=True)

    def run(self, *words: object, expected: int = 0) -> None:
        """Run a command; its last line is shown."""
        self.say(f"$ salesforecast {' '.join(map(str, words)).replace(f'{self.folder}/', '')}")
        done = subprocess.run(
            [*MAIN, *map(str, words)], env=self.env, capture_output=True, text=True, timeout=600
        )
        lines = [line for line in done.stdout.splitlines() if line.strip()]
        print("         " + "\n         ".join(lines[-1:]), flush=True)
        if done.returncode != expected:
            sys.exit(f"It ended with {done.returncode} instead of {expected}:\n{done.stdout}\n{done.stderr}")

    def expect(self, what: str, found: object, expected: object) -> None:
        """End the story where it does not go as told."""
        if found != expected:
            sys.exit(f"{what}: {found!r} instead of {expected!r}")


@contextmanager
def serving(story: Story) -> Iterator[str]:
    """`salesforecast serve`, from when it answers; its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url, words = f"http://127.0.0.1:{port}", ("serve", "--workers", "1", "--port", str(port))
    with (story.folder / "server.log").open("wb") as log:
        process = subprocess.Popen([*MAIN, *words], env=story.env, stdout=log, stderr=log)
    try:
        for _ in range(600):
            try:
                requests.get(f"{url}/livez", timeout=5)
                break
            except requests.ConnectionError:
                time.sleep(0.1)
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def served(url: str) -> str:
    """The version that answers a prediction."""
    answer = requests.post(f"{url}/predict", json=ROW, timeout=30)
    answer.raise_for_status()
    return answer.headers["X-Model-Version"]


def tell(folder: Path) -> None:
    """The story, step by step."""
    story = Story(folder)
    story.say("Sales of an online shop, whose prices rise by 40% in the middle of August")
    sales = generate_sales(rows=20_000, seed=3, drift=Drift("price_level", CHANGE, 0.4))
    old, new = folder / "until_july.csv", folder / "until_september.csv"
    sales.frame[(sales.truth["ds"] < TRAINED_UNTIL).to_numpy()].to_csv(old, index=False)
    sales.frame.to_csv(new, index=False)
    for name, params in CONFIGURATIONS.items():
        text = yaml.safe_dump(params | {"forecast": {"windows": 2}})
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    story.run("train", old, "--params", folder / "first.yaml")
    first = current_version(story.models)
    with serving(story) as url:
        story.say(f"The API serves {served(url)}")
        story.expect("served at first", served(url), first)
        story.say("September has come: does the model still know these sales?")
        story.run("run", "monitor", "-p", "source", new, "-p", "as_of", "2026-10-01", expected=4)
        story.say("A challenger that has learned hardly anything")
        story.run("train", new, "--params", folder / "worse.yaml", expected=3)
        story.expect("served after a refusal", served(url), first)
        story.say("A better one")
        story.run("run", "train", "-p", "source", new, "-p", "params", folder / "better.yaml")
        better = current_version(story.models)
        story.expect("promoted", better != first, True)
        story.expect("served after the promotion", served(url), better)
        story.say(f"The API serves {served(url)}, without a restart")
        story.run("models", "rollback", "--why", "to show how")
        story.expect("served after the rollback", served(url), first)
        story.say(f"The API serves {served(url)} again")
    story.run("models", "history")
    story.say(f"The reports are in {folder / 'reports'}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        tell(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            tell(Path(folder))
