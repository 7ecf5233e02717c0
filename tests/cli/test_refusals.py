"""What cannot be done is said before the work, in a sentence: destinations, full disks, files of another kind."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from salesforecast.core.params import load_params
from salesforecast.core.settings import UserError, settings
from salesforecast.registry.events import append_event, read_events
from salesforecast.registry.manifest import Manifest
from salesforecast.registry.publishing import publish
from salesforecast.sales.reading import read_sales
from salesforecast.sales.schema import ColumnMapping
from salesforecast.sales.sinks import check_output, escape_formula, write_table
from support.models import Trained, small_disk


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading, fitting and predicting fail: what is refused is refused before them."""

    def work(*_: object, **__: object) -> None:
        raise AssertionError("the work was begun")

    for name in (
        "cli.forecasting._read_for_levels",
        "forecasting.forecaster.fit_demand",
        "registry.predictor.Predictor.load",
        "registry.predictor.predict_rows",
        "sales.reading.load_table",
        "training.daily.backtest_daily",
    ):
        monkeypatch.setattr(f"salesforecast.{name}", work)


def one_sentence(done: object, says: str) -> None:
    code, messages = done.returncode, done.stderr  # type: ignore[attr-defined]
    assert code == 2, messages
    assert says in " ".join(messages.split()), messages
    assert "Traceback" not in messages


@pytest.mark.parametrize("command", ["predict", "validate", "backtest", "forecast", "order"])
@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("table.docx", "cannot write this kind of file"),
        ("file/table.csv", "is a file, not a folder"),
        ("folder.csv", "is a folder"),
        ("sales.csv", "is the input, and would be written over"),
    ],
)
def test_a_destination_is_judged_before_the_work(
    command: str,
    place: str,
    says: str,
    trained: Trained,
    run_command: Callable,
    tmp_path: Path,
    no_work: None,
) -> None:
    source = tmp_path / "sales.csv"
    source.write_bytes(trained.source.read_bytes())
    (tmp_path / "file").touch()
    (tmp_path / "folder.csv").mkdir()

    more = {
        "predict": ["--models-dir", trained.models],
        "forecast": ["--models-dir", trained.models],
        "order": ["--by", "Product_ID", "--lead-time", 7],
    }.get(command, [])
    one_sentence(run_command(command, source, "--out", tmp_path / place, *more), says)
    assert source.read_bytes() == trained.source.read_bytes()


@pytest.mark.skipif(os.name == "nt" or os.getuid() == 0, reason="nothing is forbidden to root")
def test_a_folder_that_may_not_be_written_to_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match="may not be written to"):
        check_output(tmp_path / "a.csv")


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "parquet", "xlsx"])
def test_a_full_disk_is_a_sentence_and_leaves_the_old_file(suffix: str, tmp_path: Path) -> None:
    frame = pd.DataFrame({"text": [os.urandom(40).hex() for _ in range(20_000)]})
    with small_disk(256 * 1024) as (folder, _):
        path = folder / f"table.{suffix}"
        write_table(frame.head(3), path)
        before = path.read_bytes()
        with pytest.raises(
            UserError, match=r"table\..* cannot be written: No space left on device\. Make room"
        ):
            write_table(frame, path)
        assert path.read_bytes() == before and [each.name for each in folder.iterdir()] == [path.name]


def test_predictions_and_a_model_on_a_full_disk_are_a_sentence(
    trained: Trained, run_command: Callable, tmp_path: Path
) -> None:
    with small_disk(64 * 1024) as (folder, _):
        out = folder / "predicted.csv"
        done = run_command("predict", trained.source, "--out", out, "--models-dir", trained.models)
        one_sentence(done, "No space left on device. Make room")
        (tmp_path / "params.yaml").write_text(
            "xgboost: [{n_estimators: 5}]\nrandom_forest: [{n_estimators: 4}]\n"
        )
        words = [
            "train",
            trained.source,
            "--models-dir",
            folder / "models",
            "--params",
            tmp_path / "params.yaml",
        ]
        words += ["--processed-dir", tmp_path / "processed", "--reports-dir", tmp_path / "reports"]
        one_sentence(
            run_command(*words, env={"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}), "No space left on device"
        )
        assert {path.name for path in folder.rglob("*") if path.is_file()} <= {".training.lock"}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\x00\xff\xfe\x80" * 50, "is not YAML in UTF-8"),
        (b"a: [1,\n", "is not YAML in UTF-8"),
        (b"- 1\n- 2\n", r"holds \[1, 2\]"),
        (b"just text", "holds 'just text'"),
        (b"1: 2\n", "does not fit"),
        (b"[" * 5_000, "is not YAML in UTF-8"),
    ],
)
def test_a_parameter_file_of_another_kind_is_named(content: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"params\.yaml {says}"):
        load_params(path)
    with pytest.raises(UserError, match="cannot be read: Is a directory"):
        load_params(tmp_path)


def test_broken_lines_of_the_event_log_are_passed_over(tmp_path: Path, run_command: Callable) -> None:
    publish(tmp_path, "20260101-000000-0000", Manifest(served="xgboost"), lambda at: None)
    event = {"action": "promote", "from": None, "to": "20260101-000000-0000", "why": "the first"}
    append_event(tmp_path, event)
    with (tmp_path / "history.jsonl").open("ab") as file:
        file.write(b'{broken}\n{"action": "promote"}\n\x00\xff\n[]\n' + b"[" * 100_000 + b"\n{}\n")
    append_event(tmp_path, event | {"why": "again"})
    assert [each["why"] for each in read_events(tmp_path)] == ["the first", "again"]
    done = run_command("models", "list", "--models-dir", tmp_path)
    assert done.returncode == 0 and "20260101-000000-0000" in done.stdout


def test_what_a_kill_left_beside_current_is_removed_once_it_is_old(tmp_path: Path) -> None:
    old, new = tmp_path / ".current-1-ab", tmp_path / ".current-2-cd"
    for path in (old, new):
        path.write_text("half")
    os.utime(old, (0, time.time() - 3601))
    publish(tmp_path, "20260101-000000-0000", Manifest(), lambda at: None)
    assert not old.exists() and new.exists()


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("+1+cmd|x", "'+1+cmd|x"),
        ("-2+3+A1", "'-2+3+A1"),
        ("\t=1", "'\t=1"),
        ("-5,99 €", "-5,99 €"),
        ("-1.5e-07", "-1.5e-07"),
        ("+49 (30) 12-34", "+49 (30) 12-34"),
        ("-", "-"),
        ("plain", "plain"),
    ],
)
def test_a_formula_is_escaped_and_a_number_is_not(text: str, written: str) -> None:
    assert escape_formula(text) == written


def test_every_csv_escapes_formulas_or_none_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from salesforecast.dashboard.export import csv_bytes

    frame = pd.DataFrame({"Product": ["=1+1", "-5", None], "=x": [1, 2, 3]})
    write_table(frame, tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text().splitlines()[:2] == ["Product,'=x", '"\'=1+1",1']
    assert csv_bytes(frame, mark=False).decode().splitlines()[:3] == ["Product,'=x", '"\'=1+1",1', '"-5",2']
    monkeypatch.setenv("SALESFORECAST_ESCAPE_FORMULAS", "false")
    settings.cache_clear()
    try:
        write_table(frame, tmp_path / "a.csv")
        assert (tmp_path / "a.csv").read_text().splitlines()[:2] == ["Product,=x", '"=1+1",1']
        assert csv_bytes(frame, mark=False).decode().splitlines()[1] == '"=1+1",1'
    finally:
        monkeypatch.undo()
        settings.cache_clear()


def test_no_name_becomes_a_picture_and_no_message_has_an_address(run_command: Callable) -> None:
    done = run_command("key", "shop:rocket:tools")
    assert "shop:rocket:tools" in done.stdout + done.stderr
    frame = pd.DataFrame({"d": ["2026-01-01"], "a": [1.0]})
    with pytest.raises(UserError) as failure:
        read_sales(frame, ColumnMapping(columns={"Transaction_Date": "d", "Revenue": "a ** 2"}))
    assert " at 0x" not in str(failure.value) and "**" in str(failure.value)


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("-" * 1900 + "a", "is nested too deeply"),
        ("(" * 950 + "a" + ")" * 950, "is neither a column of the source nor an expression"),
        ("a" + "+a" * 900, "is nested too deeply"),
        ("a" * 20_000, "may have 2,000 signs, and this one has 20,000"),
    ],
    ids=["signs", "parentheses", "sum", "long"],
)
def test_a_deep_or_long_expression_is_a_sentence(expression: str, says: str) -> None:
    frame = pd.DataFrame({"d": ["2026-01-01"], "a": [1.0]})
    with pytest.raises(UserError, match=says):
        read_sales(frame, ColumnMapping(columns={"Transaction_Date": "d", "Revenue": expression}))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ["forecast", "sales.csv", "--horizon", "1000000000"],
            "'--horizon': Input should be less than or equal to 3660 ",
        ),
        (
            ["backtest", "sales.csv", "--horizon", "1000000000"],
            "'--horizon': Input should be less than or equal to 3660 ",
        ),
        (
            ["order", "sales.csv", "--by", "Product_ID", "--lead-time", "1000000000"],
            "'--lead-time': Input should be less than or equal to 366 ",
        ),
        (
            ["predict", "sales.csv", "--out", "a.csv", "--mapping", "skip.yaml"],
            "skip_rows: found 999999999. Input should be less than or equal to 10000",
        ),
        (
            ["validate", "sales.csv", "--mapping", "skip.yaml"],
            "skip_rows: found 999999999. Input should be less than or equal to 10000",
        ),
    ],
    ids=lambda value: " ".join([value[0], *value[-2:]]) if isinstance(value, list) else "",
)
def test_what_would_cost_too_much_is_refused_before_it_is_begun(
    words: list[str], says: str, trained: Trained, run_command: Callable, tmp_path: Path, no_work: None
) -> None:
    (tmp_path / "skip.yaml").write_text("read: {skip_rows: 999999999}\n")
    (tmp_path / "sales.csv").write_bytes(trained.source.read_bytes())
    more = ["--models-dir", trained.models] if words[0] == "predict" else []
    done = run_command(*(tmp_path / word if "." in word else word for word in words), *more)
    one_sentence(done, says)
    assert len(done.stderr) < 5_000
