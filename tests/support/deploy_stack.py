"""The processes of deploy/compose.yaml with its very commands and files, on a machine without a container engine.

`unshare --net --mount python tests/support/deploy_stack.py FOLDER`: in a network of its own, where the services' names are
loopback addresses and nothing else can be reached, and with /run/secrets and /srv of its own. What it is not: the
images themselves, their limits, and the networks between them. Prints one JSON object with what it saw.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES, FOLDER = COMPOSE["services"], Path(sys.argv[1]).resolve()
SECRETS = FOLDER / "made-secrets"
POSTGRES = max(Path("/usr/lib/postgresql").glob("*/bin"))
NOBODY = 65534


def sh(*words: object, **how: Any) -> str:
    """What a command prints; raises where it fails."""
    return subprocess.run(
        [str(word) for word in words], check=True, stdout=subprocess.PIPE, text=True, **how
    ).stdout


def isolate() -> None:
    """Names, secrets and volumes as in the containers, seen by this process and its children only."""
    sh("ip", "link", "set", "lo", "up")
    sh("mount", "--make-rprivate", "/")
    hosts = FOLDER / "hosts"
    hosts.write_text("127.0.0.1 localhost " + " ".join(SERVICES) + "\n")
    sh("mount", "--bind", hosts, "/etc/hosts")
    for place in ("/run/secrets", "/srv"):
        Path(place).mkdir(exist_ok=True)
        sh("mount", "-t", "tmpfs", "tmpfs", place)
    for path in SECRETS.iterdir():
        shutil.copy(path, "/run/secrets")
    for name in ("models", "data", "reports", "mlflow"):
        Path("/srv", name).mkdir()


def environment(service: str) -> dict[str, str]:
    """The environment of one of our services: that of the image, settings.env, and its secrets in a folder."""
    lines = (DEPLOY / "settings.env").read_text().splitlines()
    target = SERVICES[service].get("build", {}).get("target", "trainer")
    stages = (DEPLOY / "Dockerfile").read_text().replace("\\\n", "").split("\nFROM ")
    own = [stage for stage in stages if re.match(rf".* AS ({target}|runtime)\n", stage)]
    image = re.findall(r"(\w+)=(\S+)", " ".join(re.findall(r"^ENV (.*)$", "\n".join(own), re.M)))
    found = (
        os.environ
        | dict(image)
        | dict(line.split("=", 1) for line in lines if "=" in line and line[0] != "#")
    )
    found |= {"PATH": os.environ["PATH"], "HOME": str(FOLDER), "SALESFORECAST_THREADS": "1"}
    folder = FOLDER / "secrets" / service
    folder.mkdir(parents=True)
    for secret in SERVICES[service].get("secrets", []):
        shutil.copy(SECRETS / secret["source"], folder / secret["target"])
    return found | {"SALESFORECAST_SECRETS_DIR": str(folder)}


@contextmanager
def running(
    name: str, words: list[str], ready: str | list[str], seconds: float = 120, **how: Any
) -> Iterator[None]:
    """A process, from when it answers (an address, or a command that succeeds) until the block ends."""
    with (FOLDER / f"{name}.log").open("wb") as log:
        process = subprocess.Popen([str(word) for word in words], stdout=log, stderr=subprocess.STDOUT, **how)
        try:
            until = time.monotonic() + seconds
            while not answers(ready):
                if process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(
                        f"{name} does not start:\n{(FOLDER / f'{name}.log').read_text()[-3000:]}"
                    )
                time.sleep(0.3)
            yield
        finally:
            process.terminate()
            process.wait(60)


def answers(ready: str | list[str]) -> bool:
    """Whether an address answers 200, or a command succeeds."""
    if isinstance(ready, list):
        return subprocess.run(ready, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0
    try:
        with urllib.request.urlopen(ready, timeout=5) as found:
            return found.status == 200
    except OSError:
        return False


def database() -> Any:
    """PostgreSQL with the password of the secrets."""
    place = Path("/srv/postgres")  # seen by this process and its children only, whoever they run as
    place.mkdir()
    os.chown(place, NOBODY, NOBODY)
    who = {"user": NOBODY, "group": NOBODY, "cwd": "/"}
    sh(
        POSTGRES / "initdb",
        "-D",
        place,
        "-U",
        "mlflow",
        "-A",
        "scram-sha-256",
        "--pwfile=/run/secrets/postgres_password",
        **who,
    )
    os.environ["PGPASSWORD"] = (SECRETS / "postgres_password").read_text().strip()
    words = [POSTGRES / "postgres", "-D", place, "-k", place]
    return running("postgres", words, [f"{POSTGRES}/pg_isready", "-h", "postgres", "-U", "mlflow"], **who)


def proxy() -> Any:
    """nginx with the site's template, filled in as the image does it."""
    values = SERVICES["nginx"]["environment"] | {
        "DASHBOARD_NAME": "dashboard", "API_NAME": "nginx", "API": "127.0.0.1:5001", "RESOLVER": "127.0.0.1",
        "DASHBOARD": "127.0.0.1:8501",
    }  # fmt: skip
    site = (DEPLOY / "nginx/site.conf.template").read_text()
    for name, value in values.items():
        site = site.replace(f"${{{name}}}", value)
    (FOLDER / "site.conf").write_text(site)
    body = f"daemon off; pid {FOLDER}/nginx.pid; error_log stderr; user root; events {{}}\n"
    temp = " ".join(
        f"{kind}_temp_path {FOLDER}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (FOLDER / "nginx.conf").write_text(
        body + f"http {{ access_log off; {temp} include {FOLDER}/site.conf; }}\n"
    )
    return running(
        "nginx", ["nginx", "-c", FOLDER / "nginx.conf"], ["curl", "-ksf", "https://nginx:8443/livez"]
    )


def ask(path: str) -> Any:
    """What Prometheus answers."""
    with urllib.request.urlopen(f"http://prometheus:9090/api/v1/{path}", timeout=10) as found:
        return json.load(found)["data"]


def scraped() -> dict[str, Any]:
    """What Prometheus knows of the API, when it has asked it twice."""
    for _ in range(120):
        targets = {target["labels"]["job"]: target["health"] for target in ask("targets")["activeTargets"]}
        loaded = ask("query?query=salesforecast_model_loaded")["result"]
        if targets.get("api") == "up" and loaded:
            break
        time.sleep(0.5)
    rules = [
        rule["name"] for group in ask("rules")["groups"] for rule in group["rules"] if rule["health"] != "err"
    ]
    return {"targets": targets, "loaded": loaded[0]["value"][1] if loaded else None, "rules": rules}


def rows(statement: str) -> str:
    """What the database answers."""
    return sh(POSTGRES / "psql", "-h", "postgres", "-U", "mlflow", "-At", "-c", statement).strip()


def main() -> dict[str, Any]:
    """Start everything, train, use it, save it, lose it, restore it."""
    isolate()
    trainer, seen = environment("scheduler"), {}
    salesforecast = [sys.executable, "-c", "from salesforecast.cli.main import main; main()"]
    with ExitStack() as stack:
        stack.enter_context(database())
        sh(POSTGRES / "createdb", "-h", "postgres", "-U", "mlflow", "mlflow")
        stack.enter_context(
            running("redis", SERVICES["redis"]["command"], ["redis-cli", "-h", "redis", "ping"])
        )
        command = [
            word.replace("$$", "$")
            for word in SERVICES["mlflow"]["entrypoint"] + SERVICES["mlflow"]["command"]
        ]
        stack.enter_context(running("mlflow", command, "http://mlflow:5000/health", 300, env=trainer))
        sh(*salesforecast, "generate", "--rows", 4000, "--out", "/srv/data/sales.csv", env=trainer)
        params = FOLDER / "params.yaml"
        params.write_text(
            "random_forest: [{n_estimators: 5, min_samples_leaf: 20}]\nxgboost: [{n_estimators: 20}]\nforecast: {windows: 1}\n"
        )
        sh(*salesforecast, "train", "/srv/data/sales.csv", "--params", params, env=trainer)
        seen["runs"] = rows("select count(*) from runs")
        seen["artifacts"] = len(list(Path("/srv/mlflow").rglob("*")))
        stack.enter_context(
            running("api", [*salesforecast, "serve"], "http://api:5001/readyz", env=environment("api"))
        )
        stack.enter_context(proxy())
        key, trust = (SECRETS / "dashboard_key").read_text(), {"REQUESTS_CA_BUNDLE": str(SECRETS / "tls.crt")}
        smoke = [sys.executable, DEPLOY / "smoke.py", "https://nginx:8443"]
        seen["smoke"] = sh(*smoke, "--key", key, env=os.environ | trust)
        seen["limits"] = sh("redis-cli", "-h", "redis", "keys", "*").split()
        words = [
            "prometheus",
            f"--config.file={DEPLOY}/prometheus/prometheus.yml",
            f"--storage.tsdb.path={FOLDER}/tsdb",
        ]
        with running("prometheus", words, "http://prometheus:9090/-/ready"):
            seen |= scraped()

        where = {
            "MLFLOW_BACKEND": "postgresql+psycopg://mlflow@postgres/mlflow",
            "MLFLOW_ARTIFACTS": "/srv/mlflow",
        }
        path = {"PATH": f"{POSTGRES}:{os.environ['PATH']}", "PGPASSWORD": os.environ["PGPASSWORD"]}
        backup = [sys.executable, DEPLOY / "backup.py"]
        sh(*backup, "save", FOLDER / "backup", env=trainer | where | path)
        rows("drop schema public cascade; create schema public")
        shutil.rmtree("/srv/mlflow")
        for path_ in Path("/srv/models").iterdir():
            shutil.rmtree(path_) if path_.is_dir() else path_.unlink()
        sh(*backup, "restore", FOLDER / "backup", env=trainer | where | path)
        seen["runs restored"] = rows("select count(*) from runs")
        seen["artifacts restored"] = len(list(Path("/srv/mlflow").rglob("*")))
        seen["served again"] = sh(*salesforecast, "models", "list", env=trainer)
        seen["smoke again"] = sh(*smoke, "--key", key, env=os.environ | trust)
    return seen


if __name__ == "__main__":
    print(json.dumps(main()))
