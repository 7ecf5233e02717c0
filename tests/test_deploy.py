"""deploy/ and the workflows: every file by its own schema or tool, and the processes started as they are written there."""

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from salesforecast.core.settings import Settings, environment_variable
from salesforecast.registry.bundle import load_bundle
from salesforecast.registry.versions import current_version
from support.models import NEW, OLD

ROOT = Path(__file__).parents[1]
DEPLOY, GITHUB = ROOT / "deploy", ROOT / ".github"
BIN = Path(sys.executable).parent
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()


def run(*words: object, **how: Any) -> subprocess.CompletedProcess[str]:
    """A command that may take a while."""
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=1500, **how)


def passes(*words: object, **how: Any) -> None:
    """The command ends well."""
    found = run(*words, **how)
    assert found.returncode == 0, found.stdout + found.stderr


def needs(*programs: str) -> None:
    """Skip where a program of Debian's is not installed."""
    missing = [name for name in programs if not shutil.which(name)]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)} (make deploy-tools)")


@pytest.mark.parametrize(
    ("schema", "pattern"),
    [
        ("compose-spec", "deploy/compose.yaml"),
        ("github-workflows", ".github/workflows/*.yml"),
        ("dependabot", ".github/dependabot.yml"),
        ("github-issue-forms", ".github/ISSUE_TEMPLATE/[!c]*.yml"),
        ("github-issue-config", ".github/ISSUE_TEMPLATE/config.yml"),
    ],
)
def test_schemas(schema: str, pattern: str) -> None:
    files = sorted(ROOT.glob(pattern))
    assert files
    passes(BIN / "check-jsonschema", "--builtin-schema", f"vendor.{schema}", *files)


@pytest.mark.skipif(sys.platform != "linux", reason="hadolint is installed on Linux only")
def test_dockerfile_is_in_order() -> None:
    # DL3064 takes the folder of the secrets for one
    passes(BIN / "hadolint", "--ignore", "DL3064", "--failure-threshold", "info", DEPLOY / "Dockerfile")


def test_dockerfile_agrees_with_the_project() -> None:
    version = re.search(r"^UV_VERSION := (\S+)", (ROOT / "Makefile").read_text(), re.M)
    assert version and f"ARG UV_VERSION={version[1]}\n" in DOCKERFILE
    shown = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {
        word.rstrip("/")
        for line in re.findall(r"^COPY (?!--from)(.*)", DOCKERFILE, re.M)
        for word in line.split()[:-1]
    }
    assert copied == shown
    for target in ("api", "dashboard", "trainer"):
        stage = DOCKERFILE.split(f" AS {target}\n")[1].partition("\nFROM ")[0]
        assert (
            "USER" not in stage and "HEALTHCHECK" in stage
        )  # `runtime` set the user, and none takes it back
    assert "USER 10001" in DOCKERFILE.split(" AS runtime\n")[1].partition("\nFROM ")[0]


def test_settings_that_are_deployed_exist() -> None:
    known = {environment_variable(name) for name in Settings.model_fields}
    given = [
        line.split("=")[0]
        for line in (DEPLOY / "settings.env").read_text().splitlines()
        if line[:1] not in ("#", "")
    ]
    assert given and set(given) <= known
    targets = [
        s["target"]
        for service in COMPOSE["services"].values()
        for s in service.get("secrets", [])
        if isinstance(s, dict)
    ]
    ours = {target for target in targets if target.startswith("salesforecast_") and "dashboard" not in target}
    assert ours <= {name.lower() for name in known}


@pytest.mark.parametrize("name", list(COMPOSE["services"]))
def test_every_container_is_hardened(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["read_only"] and service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}
    for port in service.get("ports", []):
        assert name == "nginx" or port.startswith("127.0.0.1:")
    assert "build" in service or ":" in service["image"].replace("${TAG:-latest}", "latest")
    assert not re.search(
        r"password|token|secret|key",
        " ".join(map(str, service.get("environment", {}).values())).replace("/run/secrets/", ""),
        re.I,
    ) or name in ("postgres", "grafana")


def test_kubernetes_manifests(tmp_path: Path) -> None:
    config = yaml.safe_load((DEPLOY / "kustomization.yaml").read_text())
    files = [DEPLOY / name for name in config["resources"]]
    assert sorted(files) == sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    passes(BIN / "kubernetes-validate", "--strict", "--no-warn", *files)
    objects = [found for path in files for found in yaml.safe_load_all(path.read_text())]
    made = {entry["name"] for entry in config["secretGenerator"]}
    for found in objects:
        if found["kind"] not in ("Deployment", "CronJob"):
            continue
        spec = found["spec"]["jobTemplate"]["spec"] if found["kind"] == "CronJob" else found["spec"]
        pod = spec["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] and not pod["automountServiceAccountToken"]
        for container in pod["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"]
            assert container["resources"].keys() == {"requests", "limits"}
            assert found["kind"] == "CronJob" or {"livenessProbe", "readinessProbe"} <= container.keys()
        assert {v["secret"]["secretName"] for v in pod.get("volumes", []) if "secret" in v} <= made
    kinds = {(found["kind"], found["metadata"]["name"]) for found in objects}
    assert {
        ("HorizontalPodAutoscaler", "api"),
        ("PodDisruptionBudget", "api"),
        ("NetworkPolicy", "nothing-but-names"),
    } <= kinds


def test_workflows_call_targets_that_there_are() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)) | {"docs"}
    for path in (GITHUB / "workflows").glob("*.yml"):
        text = path.read_text()
        called = re.findall(r"make (?:\w+=(?:\S+|\${{.*?}}) )*([a-z-]+)", re.sub(r"\${{.*?}}", "x", text))
        assert called or path.name == "images.yml", path
        assert set(called) <= targets, path
        assert yaml.safe_load(text)["permissions"] == {"contents": "read"}


def test_commit_messages(tmp_path: Path) -> None:
    for first, fits in (
        ("feat: a thing", True),
        ("fix(api)!: a thing", True),
        ("A thing", False),
        ("feat:", False),
    ):
        (tmp_path / "message").write_text(first + "\n\nmore\n")
        assert (
            run(sys.executable, GITHUB / "commit_message.py", tmp_path / "message").returncode == 0
        ) == fits


def test_alerts_tell_what_they_should() -> None:
    needs("promtool")
    passes("promtool", "check", "config", "--syntax-only", "prometheus.yml", cwd=DEPLOY / "prometheus")
    passes("promtool", "test", "rules", "alerts_test.yml", cwd=DEPLOY / "prometheus")


def test_every_alert_has_a_test_that_it_comes_and_one_that_it_does_not() -> None:
    groups = yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text())["groups"]
    cases = [
        case
        for test in yaml.safe_load((DEPLOY / "prometheus/alerts_test.yml").read_text())["tests"]
        for case in test["alert_rule_test"]
    ]
    for name in [rule["alert"] for group in groups for rule in group["rules"]]:
        comes = {bool(case.get("exp_alerts")) for case in cases if case["alertname"] == name}
        assert comes == {True, False}, name


@pytest.mark.parametrize(("code", "job"), [(0, 0), (3, 0), (4, 0), (1, 1), (2, 2)])
@pytest.mark.parametrize("mapping", ["", "/srv/data/an export.yaml"])
def test_jobs_of_kubernetes_take_results_for_results(
    tmp_path: Path, code: int, job: int, mapping: str
) -> None:
    """The very command of each job, with a stand-in for `salesforecast` that notes its words."""
    stand_in = tmp_path / "salesforecast"
    stand_in.write_text(f'#!/bin/sh\nfor word; do echo "$word"; done > {tmp_path}/words\nexit {code}\n')
    stand_in.chmod(0o755)
    for found in yaml.safe_load_all((DEPLOY / "kubernetes/jobs.yaml").read_text()):
        if found["kind"] != "CronJob":
            continue
        (container,) = found["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
        env = {entry["name"]: entry["value"] for entry in container["env"]} | {"MAPPING": mapping}
        path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
        assert run(*container["command"], env=env | {"PATH": path}).returncode == job
        words = (tmp_path / "words").read_text().split("\n")[:-1]
        name = found["metadata"]["name"]
        assert words == ["run", name, "-p", "source", "/srv/data/sales.csv", "-p", "mapping", mapping]


@pytest.mark.parametrize("mapping", ["", "/srv/data/an export.yaml"])
def test_the_scheduler_takes_a_mapping_and_reaches_what_is_outside(tmp_path: Path, mapping: str) -> None:
    service = COMPOSE["services"]["scheduler"]
    stand_in = tmp_path / "salesforecast"
    stand_in.write_text('#!/bin/sh\nfor word; do echo "$word"; done\n')
    stand_in.chmod(0o755)
    command = [word.replace("$$", "$") for word in service["command"]]  # as Compose reads it
    env = {"SOURCE": "sales.csv", "MAPPING": mapping, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    words = run(*command, env=env).stdout.split("\n")[:-1]
    assert words == ["schedule", "sales.csv", *(["--mapping", mapping] if mapping else [])]
    internal = {name for name, network in COMPOSE["networks"].items() if network.get("internal")}
    assert set(service["networks"]) - internal == {"outside"}
    targets = {secret["target"] for secret in service["secrets"]}
    assert "salesforecast_alert_webhook" in targets


def test_the_dashboard_sees_models_and_reports_and_may_write_neither() -> None:
    """In Compose and in Kubernetes, at the places that its image names."""
    compose = dict(volume.split(":", 1) for volume in COMPOSE["services"]["dashboard"]["volumes"])
    assert compose == {"models": "/srv/models:ro", "reports": "/srv/reports:ro", "data": "/srv/data"}
    assert {"source": "signing_key", "target": "salesforecast_signing_key"} in COMPOSE["services"][
        "dashboard"
    ]["secrets"]
    (deployment, *_) = yaml.safe_load_all((DEPLOY / "kubernetes/dashboard.yaml").read_text())
    pod = deployment["spec"]["template"]["spec"]
    mounts = {mount["name"]: mount for mount in pod["containers"][0]["volumeMounts"]}
    claims = {
        v["name"]: v["persistentVolumeClaim"]["claimName"] for v in pod["volumes"] if v["name"] in compose
    }
    assert claims == {name: name for name in compose}
    for name, place in compose.items():
        path, _, mode = place.partition(":")
        assert (mounts[name]["mountPath"], mounts[name].get("readOnly", False)) == (path, mode == "ro")
    runtime = DOCKERFILE.split(" AS runtime\n")[1].partition("\nFROM ")[0]
    for name in (
        "MODEL_DIR=/srv/models",
        "SALESFORECAST_REPORTS_DIR=/srv/reports",
        "SALESFORECAST_DATA_DIR=/srv/data",
    ):
        assert name in runtime


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """The folder mounted onto itself, so that nobody may write it."""
    for words in (["mount", "--bind", folder, folder], ["mount", "-o", "remount,ro,bind", folder]):
        if (done := run(*words)).returncode:
            run("umount", folder)
            pytest.skip(f"a folder cannot be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        passes("umount", folder)


def test_the_tabs_read_a_folder_that_they_may_not_write(two_versions: Path, tmp_path: Path) -> None:
    """What the tabs Health, Train and Plan ask of the folder of models, as the dashboard's container has it."""
    from salesforecast.dashboard.model.health import critical_findings, read_health
    from salesforecast.dashboard.model.overrides import folder_problem
    from salesforecast.dashboard.model.training import read_decision, versions_table
    from salesforecast.lifecycle.jobs import latest_job

    models, reports = tmp_path / "models", tmp_path / "reports"
    shutil.copytree(two_versions, models)
    alert = {"check": "feed", "level": "critical", "status": "opened", "message": "no sales"}
    (models / "monitoring.json").write_text(json.dumps({"version": OLD, "alerts": [alert]}))
    reports.mkdir()
    with read_only(tmp_path):
        with pytest.raises(OSError, match="Read-only"):
            (models / "new").touch()
        health = read_health(models, reports)
        assert health.folder_version == OLD and health.report is not None
        assert critical_findings(OLD, models) == ("no sales",)
        assert versions_table(models)["state"].tolist() == ["", "served"]
        assert folder_problem(models, OLD) == ""
        assert read_decision(models, NEW) is None and latest_job(models) is None
        bundle = load_bundle(models)
        assert all(bundle.open(name) for name in bundle.manifest.files)


def test_the_dashboard_of_grafana_asks_what_is_measured() -> None:
    from salesforecast.api import observe

    source = Path(observe.__file__).read_text()
    text = (DEPLOY / "grafana/salesforecast.json").read_text()
    panels = json.loads(text)["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    rules = (DEPLOY / "prometheus/alerts.yml").read_text()
    asked = set(re.findall(r"salesforecast_(?!monitor)\w+", rules + text)) - {"salesforecast_dashboards"}
    for name in asked:
        assert f'"{re.sub("_(total|bucket)$", "", name)}"' in source, name


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script")
def test_secrets_are_made_once(tmp_path: Path) -> None:
    needs("openssl")
    how = os.environ | {"SECRETS": str(tmp_path / "s"), "SALESFORECAST": str(BIN / "salesforecast")}
    passes("sh", DEPLOY / "secrets.sh", "127.0.0.1", "sales.example.com", env=how)
    first = {path.name: path.read_bytes() for path in (tmp_path / "s").iterdir()}
    assert first.keys() == set(COMPOSE["secrets"])
    passes("sh", DEPLOY / "secrets.sh", env=how)
    assert first == {path.name: path.read_bytes() for path in (tmp_path / "s").iterdir()}
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o700


def backup(*words: object, models: Path, store: Path) -> subprocess.CompletedProcess[str]:
    """Run deploy/backup.py on these folders."""
    uri = {"MODEL_DIR": str(models), "MLFLOW_TRACKING_URI": f"sqlite:///{store}"}
    return run(sys.executable, DEPLOY / "backup.py", *words, env=os.environ | uri)


def test_backup_and_restore(two_versions: Path, tmp_path: Path) -> None:
    models, store, saved = tmp_path / "models", tmp_path / "mlflow.db", tmp_path / "saved"
    shutil.copytree(two_versions, models)
    (models / ".building-x").mkdir()
    for path in (store, models / "ledger.sqlite3"):
        with sqlite3.connect(path) as database:
            database.execute("pragma journal_mode=wal")
            database.execute("create table runs as select 1 as n")
        database.close()
    (tmp_path / "mlartifacts").mkdir()
    (tmp_path / "mlartifacts/plot.png").write_bytes(b"a plot")
    done = backup("save", saved, models=models, store=store)
    assert done.returncode == 0, done.stderr
    assert "new folder" in backup("save", saved, models=models, store=store).stderr

    served = current_version(models)
    shutil.rmtree(models)
    models.mkdir()
    (models / "current").write_text("what was there\n")
    store.write_bytes(b"broken")
    (tmp_path / "mlartifacts/plot.png").unlink()
    done = backup("restore", saved, models=models, store=store)
    assert done.returncode == 0, done.stderr
    assert current_version(models) == served and load_bundle(models).model is not None
    assert not list(models.glob(".building-*"))
    for path in (store, models / "ledger.sqlite3"):
        database = sqlite3.connect(path)
        assert database.execute("select n from runs").fetchall() == [(1,)]
        database.close()
    assert (tmp_path / "mlartifacts/plot.png").read_bytes() == b"a plot"
    (aside,) = models.glob(".before-*/current")
    assert aside.read_text() == "what was there\n"

    (saved / "mlflow.db").write_bytes(b"damaged")
    done = backup("restore", saved, models=models, store=store)
    assert done.returncode == 2 and "damaged. Nothing was restored" in done.stderr
    assert current_version(models) == served


@pytest.mark.slow
def test_the_processes_as_they_are_written_there(tmp_path: Path) -> None:
    """PostgreSQL, MLflow, Redis, API, nginx with TLS and Prometheus together, in a network of their own."""
    needs("unshare", "ip", "nginx", "redis-server", "redis-cli", "prometheus", "openssl", "curl", "sh")
    if not list(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        pytest.skip("not installed: postgresql (make deploy-tools)")
    if run("unshare", "--net", "--mount", "true").returncode:
        pytest.skip("needs the right to make a network namespace (root)")
    how = os.environ | {
        "SECRETS": str(tmp_path / "made-secrets"),
        "SALESFORECAST": str(BIN / "salesforecast"),
    }
    passes("sh", DEPLOY / "secrets.sh", "nginx", env=how)
    found = run(
        "unshare",
        "--net",
        "--mount",
        sys.executable,
        ROOT / "tests/support/deploy_stack.py",
        tmp_path,
        cwd=ROOT,
    )
    assert found.returncode == 0, found.stdout[-3000:] + found.stderr[-5000:]
    seen = json.loads(found.stdout.splitlines()[-1])
    assert int(seen["runs"]) >= 4 and seen["artifacts"] > 0
    assert seen["smoke"].endswith("All is well.\n") and "TLSv1.3" in seen["smoke"]
    assert any("LIMITS" in key for key in seen["limits"])
    assert seen["targets"]["api"] == "up" and seen["loaded"] == "1"
    assert len(seen["rules"]) == (DEPLOY / "prometheus/alerts.yml").read_text().count("- alert:")
    assert seen["runs restored"] == seen["runs"] and seen["artifacts restored"] >= seen["artifacts"]
    assert "← served" in seen["served again"] and seen["smoke again"].endswith("All is well.\n")
