"""The API as it is run: real processes, asked over real connections."""

import gzip
import io
import select
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

import psutil
import pytest
import requests

from salesforecast.api.auth import generate_key
from salesforecast.api.main import app  # noqa: F401 (adds the endpoints to ROUTES)
from salesforecast.api.routes import ROUTES
from salesforecast.registry.predictor import COLUMNS, Predictor
from salesforecast.registry.versions import set_current
from support.browsing import free_port
from support.models import NEW, OLD, Trained
from support.server import HEADER, LINE, ROW, Server, running, serving


@pytest.fixture(scope="module")
def server(two_versions: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with two workers that tests share."""
    with serving(two_versions, tmp_path_factory.mktemp("server")) as result:
        yield result


@pytest.fixture(scope="module")
def key() -> tuple[str, str]:
    """A key to predict with, and the line that is kept of it."""
    return generate_key("shop")


def version_of(server: Server) -> str:
    return server.ask("GET", "/status", headers={"Connection": "close"}).json()["version"]


# --- who may call --------------------------------------------------------------------------


def test_on_loopback_no_key_is_needed_unless_a_request_came_from_elsewhere(server: Server) -> None:
    assert server.predict().status_code == 200
    for headers in ({"X-Forwarded-For": "1.2.3.4"}, {"Host": "evil.example"}, {"Via": "1.1 proxy"}):
        assert server.predict(headers=headers).status_code == 401


def test_a_public_address_without_a_key_is_not_served(run_process: Callable, two_versions: Path) -> None:
    done = run_process("serve", "--host", "0.0.0.0", "--port", free_port(), "--models-dir", two_versions)
    assert done.returncode == 2
    assert "no API key is configured" in done.stderr


def test_a_public_address_is_served_by_key_and_scope(
    two_versions: Path, tmp_path: Path, key: tuple[str, str]
) -> None:
    with serving(two_versions, tmp_path, 1, host="0.0.0.0", SALESFORECAST_API_KEYS=key[1]) as server:
        assert server.predict().status_code == 401
        assert server.predict(headers={"X-API-Key": key[0]}).status_code == 200
        assert server.ask("POST", "/reload_model", headers={"X-API-Key": key[0]}).status_code == 403
        assert server.ask("GET", "/status").status_code == 200
        assert key[0] not in server.log.read_text()


def connected(path: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(20)
    client.connect(str(path))
    return client


def test_plain_gunicorn_requires_a_key_if_it_does_not_know_the_caller(
    two_versions: Path, tmp_path: Path
) -> None:
    port, path = free_port(), tmp_path / "api.sock"
    words = [
        "-m",
        "gunicorn",
        "-w",
        "1",
        "--bind",
        f"127.0.0.1:{port}",
        "--bind",
        f"unix:{path}",
        "salesforecast.api.main:app",
    ]
    with running(words, port, two_versions, tmp_path, {}) as server:
        assert server.predict().status_code == 200
        for host in (b"localhost", b"127.0.0.1:5001"):
            request = b"GET /model_info HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n"
            with connected(path) as client:
                client.sendall(request)
                assert client.recv(4096).startswith(b"HTTP/1.1 401")


def test_waitress_requires_a_key(two_versions: Path, tmp_path: Path, key: tuple[str, str]) -> None:
    port = free_port()
    words = ["-m", "waitress", f"--listen=127.0.0.1:{port}", "salesforecast.api.main:app"]
    with running(words, port, two_versions, tmp_path, {"SALESFORECAST_API_KEYS": key[1]}) as server:
        assert server.predict().status_code == 401
        assert server.predict(headers={"X-API-Key": key[0]}).status_code == 200


def test_flask_run_serves_on_loopback(two_versions: Path, tmp_path: Path) -> None:
    port = free_port()
    with running(["-m", "flask", "run", "--port", str(port)], port, two_versions, tmp_path, {}) as server:
        assert server.predict().status_code == 200
        assert server.predict(headers={"X-Forwarded-For": "1.2.3.4"}).status_code == 401


# --- workers -------------------------------------------------------------------------------


def counted(server: Server, line: str) -> float:
    text = server.ask("GET", "/metrics", headers={"Connection": "close"}).text
    return sum(float(row.rpartition(" ")[2]) for row in text.splitlines() if row.startswith(line))


ASKED = 'salesforecast_requests_total{endpoint="/predict"'


def hammer(server: Server, times: int) -> list[int]:
    """So many predictions, each over a connection of its own."""

    def once(_: int) -> int:
        url = f"http://127.0.0.1:{server.port}/predict"
        return requests.post(url, json=ROW, timeout=60).status_code

    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(once, range(times)))


def test_metrics_add_up_over_workers_and_outlive_them(two_versions: Path, tmp_path: Path) -> None:
    with serving(two_versions, tmp_path) as server:
        assert hammer(server, 40) == [200] * 40
        assert counted(server, ASKED) == 40
        for number in (signal.SIGKILL, signal.SIGTERM):
            before = {worker.pid for worker in server.workers}
            killed = min(server.workers, key=lambda worker: worker.create_time())
            killed.send_signal(number)
            killed.wait(20)
            until(lambda old=before: len(set(listening(server)) - old) == 1)
            assert hammer(server, 20) == [200] * 20
        assert counted(server, ASKED) == 80
        assert server.stop() == 0


def test_a_worker_that_is_killed_twice_within_seconds_is_replaced(two_versions: Path, tmp_path: Path) -> None:
    with serving(two_versions, tmp_path, 1) as server:
        assert server.predict().status_code == 200
        for _ in range(2):
            (killed,) = server.workers
            killed.kill()
            killed.wait(20)
            until(lambda old=killed.pid: [worker.pid for worker in server.workers] not in ([], [old]))
        until(lambda: answers(server))
        assert hammer(server, 4) == [200] * 4
        assert server.stop() == 0


def listening(server: Server) -> list[int]:
    """The workers that take connections: a new one does so a moment after it was started."""
    states = {worker.pid: {each.status for each in worker.net_connections()} for worker in server.workers}
    return [pid for pid, found in states.items() if psutil.CONN_LISTEN in found]


def answers(server: Server) -> bool:
    """Whether the server can be connected to and predicts."""
    try:
        return server.predict().status_code == 200
    except requests.ConnectionError:
        return False


def until(holds: Callable[[], bool], seconds: float = 180) -> None:
    """Wait for something that is about to be so."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_folder_of_metrics_that_was_given_is_left_alone(two_versions: Path, tmp_path: Path) -> None:
    folder = tmp_path / "metrics"
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
    with serving(two_versions, tmp_path, 1, PROMETHEUS_MULTIPROC_DIR=str(folder)) as server:
        server.stop()
    assert (folder / "mine.txt").read_text() == "mine"


def test_a_reload_reaches_every_worker(server: Server, two_versions: Path) -> None:
    try:
        assert {version_of(server) for _ in range(20)} == {OLD}
        set_current(two_versions, NEW)
        assert server.ask("POST", "/reload_model").json()["version"] == NEW
        assert {version_of(server) for _ in range(40)} == {NEW}
    finally:
        set_current(two_versions, OLD)


def test_sigterm_does_not_wait_for_idle_connections(two_versions: Path, tmp_path: Path) -> None:
    with serving(two_versions, tmp_path, 1) as server:
        assert server.predict().status_code == 200
        assert server.stop() == 0
        assert "refused to gracefully stop" not in server.log.read_text()  # as after STOP_TIMEOUT


def test_sigterm_lets_a_request_finish(two_versions: Path, tmp_path: Path) -> None:
    with serving(two_versions, tmp_path, 1) as server:
        url = f"http://127.0.0.1:{server.port}/predict_batch_csv"
        files = {"file": ("rows.csv", HEADER + LINE * 200_000)}
        request = requests.Request("POST", url, files=files).prepare()
        body, arrives = cast(bytes, request.body), threading.Event()

        def parts() -> Iterator[bytes]:
            yield body[:-1000]  # far more than what waits in the system until the server reads it
            arrives.set()
            yield body[-1000:]

        result: list[requests.Response] = []
        headers = {"Content-Type": request.headers["Content-Type"]}
        sending = threading.Thread(
            target=lambda: result.append(requests.post(url, data=parts(), headers=headers, timeout=120))
        )
        sending.start()
        assert arrives.wait(120)
        assert server.stop() == 0
        sending.join()
        assert result[0].json()["num_records_processed"] == 200_000


def test_a_large_batch_with_xgboost_after_a_fork_is_answered(two_versions: Path, tmp_path: Path) -> None:
    env = {"OMP_NUM_THREADS": "2", "SALESFORECAST_THREADS": "2"}
    set_current(two_versions, NEW)
    try:
        with serving(two_versions, tmp_path, 2, **env) as server:
            files = {"file": ("rows.csv", HEADER + LINE * 50_000)}
            assert server.ask("POST", "/predict_batch_csv", files=files).json()["num_errors"] == 0
    finally:
        set_current(two_versions, OLD)


# --- connections ---------------------------------------------------------------------------


def raw(server: Server, request: bytes, wait: float = 20) -> bytes:
    """All that comes back for these bytes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=wait) as client:
        client.sendall(request)
        parts = []
        while data := client.recv(65536):
            parts.append(data)
        return b"".join(parts)


def test_a_body_in_chunks_is_read(server: Server) -> None:
    body = b'{"Units_Sold": 10, "Unit_Price": 5.99, "Category": "Beauty", "Region": "North"}'
    headers = {"Content-Type": "application/json"}
    result = server.ask("POST", "/predict", data=iter([body[:20], body[20:]]), headers=headers)
    assert result.status_code == 200
    assert server.ask("POST", "/predict", data=iter([b" " * 2**20] * 17), headers=headers).status_code == 413
    server.client.close()  # a connection whose body was not read to its end is ended
    assert server.predict(headers={"Connection": "close"}).status_code == 200


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"X-Request-ID: a\r\n b\r\n",
        b"X Bad: 1\r\n",
        b"X-Long: " + b"x" * 300_000 + b"\r\n",
    ],
    ids=lambda head: head[:45].decode(),
)
def test_a_request_of_two_meanings_is_refused(server: Server, head: bytes) -> None:
    result = raw(server, b"POST /predict HTTP/1.1\r\nHost: localhost\r\n" + head + b"\r\nhello")
    assert result.startswith(b"HTTP/1.1 4")
    assert result.count(b"HTTP/1.1 ") == 1
    assert server.predict().status_code == 200


def test_a_request_that_follows_a_refused_one_at_once_is_answered(server: Server) -> None:
    """What a refused request left unread is read along with the beginning, or all, of the next one."""
    body = b'{"Units_Sold": 1, "Unit_Price": 2}'
    head = b"POST /predict HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n"
    refused = head % (b"evil.example", len(body), b"") + body
    last = head % (b"localhost", len(body), b"Connection: close\r\n") + body
    answers = raw(server, refused + refused + last)
    assert [answers.count(b"HTTP/1.1 %d" % status) for status in (401, 200)] == [2, 1]


@pytest.mark.parametrize("request_line", [b"NOT HTTP", b"GET /status HTTP/9"])
def test_what_is_not_http_is_refused(server: Server, request_line: bytes) -> None:
    assert raw(server, request_line + b"\r\nHost: localhost\r\n\r\n").startswith(b"HTTP/1.1 400 ")


def test_no_client_keeps_others_waiting(server: Server) -> None:
    """Idle connections, half a head, half a body, and a body of which a byte comes now and then."""
    head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n"
    sent = [b""] * 500 + [b"GET /livez HTTP/1.1\r\nHost: local"] * 100 + [head] * 50 + [head + b"{"] * 50
    hostile = [socket.create_connection(("127.0.0.1", server.port)) for _ in sent]
    try:
        for client, data in zip(hostile, sent, strict=True):
            client.sendall(data)
        for _ in range(5):
            for client, data in zip(hostile, sent, strict=True):
                if data.startswith(head):
                    client.sendall(b" ")
            url = f"http://127.0.0.1:{server.port}"
            assert requests.get(f"{url}/livez", timeout=10).status_code == 200
            assert requests.post(f"{url}/predict", json=ROW, timeout=10).status_code == 200
    finally:
        for client in hostile:
            client.close()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes the certificate")
def test_a_unix_socket_speaks_tls_and_a_body_has_a_deadline_as_a_whole(
    two_versions: Path, tmp_path: Path
) -> None:
    path, certificate, key = (tmp_path / name for name in ("api.sock", "tls.crt", "tls.key"))
    words = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "1",
        "-subj",
        "/CN=localhost",
    ]
    subprocess.run([*words, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    env = {"SALESFORECAST_API_SOCKET": str(path), "SALESFORECAST_REQUEST_TIMEOUT": "1"}
    env |= {"SALESFORECAST_API_TLS_CERT": str(certificate), "SALESFORECAST_API_TLS_KEY": str(key)}
    words = ["-c", "from salesforecast.cli.main import main; main()", "serve", "--workers", "1"]
    head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n"

    def ask() -> bytes:
        with (
            connected(path) as plain,
            ssl.create_default_context(cafile=str(certificate)).wrap_socket(
                plain, server_hostname="localhost"
            ) as client,
        ):
            client.sendall(head)
            for _ in range(100):
                client.sendall(b" ")  # a byte every now and then keeps no body open
                if select.select([client], [], [], 0.1)[0]:
                    return client.recv(4096)
        return b""

    with running(words, 0, two_versions, tmp_path, env | {"SALESFORECAST_API_AUTH": "off"}, ask):
        assert ask().startswith(b"HTTP/1.1 408 ")


# --- memory --------------------------------------------------------------------------------


def memory_for(server: Server, rows: int) -> float:
    """MB by which the server grows while it predicts so many rows."""
    packed = io.BytesIO()
    with gzip.open(packed, "wb", compresslevel=1) as file:
        file.write(HEADER)
        for _ in range(rows // 10_000):
            file.write(LINE * 10_000)
    server.predict()
    peak, done = [0.0], threading.Event()

    def used() -> float:
        return sum(worker.memory_info().rss for worker in server.workers) / 2**20

    def watch() -> None:
        while not done.wait(0.05):
            peak[0] = max(peak[0], used())

    before, watching = used(), threading.Thread(target=watch)
    watching.start()
    files = {"file": ("rows.csv.gz", packed.getvalue())}
    result = server.ask(
        "POST", "/predict_batch_csv", files=files, headers={"Accept": "text/csv"}, stream=True
    )
    lines = sum(chunk.count(b"\n") for chunk in result.iter_content(2**20))
    done.set()
    watching.join()
    assert (result.status_code, lines) == (200, rows + 1)
    return peak[0] - before


@pytest.mark.slow
@pytest.mark.parametrize("rows", [300_000, 1_000_000])
def test_memory_stays_bounded_for_a_file_of_any_length(two_versions: Path, tmp_path: Path, rows: int) -> None:
    with serving(two_versions, tmp_path, 1) as server:
        assert memory_for(server, rows) < 300


# --- load ----------------------------------------------------------------------------------


def check_every_answer_is_that_of_a_version(models: Path, folder: Path, seconds: float) -> None:
    """Ask from several threads while the version changes; each answer is exactly what one version predicts."""
    rows = [ROW | {"Units_Sold": n, "Region": region} for n in range(1, 6) for region in ("North", "South")]
    with serving(models, folder) as server:
        exact: list[list[dict]] = []
        for version in (OLD, NEW):
            set_current(models, version)
            assert server.ask("POST", "/reload_model").json()["version"] == version
            exact.append([server.predict(row).json() for row in rows])
        assert all(one != other for one, other in zip(*exact, strict=True))
        end, answers, changes = time.monotonic() + seconds, [], 0

        def goes_on() -> bool:
            """Whether the time is not over; a busy computer gets more."""
            late = time.monotonic() > end + 300
            return time.monotonic() < end or not (late or (len(answers) > 50 * seconds and changes >= 3))

        def ask(thread: int) -> None:
            session, i = requests.Session(), thread
            while goes_on():
                i = (i + 1) % len(rows)
                result = session.post(f"http://127.0.0.1:{server.port}/predict", json=rows[i], timeout=30)
                answers.append((i, result.status_code, result.json()))

        threads = [threading.Thread(target=ask, args=(n,)) for n in range(6)]
        for thread in threads:
            thread.start()
        while goes_on():
            changes += 1
            set_current(models, (OLD, NEW)[changes % 2])
            if changes % 3:
                assert server.ask("POST", "/reload_model").status_code == 200
            time.sleep(min(2, seconds / 5))
        for thread in threads:
            thread.join()
    assert len(answers) > 50 * seconds
    assert changes >= 3
    wrong = [
        result for i, status, result in answers if status != 200 or result not in (exact[0][i], exact[1][i])
    ]
    assert wrong == []
    assert all(any(result == version[i] for i, _, result in answers) for version in exact)


def test_no_request_fails_while_versions_change(two_versions: Path, tmp_path: Path) -> None:
    try:
        check_every_answer_is_that_of_a_version(two_versions, tmp_path, 5)
    finally:
        set_current(two_versions, OLD)


@pytest.mark.slow
def test_no_request_fails_in_a_minute_of_changes(two_versions: Path, tmp_path: Path) -> None:
    try:
        check_every_answer_is_that_of_a_version(two_versions, tmp_path, 60)
    finally:
        set_current(two_versions, OLD)


def test_numbers_over_http_are_those_of_python(server: Server, two_versions: Path, trained: Trained) -> None:
    from salesforecast.sales.reading import read_prediction_rows

    rows = read_prediction_rows(trained.source).frame.head(20)
    expected = Predictor.load(two_versions).predict(rows).to_dict("records")
    lines = trained.source.read_bytes().splitlines(keepends=True)[:21]
    files = {"file": ("rows.csv", b"".join(lines))}
    result = server.ask("POST", "/predict_batch_csv", files=files).json()["predictions"]
    assert [{name: row[name] for name in COLUMNS} for row in result] == expected


# --- the description -----------------------------------------------------------------------

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


def test_answers_are_as_described(server: Server, tmp_path: Path) -> None:
    """Requests made up from the description."""
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        "run",
        "--seed",
        "7",
        "--max-examples",
        "10",
    ]
    command += ["--phases", "examples,fuzzing", "--generation-database", "none", "--checks", CHECKS]
    url = f"http://127.0.0.1:{server.port}/openapi.json"
    done = subprocess.run([*command, url], capture_output=True, text=True, timeout=150, cwd=tmp_path)
    assert f"Tested: {len(ROUTES)}" in done.stdout
    assert done.returncode == 0, done.stdout[-3000:]
