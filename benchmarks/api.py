"""The API beside what it stands on: requests per second beside `mlflow models serve`, a file over HTTP beside the bare model."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil

from benchmarks import best
from salesforecast.api.auth import generate_key
from salesforecast.api.model_loader import load_served
from salesforecast.core.params import ForecastParams, Params, load_params
from salesforecast.datasets import generate_sales, write_sales
from salesforecast.features.columns import frame_columns
from salesforecast.models.catalogue import find_regressor
from salesforecast.models.explanations import Explainer
from salesforecast.models.regression import fit_model
from salesforecast.registry.bundle import load_bundle
from salesforecast.registry.predictor import prepare_inputs
from salesforecast.registry.publishing import publish
from salesforecast.registry.versions import new_version
from salesforecast.sales.reading import read_sales
from salesforecast.training.orchestration import train_models

CONNECTIONS, MANY_CONNECTIONS = 4, 64
SECONDS = 8.0
BARE_IMPORTS = {
    "xgboost": "import xgboost, flask, pydantic",
    "random_forest": "import sklearn.ensemble, flask, pydantic",
}


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def running(command: list[str], port: int, path: str, env: dict[str, str]) -> Iterator[subprocess.Popen]:
    """A server process, once it answers on `path`."""
    process = subprocess.Popen(
        command,
        env=os.environ | env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_until_ready(process, port, path)
        yield process
    finally:
        for child in psutil.Process(process.pid).children(recursive=True):
            child.terminate()
        process.terminate()
        process.wait(30)


def wait_until_ready(process: subprocess.Popen, port: int, path: str) -> None:
    """Ask until the answer is 200."""
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), 1) as connection:
                connection.sendall(request)
                if b" 200 " in connection.recv(200).partition(b"\r\n")[0]:
                    return
        except OSError:
            pass
        time.sleep(0.01)
    raise RuntimeError(f"{process.args} does not answer on {path}")


def post(path: str, body: Any, key: str = "") -> bytes:
    """A request as it goes over the wire."""
    data = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nX-API-Key: {key}\r\n"
    )
    return f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data


def exchange(connection: socket.socket, request: bytes) -> bytes:
    """Send a request, and read its answer to the end."""
    connection.sendall(request)
    data = connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65536)
    if b" 200 " not in head[:15]:
        raise RuntimeError(f"{head!r} {body[:500]!r}")
    return body


def load(port: int, requests: list[bytes], connections: int = CONNECTIONS) -> dict[str, float]:
    """Requests per second and latency of several connections that ask one request after the other."""
    times: list[float] = []

    def ask(offset: int) -> None:
        own = []
        with socket.create_connection(("127.0.0.1", port), 30) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            until, i = time.perf_counter() + SECONDS, offset
            while (began := time.perf_counter()) < until:
                exchange(connection, requests[i % len(requests)])
                own.append(time.perf_counter() - began)
                i += 1
        times.extend(own)

    for request in requests[:50]:  # warm up
        with socket.create_connection(("127.0.0.1", port), 30) as connection:
            exchange(connection, request)
    threads = [threading.Thread(target=ask, args=(i * 97,)) for i in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {
        "per second": round(len(times) / SECONDS, 1),
        "p50 ms": round(1000 * float(np.quantile(times, 0.5)), 2),
        "p99 ms": round(1000 * float(np.quantile(times, 0.99)), 2),
    }


def plain_pipeline(frame: pd.DataFrame, params: dict[str, Any], folder: Path) -> Path:
    """What one would give to `mlflow models serve`: encoder and XGBoost on the transaction's own columns."""
    import mlflow
    from sklearn.compose import make_column_transformer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder
    from xgboost import XGBRegressor

    numbers, words = ["Units_Sold", "Unit_Price"], ["Category", "Region"]
    rows = frame[[*numbers, *words]].astype(dict.fromkeys(words, str))
    encoder = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), words), ("passthrough", numbers)
    )
    pipeline = make_pipeline(encoder, XGBRegressor(**params, n_jobs=1)).fit(rows, frame["Revenue"])
    mlflow.sklearn.save_model(
        pipeline,
        str(folder / "pipeline"),
        pip_requirements=["scikit-learn"],
        input_example=rows.head(2),
        serialization_format="cloudpickle",
    )
    return folder / "pipeline"


def transactions(frame: pd.DataFrame, count: int) -> list[dict[str, Any]]:
    """Rows as a caller sends them."""
    names = ["Units_Sold", "Unit_Price", "Category", "Region", "Product_ID"]
    rows = frame[names].sample(count, random_state=0).astype(dict.fromkeys(names[2:], str))
    return rows.to_dict("records")


BARE_APP = """
import os
from pathlib import Path
import numpy as np
from flask import Flask, Response, request
from pydantic import BaseModel
from salesforecast.registry.bundle import load_bundle
model = load_bundle(Path(os.environ["MODEL_DIR"])).load(os.environ["MODEL_KIND"]).estimator
codes, app = {}, Flask(__name__)
if os.environ["MODEL_KIND"] == "xgboost":
    booster = model.get_booster() if hasattr(model, "get_booster") else model
    width, estimate = booster.num_features(), booster.inplace_predict
else:  # scikit-learn's own checks take longer than its trees
    trees, width = [tree.tree_ for tree in model.estimators_], model.n_features_in_
    def estimate(row):
        return sum(tree.predict(row)[:, 0] for tree in trees) / len(trees)
class Sale(BaseModel):
    Units_Sold: float
    Unit_Price: float
    Category: str
    Region: str
    Product_ID: str
class Answer(BaseModel):
    predicted_revenue: float
@app.post("/predict")
def predict():
    sale = Sale.model_validate_json(request.get_data())
    row = np.zeros((1, width), "float32")
    words = (sale.Category, sale.Region, sale.Product_ID)
    row[0, :5] = sale.Units_Sold, sale.Unit_Price, *(codes.setdefault(word, len(codes)) for word in words)
    answer = Answer(predicted_revenue=float(estimate(row)[0]))
    return Response(answer.model_dump_json(), mimetype="application/json")
@app.get("/readyz")
def ready():
    return "ok"
"""


def bare(
    models: Path, kind: str, rows: list[dict[str, Any]], folder: Path, connections: int
) -> dict[str, float]:
    """Flask, pydantic and the model on the same server, without keys, history, intervals, metrics and logs."""
    (folder / "bare.py").write_text(BARE_APP)
    port = free_port()
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--workers", "1", "--no-ws"]
    command += ["--blocking-threads", "1", "--http", "1", "--port", str(port), "bare:app"]
    env = {"MODEL_DIR": str(models), "MODEL_KIND": kind, "PYTHONPATH": str(folder)}
    with running(command, port, "/readyz", env):
        return load(port, [post("/predict", row) for row in rows], connections)


def whole(models: Path, rows: list[dict[str, Any]], connections: int) -> dict[str, float]:
    """`/predict` with keys, validation, metrics and logs."""
    key, line = generate_key("bench")
    port = free_port()
    command = [
        sys.executable,
        "-c",
        "from salesforecast.cli.main import main; main()",
        "serve",
        "--workers",
        "1",
    ]
    env = {
        "API_PORT": str(port),
        "MODEL_DIR": str(models),
        "SALESFORECAST_API_KEYS": line,
        "SALESFORECAST_API_AUTH": "on",
    }
    with running(command, port, "/readyz", env):
        return load(port, [post("/predict", row, key) for row in rows], connections)


def beside_bare(
    models: Path, frame: pd.DataFrame, folder: Path, connections: int = CONNECTIONS
) -> dict[str, Any]:
    """`/predict` beside a bare server of the same model; one worker each."""
    rows, kind = transactions(frame, 500), load_bundle(models).manifest.served
    ours, floor = whole(models, rows, connections), bare(models, kind, rows, folder, connections)
    return {
        "connections": connections,
        "/predict": ours,
        "bare Flask, pydantic and booster" if kind == "xgboost" else "bare Flask, pydantic and trees": floor,
        "requests per second / bare": round(ours["per second"] / floor["per second"], 2),
        "p99 / bare": round(ours["p99 ms"] / floor["p99 ms"], 2),
    }


def single(models: Path, frame: pd.DataFrame, folder: Path) -> dict[str, Any]:
    """`/predict` beside the bare server and `mlflow models serve`; one worker each."""
    found = beside_bare(models, frame, folder)
    pipeline, port = plain_pipeline(frame, load_params().xgboost[0], folder), free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(pipeline), "-p", str(port)]
    command += ["--env-manager", "local", "--workers", "1"]
    asked = [
        {"dataframe_records": [{name: value for name, value in row.items() if name != "Product_ID"}]}
        for row in transactions(frame, 500)
    ]
    with running(command, port, "/ping", {"MLFLOW_DISABLE_TELEMETRY": "true"}):
        theirs = load(port, [post("/invocations", row) for row in asked])
    ours = found["/predict"]
    return found | {
        "mlflow models serve": theirs,
        "requests per second / mlflow models serve": round(ours["per second"] / theirs["per second"], 2),
        "p99 / mlflow models serve": round(ours["p99 ms"] / theirs["p99 ms"], 3),
    }


FLOOR = """
import sys, time
import numpy as np, pyarrow.csv as csv, joblib
from pathlib import Path
from salesforecast.registry.bundle import load_bundle
from salesforecast.registry.publishing import publish
from salesforecast.registry.versions import new_version
booster = load_bundle(Path(sys.argv[1])).load("xgboost").estimator
real = np.load(sys.argv[3])  # the rows that the model gets: columns left at zero would spare it most of its cache misses
began = time.perf_counter()
table = csv.read_csv(sys.argv[2])
inputs = np.zeros((table.num_rows, real.shape[1]), "float32")
inputs[:, 0] = table["Units_Sold"].combine_chunks().cast("float64").to_numpy(zero_copy_only=False)
inputs[:, 1] = table["Unit_Price"].combine_chunks().cast("float64").to_numpy(zero_copy_only=False)
for i, name in enumerate(("Category", "Region", "Product_ID")):
    inputs[:, 2 + i] = table[name].combine_chunks().dictionary_encode().indices.fill_null(0).to_numpy(zero_copy_only=False)
booster.inplace_predict(real)
print(time.perf_counter() - began)
"""


def whole_file(models: Path, folder: Path, rows: int) -> dict[str, Any]:
    """`/predict_batch_csv` over HTTP, beside a process that reads, encodes and predicts, and no more."""
    source = write_sales(generate_sales(rows=rows, seed=2, error_share=0), folder / "many.csv")
    port, found = free_port(), {}
    command = [
        sys.executable,
        "-c",
        "from salesforecast.cli.main import main; main()",
        "serve",
        "--workers",
        "1",
    ]
    with running(command, port, "/readyz", {"API_PORT": str(port), "MODEL_DIR": str(models)}) as process:

        def upload(path: Path) -> None:
            "Stream a file up, and its answer down."
            head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="many.csv"\r\n\r\n'
            tail = b"\r\n--b--\r\n"
            size = len(head) + path.stat().st_size + len(tail)
            headers = {"Content-Type": "multipart/form-data; boundary=b", "Content-Length": str(size)}
            connection = HTTPConnection("127.0.0.1", port, timeout=300)
            with path.open("rb") as file:
                connection.request("POST", "/predict_batch_csv", iter_body(head, file, tail), headers)
                answer = connection.getresponse()
                while answer.read(2**18):
                    pass
            if answer.status != 200:
                raise RuntimeError(f"{answer.status} {answer.reason}")

        worker = psutil.Process(process.pid).children()[0]
        small = folder / "few.csv"
        small.write_text("".join(source.open().readlines()[:1000]))
        upload(small)
        found["growth MB"] = round(memory_growth(worker, lambda: upload(source)), 1)
        ours = best(lambda: upload(source))
        twice = folder / "twice.csv"
        with twice.open("w") as out:
            text = source.read_text()
            out.write(text + text.partition("\n")[2])
        found["growth MB with twice the rows"] = round(memory_growth(worker, lambda: upload(twice)), 1)
    real = folder / "inputs.npy"
    bundle, columns = load_bundle(models), frame_columns(read_sales(source).frame)
    np.save(real, prepare_inputs(bundle.preprocessor, bundle.history, columns).inputs)
    floor = min(
        float(
            subprocess.run(
                [sys.executable, "-c", FLOOR, str(models), str(source), str(real)], **CAPTURE
            ).stdout
        )
        for _ in range(3)
    )
    return {
        "rows": rows,
        "seconds": round(ours, 2),
        "bare floor seconds": round(floor, 2),
        "over HTTP / bare floor": round(ours / floor, 3),
        **found,
    }


CAPTURE: dict[str, Any] = {"capture_output": True, "text": True, "check": True}


def iter_body(head: bytes, file: Any, tail: bytes) -> Iterator[bytes]:
    """A multipart body in parts."""
    yield head
    while chunk := file.read(2**20):
        yield chunk
    yield tail


def memory_growth(process: psutil.Process, work: Any) -> float:
    """MB by which a process's resident memory grows at most while something is done."""
    before, most, done = process.memory_info().rss, 0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.is_set():
            most = max(most, process.memory_info().rss)
            time.sleep(0.01)

    watcher = threading.Thread(target=watch)
    watcher.start()
    work()
    done.set()
    watcher.join()
    return (most - before) / 1e6


TIMES = 20


def repeat(call: Callable, *arguments: Any) -> None:
    """Call `TIMES` times."""
    for _ in range(TIMES):
        call(*arguments)


def explaining(models: Path, frame: pd.DataFrame) -> dict[str, Any]:
    """One explanation beside shap's, and a forecast of 90 days, inside the process of the server."""
    import shap

    served = load_served(models)
    predictor, found = served.predictor, {}
    rows = prepare_inputs(predictor.preprocessor, predictor.history, frame_columns(frame.iloc[[0]]))
    sample = frame[~frame["is_return"]].tail(50_000)
    many = prepare_inputs(predictor.preprocessor, predictor.history, frame_columns(sample))
    how, revenue = load_params().random_forest[0], sample["Revenue"].to_numpy()
    forest = fit_model("random_forest", how, many.inputs, revenue, many.scale)
    for kind, model in {"xgboost": served.bundle.load("xgboost"), "random_forest": forest}.items():
        ours = Explainer(model, predictor.preprocessor)
        theirs = shap.TreeExplainer(model.estimator)
        fast = best(partial(repeat, ours.explain, rows.inputs, rows.scale, rows.sign)) / TIMES
        slow = best(partial(repeat, theirs.shap_values, rows.inputs)) / TIMES
        found[f"{kind}, ms"] = round(1000 * fast, 2)
        found[f"{kind}, shap.TreeExplainer ms"] = round(1000 * slow, 2)
        found[f"{kind}, times as fast"] = round(slow / fast, 2)
    last = served.sarima.last
    days = [str(last + np.timedelta64(n, "D")) for n in (1, 90)]
    seconds = best(partial(repeat, served.sarima.forecast, *days)) / TIMES
    return found | {"forecast of 90 days, ms": round(1000 * seconds, 2)}


def starting(models: Path) -> dict[str, Any]:
    """From start to ready, beside the bare imports; and the memory of several workers."""
    kind = load_bundle(models).manifest.served
    command = [
        sys.executable,
        "-c",
        "from salesforecast.cli.main import main; main()",
        "serve",
        "--workers",
        "3",
    ]
    ready, bare, shares = [], [], []
    for _ in range(3):
        port = free_port()
        began = time.perf_counter()
        with running(command, port, "/readyz", {"API_PORT": str(port), "MODEL_DIR": str(models)}) as process:
            ready.append(time.perf_counter() - began)
            time.sleep(1)
            workers = psutil.Process(process.pid).children()
            shares = [worker.memory_full_info().pss / 1e6 for worker in workers]
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", BARE_IMPORTS[kind]], check=True)
        bare.append(time.perf_counter() - began)
    return {
        "served": kind,
        "start to ready, seconds": round(min(ready), 2),
        "bare imports, seconds": round(min(bare), 2),
        "start to ready / bare imports": round(min(ready) / min(bare), 3),
        "workers": len(shares),
        "PSS per worker, MB": round(max(shares), 1),
    }


def serve_kind(models: Path, kind: str) -> None:
    """Publish the newest version once more, with this kind as the served one."""
    old = load_bundle(models)
    manifest = old.manifest.model_copy(update={"served": kind, "model_type": find_regressor(kind).type_name})

    def copy(folder: Path) -> None:
        for name in old.manifest.files:
            shutil.copy(old.path / name, folder / name)

    publish(models, new_version(), manifest, copy)


def api(rows: int, folder: Path) -> dict[str, Any]:
    """Everything about the API, with XGBoost served, and one transaction with a forest served."""
    params = Params(
        random_forest=load_params().random_forest[:1],
        xgboost=load_params().xgboost[:1],
        forecast=ForecastParams(windows=1),
    )
    source, models = write_sales(generate_sales(rows=60_000, seed=1), folder / "sales.csv"), folder / "models"
    train_models(source, models_dir=models, params=params, track=False)
    serve_kind(models, "xgboost")
    frame = read_sales(source).frame
    found = {"start": starting(models), "explain and forecast": explaining(models, frame)}
    found["one transaction"] = single(models, frame, folder)
    found["one transaction, many connections"] = beside_bare(models, frame, folder, MANY_CONNECTIONS)
    found["a file"] = whole_file(models, folder, rows)
    serve_kind(models, "random_forest")
    found["one transaction, a forest served"] = beside_bare(models, frame, folder)
    return found


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as where:
        print(json.dumps(api(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000, Path(where)), indent=1))
