"""The client against a real server, and against small ones that fail, hang, and answer nonsense."""

import gzip
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from pydantic import SecretStr

from salesforecast import client as module
from salesforecast.api.auth import generate_key
from salesforecast.api.schemas import BatchPredictionInput, PredictionInput
from salesforecast.client import Client, to_frame
from salesforecast.core.settings import UserError, settings
from salesforecast.registry.predictor import COLUMNS, Predictor, predict_source
from salesforecast.rest import payloads
from salesforecast.rest.errors import (
    ApiError,
    BadRequest,
    NotAllowed,
    ServerError,
    TooManyRequests,
    Unavailable,
)
from salesforecast.sales.reading import read_sales
from support.browsing import free_port
from support.models import ROOT, Trained

GIVEN = ["Transaction_Date", "Units_Sold", "Unit_Price", "Category", "Region", "Product_ID"]
SALE = {"Units_Sold": 3, "Unit_Price": 19.5, "Category": "Electronics", "Region": "North"}
KEY, LINE = generate_key("tests", ("predict",))


@contextmanager
def serving(models: Path, port: int, **env: str) -> Iterator[str]:
    """`salesforecast serve` in a process of its own, until it is ready."""
    words = ["serve", "--port", str(port), "--workers", "1", "--models-dir", str(models)]
    process = subprocess.Popen(
        [sys.executable, "-c", "from salesforecast.cli.main import main; main()", *words],
        cwd=ROOT,
        env=os.environ | env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url, began = f"http://localhost:{port}", time.monotonic()
    try:
        with Client(url) as asking:
            while not asking.ready():
                assert process.poll() is None and time.monotonic() - began < 240, "the server did not start"
                time.sleep(0.1)
        yield url
    finally:
        process.send_signal(signal.SIGINT)  # at once, though clients keep their connections open
        process.wait(120)


@pytest.fixture(scope="module")
def url(trained: Trained) -> Iterator[str]:
    with serving(trained.models, free_port()) as result:
        yield result


@pytest.fixture(scope="module")
def guarded(trained: Trained) -> Iterator[str]:
    bounds = {
        "SALESFORECAST_API_AUTH": "on",
        "SALESFORECAST_API_KEYS": LINE,
        "SALESFORECAST_MAX_UPLOAD_MB": "1",
    }
    with serving(trained.models, free_port(), **bounds) as result:
        yield result


@pytest.fixture(scope="module")
def predictor(trained: Trained) -> Predictor:
    return Predictor.load(trained.models)


@pytest.fixture(scope="module")
def sales(trained: Trained) -> pd.DataFrame:
    return read_sales(trained.source).frame[GIVEN].head(1500)


# --- a real server ---------------------------------------------------------------------------


def test_numbers_are_those_of_the_predictor(
    url: str, predictor: Predictor, sales: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH_ROWS", 400)  # four requests, the last a short one
    with Client(url) as client:
        result = to_frame(client.predict_batch(sales), sales.index)
        assert_frame_equal(result[list(COLUMNS)], predictor.predict(sales), check_exact=True)
        one = client.predict(sales.iloc[0].to_dict())
        assert one.predicted_revenue == result["predicted_revenue"].iloc[0]
        assert (
            client.predict(PredictionInput(**SALE))
            == client.predict(**SALE)
            == client.predict(SALE, Region="North")
        )
        rows = (row for row in [SALE, PredictionInput(**SALE)])
        first, second = client.predict_batch(rows).predictions
        assert first == second
        assert client.predict_batch([]).predictions == []
        assert list(to_frame(client.predict_batch([])))[: len(COLUMNS)] == list(COLUMNS)


def test_requests_are_cut_by_size_as_well(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payloads, "BATCH_BYTES", 300)
    parts = list(payloads.batches([SALE] * 10, 1000))
    assert len(parts) > 3 and sum(map(len, parts)) == 10 and max(sum(map(len, part)) for part in parts) <= 300
    assert len(Client(url).predict_batch([SALE] * 10).predictions) == 10


def test_requests_fit_what_the_api_takes() -> None:
    most = BatchPredictionInput.model_json_schema()["properties"]["data"]["maxItems"]
    assert most >= module.BATCH_ROWS and module.EXPLAIN_ROWS <= 1000
    assert settings().max_json_mb * 2**20 > payloads.BATCH_BYTES


def test_errors_are_numbered_as_the_caller_counts(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH_ROWS", 2)
    rows: list[Any] = [SALE, SALE, SALE, SALE | {"Unit_Price": float("nan")}, SALE]
    with pytest.raises(BadRequest, match="^item 3, Unit_Price: is missing") as caught:
        Client(url).predict_batch(rows)
    assert [fault.index for fault in caught.value.errors] == [3]
    assert caught.value.code == 400 and caught.value.request_id
    with pytest.raises(BadRequest, match="item 4") as caught:  # alone in its request
        Client(url).predict_batch([*rows[:3], SALE, SALE | {"Colour": "red"}])
    assert caught.value.errors[0].field == "Colour"
    with pytest.raises(BadRequest, match="item 0, Units_Sold") as caught:
        Client(url).predict_batch([SALE | {"Units_Sold": float("inf")}])
    assert caught.value.errors[0].value == "Infinity"
    for nonsense in (SALE, [[1, 2]], [{"Units_Sold": object()}]):
        with pytest.raises(UserError, match="no row|cannot be sent"):
            Client(url).predict_batch(nonsense)  # type: ignore[arg-type]


def test_forecast_history_backtest_and_info(url: str, predictor: Predictor, trained: Trained) -> None:
    first, last = (predictor.history.last + np.timedelta64(days, "D") for days in (-2, 9))
    with Client(url) as client:
        result = to_frame(client.forecast_sarima(first.item(), str(last), confidence=80))
        want = predictor.forecast(str(first), str(last))
        names = {"lower_80": "confidence_interval_lower", "upper_80": "confidence_interval_upper"}
        columns = ["date", "predicted_revenue", "lower_80", "upper_80", "in_history"]
        assert_frame_equal(result, want[columns].rename(columns=names), check_exact=True, check_dtype=False)
        assert result["date"].dtype.kind == "M"

        by_day = to_frame(client.history())
        assert list(by_day) == ["date", "revenue", "units", "transactions"]
        north = to_frame(client.history(by="Region", region=["North", "South"], frequency="month"))
        assert set(north["Region"]) == {"North", "South"} and "Category" not in north
        end = by_day["date"].iloc[30].date()
        assert_frame_equal(to_frame(client.history(end_date=end)), by_day.head(31))
        assert to_frame(client.history(end_date="1999-12-31")).empty

        sample = client.sample(limit=5).rows
        assert client.predict_batch([row.transaction for row in sample]).predictions[0].upper_95 is not None
        assert len(client.shap_values([row.transaction for row in sample])) == len(sample) == 5

        backtest = client.backtest()
        assert to_frame(backtest)["lead_days"].max() == backtest.horizon
        info, status = client.model_info(), client.status()
        assert info.version == status.version == trained.training.version == client.reload_model().version
        assert status.history_until == str(predictor.history.last)
        with pytest.raises(BadRequest, match="HTTP 400"):
            client.forecast_sarima(last.item(), first.item())
        with pytest.raises(BadRequest, match="frequency"):
            client.history(frequency="decade")  # type: ignore[arg-type]


def test_explanations_of_one_and_many(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EXPLAIN_ROWS", 2)
    with Client(url) as client:
        one, many = client.shap_values(SALE), client.shap_values([SALE] * 5)
        assert many == [one] * 5
        assert one.prediction == client.predict(SALE).predicted_revenue
        assert client.shap_values([SALE])[0] == one
        with pytest.raises(BadRequest, match="^item 4"):
            client.shap_values([SALE] * 4 + [{}])


class Pipe(io.RawIOBase):
    """A file that cannot be rewound."""

    def __init__(self, content: bytes):
        self.content = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self.content.readinto(buffer)


def test_files_up_and_down(url: str, predictor: Predictor, trained: Trained, tmp_path: Path) -> None:
    want, problems = predict_source(predictor, trained.source)
    content = trained.source.read_bytes()
    packed = tmp_path / "sales.csv.gz"
    packed.write_bytes(gzip.compress(content))
    with Client(url) as client:
        frame = client.predict_file(trained.source)
        assert_frame_equal(frame[list(COLUMNS)], want[list(COLUMNS)], check_exact=True)
        assert (frame["problem"] != "").tolist() == (problems != "").tolist() and (problems != "").any()
        assert frame["problem"][frame["problem"] != ""].str.match(r"line \d+: \w").all()
        for file, name in ((packed, None), (io.BytesIO(content), "a.csv"), (Pipe(content), 'b "ü".csv')):
            assert_frame_equal(client.predict_file(file, name=name), frame)  # type: ignore[arg-type]
        out, stream = tmp_path / "predicted.csv", io.BytesIO()
        written = client.predict_file(str(trained.source), out=out)
        assert (written.rows, written.errors) == (len(frame), int((problems != "").sum()))
        with trained.source.open("rb") as file:
            assert client.predict_file(file, out=stream) == written
        assert stream.getvalue() == out.read_bytes()
        read = pd.read_csv(out, dtype=str)[list(COLUMNS)].astype(float)
        assert_frame_equal(read, frame[list(COLUMNS)], rtol=1e-9)


def test_what_is_no_file_is_refused(url: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("a,b\n1,2\n")
    (tmp_path / "sales.csv").write_text("Units_Sold\n")
    out = tmp_path / "out.csv"
    with Client(url) as client:
        with pytest.raises(BadRequest):
            client.predict_file(tmp_path / "notes.txt", out=out)
        with pytest.raises(BadRequest):
            client.predict_file(tmp_path / "sales.csv")
        assert not out.exists() and not list(tmp_path.glob(".out*"))
        with pytest.raises(UserError, match="is no file"):
            client.predict_file(tmp_path)
        with pytest.raises(UserError, match="mode 'rb'"), (tmp_path / "sales.csv").open() as text:
            client.predict_file(text)  # type: ignore[call-overload]
        with pytest.raises(UserError, match="name='sales.csv'"):
            client.predict_file(io.BytesIO(b"a"))


def test_keys(guarded: str, monkeypatch: pytest.MonkeyPatch, trained: Trained) -> None:
    assert Client(guarded).ready()  # whoever asks
    for key in (None, "sf_wrong"):
        with pytest.raises(NotAllowed, match="SALESFORECAST_API_KEY") as caught:
            Client(guarded, key).predict(SALE)
        assert caught.value.code == 401 and "sf_wrong" not in str(caught.value) + repr(caught.value)
    for key in (KEY, SecretStr(KEY), KEY + "\n"):
        assert Client(guarded, key).predict(SALE).predicted_revenue > 0
    with pytest.raises(NotAllowed, match="no scope 'admin'") as caught:
        Client(guarded, KEY).reload_model()
    assert caught.value.code == 403
    monkeypatch.setenv("SALESFORECAST_API_KEY", KEY)
    monkeypatch.setenv("API_URL", guarded + "/")
    settings.cache_clear()
    try:
        assert Client().predict(SALE).predicted_revenue > 0
    finally:
        monkeypatch.undo()
        settings.cache_clear()


@pytest.mark.parametrize("key", [KEY, "sf_wrong"], ids=["known", "wrong"])
def test_a_file_too_large_is_refused(guarded: str, tmp_path: Path, key: str) -> None:
    large = tmp_path / "large.csv"
    large.write_bytes(b"Units_Sold,Unit_Price\n" + b"1,2\n" * 5_000_000)
    with pytest.raises((BadRequest, NotAllowed, Unavailable)) as caught:
        Client(guarded, key).predict_file(large)
    assert caught.value.code in (413, 401) or "MAX_UPLOAD_MB" in str(
        caught.value
    )  # it may hang up while we send


def test_threads_share_a_client(url: str) -> None:
    rows = [SALE | {"Units_Sold": units} for units in range(1, 41)]
    with Client(url) as client, ThreadPoolExecutor(2) as pool:
        alone = [client.predict(row) for row in rows]
        assert list(pool.map(client.predict, rows)) == alone


def test_server_away_then_there(trained: Trained) -> None:
    port = free_port()
    with Client(f"http://localhost:{port}", retries=0) as client:
        for _ in range(2):  # a client goes on when its server comes back
            assert client.ready() is False
            with pytest.raises(Unavailable, match=f"localhost:{port} cannot be reached: connection refused"):
                client.predict(SALE)
            with serving(trained.models, port):
                assert client.ready() and client.predict(SALE).predicted_revenue > 0


def test_nothing_published_yet(tmp_path: Path, trained: Trained) -> None:
    port = free_port()
    words = ["serve", "--port", str(port), "--workers", "1", "--models-dir", str(tmp_path)]
    process = subprocess.Popen(
        [sys.executable, "-c", "from salesforecast.cli.main import main; main()", *words],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        client, began = Client(f"http://localhost:{port}", retries=0), time.monotonic()
        code = None
        while code is None and time.monotonic() - began < 240:
            with pytest.raises(Unavailable) as caught:
                client.status()
            code = caught.value.code
            time.sleep(0.1)
        assert code == 503 and "No model has been published" in str(caught.value) and not client.ready()
        with pytest.raises(ServerError, match="No model has been published"):
            client.reload_model()
    finally:
        process.send_signal(signal.SIGINT)  # at once, though clients keep their connections open
        process.wait(120)


# --- servers that fail -----------------------------------------------------------------------


@dataclass
class Script:
    """What a small server answers, one after the other; the last one goes on."""

    answers: list[Callable[[BaseHTTPRequestHandler], None]]
    seen: list[tuple[str, str, bytes, dict[str, str]]] = field(default_factory=list)
    url: str = ""


def says(code: int, body: Any = None, kind: str = "application/json", **headers: str) -> Callable:
    """An answer."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()

    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(content)

    return send


def hangs(handler: BaseHTTPRequestHandler) -> None:
    """No answer for long."""
    time.sleep(1.5)
    handler.close_connection = True


def drops(handler: BaseHTTPRequestHandler) -> None:
    """The connection ends."""
    handler.close_connection = True


def breaks_off(handler: BaseHTTPRequestHandler) -> None:
    """Half of an answer."""
    handler.send_response(200)
    handler.send_header("Content-Type", "text/csv")
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b"half,")
    handler.close_connection = True


@contextmanager
def scripted(*answers: Callable) -> Iterator[Script]:
    """A real server on this machine that follows a script."""
    script = Script(list(answers))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            script.seen.append((self.command, self.path, body, dict(self.headers)))
            (script.answers.pop(0) if len(script.answers) > 1 else script.answers[0])(self)

        do_POST = do_GET

        def log_message(self, *words: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        script.url = f"http://127.0.0.1:{server.server_port}"
        yield script
        server.shutdown()


GOOD = says(200, {"predicted_revenue": 5.0})
OK = says(200, {"status": "ok"})
BUSY = says(503, {"status": "error", "code": 503, "details": "Not yet."})


def test_a_failed_request_is_retried() -> None:
    for first in (BUSY, drops, says(502, b"<html>", "text/html"), says(429, {}, Retry_After="1")):
        with scripted(first, GOOD) as script:
            assert Client(script.url).predict(SALE).predicted_revenue == 5
            assert len(script.seen) == 2 and script.seen[0][:3] == script.seen[1][:3]


def test_retry_after_is_honoured_within_reason() -> None:
    with scripted(says(429, {"details": "Slow."}, Retry_After="1"), GOOD) as script:
        began = time.monotonic()
        Client(script.url).predict(SALE)
        assert time.monotonic() - began >= 1
    with scripted(says(429, {"details": "Slow."}, Retry_After="3600")) as script:
        with pytest.raises(TooManyRequests, match="Slow. Wait 3600 s."):
            Client(script.url).predict(SALE)
        assert len(script.seen) == 1


def test_retries_end() -> None:
    with scripted(BUSY) as script:
        with pytest.raises(Unavailable, match="Not yet. .HTTP 503.") as caught:
            Client(script.url, retries=1).predict(SALE)
        assert len(script.seen) == 2 and caught.value.code == 503


def test_what_is_not_retried(tmp_path: Path) -> None:
    file = tmp_path / "sales.csv"
    file.write_text("Units_Sold\n3\n")
    calls: dict[str, Callable[[Client], Any]] = {
        "reload": lambda client: client.reload_model(),
        "file": lambda client: client.predict_file(file),
        "status": lambda client: client.status(),
        "bad": lambda client: client.predict(SALE),
    }
    answers = {"bad": says(400, {"details": "No."})}
    for name, call in calls.items():
        with scripted(answers.get(name, BUSY)) as script:
            with pytest.raises(ApiError):
                call(Client(script.url))
            assert len(script.seen) == 1, name
    for name in ("reload", "file"):
        with scripted(drops, OK) as script:
            with pytest.raises(Unavailable):
                calls[name](Client(script.url))
            assert len(script.seen) == 1, name
    with scripted(BUSY) as script:
        assert Client(script.url).ready() is False and len(script.seen) == 1


def test_a_file_is_sent_again_as_a_whole(tmp_path: Path) -> None:
    file = tmp_path / "sales.csv"
    file.write_bytes(b"Units_Sold\n" + b"3\n" * 100_000)
    rows = says(200, {"predictions": [{"predicted_revenue": 1.0}], "filename": "x"})
    with scripted(says(429, {}, Retry_After="0"), rows) as script:
        assert Client(script.url).predict_file(file)["predicted_revenue"].tolist() == [1.0]
        bodies = [seen[2] for seen in script.seen]
        assert bodies[0] == bodies[1] and file.read_bytes() in bodies[0]


def wait_for_one(script: Script) -> None:
    """One request is seen, which a busy computer may do after the client has given up."""
    for _ in range(600):
        if script.seen:
            break
        time.sleep(0.1)
    assert len(script.seen) == 1


def test_what_hangs_is_given_up_once(tmp_path: Path) -> None:
    with scripted(hangs) as script:
        with pytest.raises(Unavailable, match=r"took too long to answer. .* Client\(timeout") as caught:
            Client(script.url, timeout=0.3).predict(SALE)
        assert caught.value.code is None
        wait_for_one(script)
        assert Client(script.url, timeout=0.3).ready() is False


def test_half_an_answer_is_none(tmp_path: Path) -> None:
    (tmp_path / "sales.csv").write_text("Units_Sold\n3\n")
    out = tmp_path / "out.csv"
    out.write_text("before")
    with scripted(breaks_off) as script, pytest.raises(Unavailable):
        Client(script.url).predict_file(tmp_path / "sales.csv", out=out)
    assert out.read_text() == "before" and len(list(tmp_path.iterdir())) == 2


BY_CODE = dict.fromkeys((400, 413, 415, 422), BadRequest) | dict.fromkeys((401, 403), NotAllowed)
BY_CODE |= {429: TooManyRequests, 500: ServerError, 503: Unavailable, 404: ApiError}


@pytest.mark.parametrize(("code", "kind"), BY_CODE.items())
def test_errors_by_code(code: int, kind: type[ApiError]) -> None:
    body = {"status": "error", "code": code, "details": "Told.", "request_id": "r1"}
    body["errors"] = [{"field": "a", "reason": "is wrong"}] * 3
    with scripted(says(code, body)) as script, pytest.raises(ApiError, match="^Told.*and 2 more") as caught:
        Client(script.url, retries=0).predict(SALE)
    assert type(caught.value) is kind
    assert (caught.value.code, caught.value.request_id, len(caught.value.errors)) == (code, "r1", 3)
    with scripted(says(code, b"<html>sf_tok</html>", "text/html; charset=utf-8")) as script:
        with pytest.raises(kind, match="with text/html, which is not of the API") as caught:
            Client(script.url, retries=0).predict(SALE)
        assert "sf_tok" not in str(caught.value)


def test_answers_of_another_program() -> None:
    strange = (
        says(200, b"<html>Sign in</html>", "text/html"),
        says(200, {"hello": 1}),
        says(200, [1]),
        says(302, b"", Location="https://ann:pw@sso.example/login?token=7"),
        says(500, [1]),
        says(404, {"message": "no such page"}),
    )
    for answer in strange:
        with scripted(answer) as script, pytest.raises(ApiError, match="API_URL") as caught:
            Client(script.url, KEY, retries=0).predict(SALE)
        assert "pw@" not in str(caught.value) and "token" not in str(caught.value)
        assert len(script.seen) == 1
    with (
        scripted(says(200, {"predicted_revenue": None})) as script,
        pytest.raises(ApiError, match="predicted_revenue"),
    ):
        Client(script.url).predict(SALE)


def test_the_key_is_sent_and_not_shown() -> None:
    def echo(handler: BaseHTTPRequestHandler) -> None:
        says(500, handler.headers.as_bytes(), "text/plain")(handler)

    for answer in (echo, hangs, drops, says(302, b"", Location="http://127.0.0.1:9/")):
        with scripted(answer) as script:
            client = Client(script.url, KEY, timeout=0.3 if answer is hangs else 60, retries=0)
            with pytest.raises(ApiError) as caught:
                client.predict(SALE)
            wait_for_one(script)
            assert script.seen[0][3]["X-API-Key"] == KEY
            message = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + repr(client)
            assert KEY not in message and len(script.seen) == 1
    with pytest.raises(UserError, match="line break") as refused:
        Client("http://localhost:1", f"{KEY}\nX: 1")
    assert KEY not in str(refused.value)
    assert "pw" not in repr(Client("http://ann:pw@localhost:1"))


@pytest.mark.parametrize("url", ["localhost:5001", "ftp://x", "http://", "http://[::1", "http://x:port"])
def test_no_address(url: str) -> None:
    with pytest.raises(UserError, match="is no address of a server. Set API_URL"):
        Client(url)


def test_this_machine_is_never_asked_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    with scripted(OK) as script:
        assert Client(script.url).ready()


def test_connections_are_kept() -> None:
    with scripted(GOOD) as script, Client(script.url) as client:
        ports: set[int] = set()
        script.answers = [lambda handler: (ports.add(handler.client_address[1]), GOOD(handler))[1]]
        for _ in range(5):
            client.predict(SALE)
        assert len(ports) == 1


def test_importing_the_client_imports_no_server() -> None:
    code = "import sys, salesforecast.client; print([m for m in ('flask', 'gunicorn', 'orjson') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
