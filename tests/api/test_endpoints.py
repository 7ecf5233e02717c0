"""The API in one process: what it answers, and what it says where it cannot."""

import gzip
import io
import json
import logging
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pandas as pd
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from salesforecast.api.auth import generate_key
from salesforecast.api.main import create_app
from salesforecast.api.model_loader import ModelStore
from salesforecast.api.routes import ROUTES
from salesforecast.core.settings import Settings, settings
from salesforecast.datasets import generate_sales, write_sales
from salesforecast.registry.files import MANIFEST
from salesforecast.registry.predictor import COLUMNS, Predictor, predict_source
from salesforecast.registry.publishing import publish
from salesforecast.registry.versions import set_current
from salesforecast.sales.chunks import iter_csv_tables
from salesforecast.sales.schema import ColumnMapping
from salesforecast.training.orchestration import train_models
from support.models import OLD, SMALL, Trained

ROW = {
    "Units_Sold": 10,
    "Unit_Price": 5.99,
    "Category": "Beauty",
    "Region": "North",
    "Transaction_Date": "2026-09-01",
}
CSV = b"Transaction_Date,Category,Region,Units_Sold,Unit_Price\n2026-09-01,Beauty,North,10,5.99\n"
POSTS = [
    route.path for route in ROUTES.values() if route.takes == "json" and route.path != "/forecast"
]  # whose body has a field that must be there
GETS = [route.path for route in ROUTES.values() if route.takes == "nothing" and route.scope == "predict"]


def client_of(models: Path, preprocessor: Path | None = None, **how: Any) -> FlaskClient:
    """A client of an app of its own; open unless told otherwise."""
    return create_app(ModelStore(models, preprocessor), Settings(**{"api_auth": "off", **how})).test_client()


@pytest.fixture(scope="module")
def client(trained: Trained) -> FlaskClient:
    """A client of an open app with a model."""
    return client_of(trained.models)


@pytest.fixture(scope="module")
def predictor(trained: Trained) -> Predictor:
    """The same model in Python."""
    return Predictor.load(trained.models)


@pytest.fixture
def two(two_versions: Path, tmp_path: Path) -> Path:
    """A folder of two versions that a test may spoil; the older one is served."""
    models = tmp_path / "models"
    shutil.copytree(two_versions, models)
    return models


def upload(client: FlaskClient, data: bytes, name: str = "rows.csv", **how: Any) -> TestResponse:
    return client.post("/predict_batch_csv", data={"file": (io.BytesIO(data), name)}, **how)


def post_raw(client: FlaskClient, path: str, body: bytes, content_type: str = "application/json") -> Any:
    return client.post(path, data=body, content_type=content_type)


def refused(result: TestResponse, status: int) -> dict[str, Any]:
    """The body of an error, which has the one shape that every error has."""
    assert result.status_code == status, result.get_data(as_text=True)[:500]
    assert result.mimetype == "application/json"
    body = result.get_json()
    assert set(body) == {"status", "code", "details", "errors", "request_id"}
    assert (body["status"], body["code"]) == ("error", status)
    assert body["request_id"] == result.headers["X-Request-ID"]
    assert "Traceback" not in body["details"]
    return body


# --- predictions ---------------------------------------------------------------------------


def test_all_ways_to_predict_give_identical_numbers(
    trained: Trained, client: FlaskClient, predictor: Predictor, run_command: Callable, tmp_path: Path
) -> None:
    frame = pd.read_csv(trained.source, dtype=str).head(60)
    few, out = tmp_path / "few.csv", tmp_path / "out.csv"
    frame.to_csv(few, index=False)
    rows = [
        row | {"Units_Sold": float(row["Units_Sold"]), "Unit_Price": float(row["Unit_Price"])}
        for row in frame.drop(columns="Revenue").to_dict("records")
    ]
    alone = [client.post("/predict", json=row).get_json() for row in rows]
    many = client.post("/predict_batch_json", json={"data": rows}).get_json()["predictions"]
    filed = upload(client, few.read_bytes()).get_json()["predictions"]
    packed = upload(client, gzip.compress(few.read_bytes()), "few.csv.gz").get_json()["predictions"]
    parquet = io.BytesIO()
    pd.read_csv(few).to_parquet(parquet)
    stored = upload(client, parquet.getvalue(), "few.parquet").get_json()["predictions"]
    from_csv = upload(client, few.read_bytes(), headers={"Accept": "text/csv"})
    as_csv = pd.read_csv(io.BytesIO(from_csv.get_data()), float_precision="round_trip")
    assert run_command("predict", few, "--out", out, "--models-dir", trained.models).returncode == 0
    typed = frame.assign(
        Transaction_Date=pd.to_datetime(frame["Transaction_Date"]).dt.normalize(),
        **{name: frame[name].astype(float) for name in ("Units_Sold", "Unit_Price")},
    )
    python = predictor.predict(typed).to_dict("records")
    assert [{name: row[name] for name in COLUMNS} for row in alone] == python
    assert many == alone
    assert filed == packed == stored == python
    assert as_csv[list(COLUMNS)].to_dict("records") == python
    assert pd.read_csv(out, float_precision="round_trip")[list(COLUMNS)].to_dict("records") == python


def test_a_prediction_has_intervals_around_it(client: FlaskClient) -> None:
    result = client.post("/predict", json=ROW).get_json()
    assert result["lower_95"] <= result["lower_80"] <= result["predicted_revenue"]
    assert result["predicted_revenue"] <= result["upper_80"] <= result["upper_95"]
    assert result["warnings"] == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"Category": None}, "Category is not given"),
        ({"Category": "Submarines"}, "Category 'Submarines' was not in the training data"),
        ({"Region": 7}, "Region '7' was not in the training data"),
        ({"Units_Sold": 1e6}, "Units_Sold 1e+06 is far above the largest"),
        ({"Unit_Price": 1e8}, "Unit_Price 1e+08 is far above the largest"),
        ({"Transaction_Date": "1999-01-01"}, "is before the history"),
        ({"Transaction_Date": "2099-01-01T10:00:00"}, "more than a year after the history"),
    ],
)
def test_what_makes_a_prediction_uncertain_is_reported(client: FlaskClient, change: dict, says: str) -> None:
    result = client.post("/predict", json=ROW | change).get_json()
    assert np.isfinite(result["predicted_revenue"])
    assert len(result["warnings"]) == 1
    assert says in result["warnings"][0]


def test_a_return_is_predicted_as_negative_revenue(client: FlaskClient) -> None:
    sold, back = (client.post("/predict", json=ROW | {"Units_Sold": n}).get_json() for n in (3, -3))
    assert back["predicted_revenue"] == -sold["predicted_revenue"]
    assert back["lower_80"] == -sold["upper_80"]


@pytest.mark.parametrize(
    ("change", "field", "value", "reason"),
    [
        ({"Units_Sold": None}, "Units_Sold", None, "is missing"),
        ({"Units_Sold": "3"}, "Units_Sold", "3", "valid number"),
        ({"Units_Sold": True}, "Units_Sold", True, "valid number"),
        ({"Units_Sold": 1e10}, "Units_Sold", 1e10, "less than or equal"),
        ({"Units_Sold": [1]}, "Units_Sold", "[1]", "valid number"),
        ({"Unit_Price": -1}, "Unit_Price", -1, "greater than or equal to 0"),
        ({"Unit_Prise": 1}, "Unit_Prise", 1, "Did you mean 'Unit_Price'?"),
        ({"": 1}, "", 1, "no such field"),
        ({"x": {"y": 1}}, "x", "{'y': 1}", "no such field"),
        ({"Category": True}, "Category", True, "valid string"),
        ({"Category": "x" * 501}, "Category", "x" * 99 + "…", "at most 500"),
        ({"Transaction_Date": "2026-02-30"}, "Transaction_Date", "2026-02-30", "YYYY-MM-DD"),
        ({"Transaction_Date": 20260230}, "Transaction_Date", 20260230, "YYYY-MM-DD"),
        ({"Transaction_Date": "1066-10-14"}, "Transaction_Date", "1066-10-14", "out of reach"),
    ],
)
def test_a_bad_field_is_named_with_value_and_reason(
    client: FlaskClient, change: dict, field: str, value: Any, reason: str
) -> None:
    for path, body, index in (
        ("/predict", ROW | change, None),
        ("/predict_batch_json", {"data": [ROW, ROW | change]}, 1),
        ("/shap_values", [ROW, ROW | change], 1),
    ):
        result = refused(client.post(path, json=body), 400)
        fault = result["errors"][0]
        assert (fault["field"], fault.get("value"), fault.get("index")) == (field, value, index)
        assert reason in fault["reason"]
        assert reason in result["details"]


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" \n",
        b"{",
        b"\xff\xfe",
        b"null",
        b"5",
        b"{}",
        b'{"data":[]}',
        b'{"Units_Sold":NaN,"Unit_Price":1}',
        b'{"Units_Sold":Infinity,"Unit_Price":1}',
        b'{"Units_Sold":1e400,"Unit_Price":1}',
        b'{"Units_Sold":1' + b"0" * 400 + b',"Unit_Price":1}',
        b'{"Units_Sold":1,"Unit_Price":1,"Category":"\\ud800"}',
        b'{"Units_Sold":1,"Unit_Price":1,"Category":"\xff"}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
    ids=lambda body: repr(body[:30]),
)
def test_a_body_that_is_no_use_is_refused(client: FlaskClient, path: str, body: bytes) -> None:
    assert refused(post_raw(client, path, body), 400)["details"]


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(
    "kind", ["", "text/plain", "multipart/form-data", "application/x-www-form-urlencoded"]
)
def test_a_body_of_another_type_is_refused(client: FlaskClient, path: str, kind: str) -> None:
    assert "application/json" in refused(post_raw(client, path, b"{}", kind), 415)["details"]


def test_a_long_list_of_items_is_predicted_and_a_longer_one_refused(client: FlaskClient) -> None:
    result = client.post("/predict_batch_json", json={"data": [ROW] * 20_000}).get_json()["predictions"]
    assert len(result) == 20_000
    assert result[-1] == client.post("/predict", json=ROW).get_json()
    assert (
        "100000" in refused(client.post("/predict_batch_json", json={"data": [{}] * 100_001}), 400)["details"]
    )
    assert "1000" in refused(client.post("/shap_values", json=[ROW] * 1001), 400)["details"]


def test_a_value_nested_very_deeply_is_refused(client: FlaskClient) -> None:
    nest = b"[" * 1000 + b"]" * 1000
    for name in (b"Units_Sold", b"Category", b"Other"):
        result = refused(
            post_raw(client, "/predict", b'{"Units_Sold":1,"Unit_Price":1,"%s":%s}' % (name, nest)), 400
        )
        assert result["errors"][0]["value"] == "a list nested very deeply"


def test_a_list_with_a_field_beside_it_is_refused(client: FlaskClient) -> None:
    result = refused(client.post("/predict_batch_json", json={"data": [ROW], "dates": []}), 400)
    assert result["errors"][0]["field"] == "dates"


@pytest.mark.parametrize("path", POSTS)
def test_json_within_a_json_text_is_refused(client: FlaskClient, path: str) -> None:
    assert "is a text" in refused(client.post(path, json=json.dumps(ROW)), 400)["details"]


# --- files ---------------------------------------------------------------------------------


def test_rows_of_a_file_that_fail_keep_their_place(client: FlaskClient) -> None:
    lines = [
        b"2026-09-01,Beauty,North,many,5.99\n",
        b"yesterday,Beauty,North,1,-5\n",
        b"2026-09-01,Toys,,2,\n",
    ]
    result = upload(client, CSV + b"".join(lines) + CSV.splitlines(keepends=True)[1]).get_json()
    assert (result["filename"], result["num_records_processed"], result["num_errors"]) == ("rows.csv", 5, 3)
    good = {
        name: value for name, value in client.post("/predict", json=ROW).get_json().items() if name in COLUMNS
    }
    rows = result["predictions"]
    assert rows[0] == rows[4] == good
    assert [(row["predicted_revenue"], row["row"]) for row in rows[1:4]] == [(None, 3), (None, 4), (None, 5)]
    assert rows[1]["errors"] == [
        {"field": "Units_Sold", "value": "many", "reason": "Units_Sold is not a number"}
    ]
    assert {error["field"] for error in rows[2]["errors"]} == {"Transaction_Date", "Unit_Price"}
    assert rows[3]["errors"][0]["reason"] == "Unit_Price is missing"


def test_a_file_comes_back_as_csv_with_predictions_appended(client: FlaskClient) -> None:
    bad = b'2026-09-01,"=cmd()",North,many,5.99\n'
    result = upload(client, CSV + bad, headers={"Accept": "text/csv"})
    assert result.mimetype == "text/csv"
    assert (result.headers["X-Num-Records"], result.headers["X-Num-Errors"]) == ("2", "1")
    rows = pd.read_csv(io.BytesIO(result.get_data()))
    assert rows.columns.tolist() == [*CSV.decode().split("\n")[0].split(","), *COLUMNS, "problem", "warning"]
    assert rows["problem"].fillna("").tolist() == ["", "Units_Sold is not a number"]
    assert rows["Category"].tolist() == ["Beauty", "'=cmd()"]
    assert np.isfinite(rows["predicted_revenue"][0])
    assert rows[list(COLUMNS)].loc[1].isna().all()


def test_values_that_the_training_did_not_have_are_reported_by_row_and_with_counts(
    client: FlaskClient,
) -> None:
    line = CSV.splitlines(keepends=True)[1]
    new = line.replace(b"Beauty", b"Moon rocks")
    body = CSV + new + new + line
    result = upload(client, body).get_json()
    assert result["warnings"] == [
        "2 rows have a Category that was not in the training data ('Moon rocks' 2); it counts as unknown"
    ]
    rows = pd.read_csv(io.BytesIO(upload(client, body, headers={"Accept": "text/csv"}).get_data()))
    said = "Category 'Moon rocks' was not in the training data; it counts as unknown"
    assert rows["warning"].fillna("").tolist() == ["", said, said, ""]
    assert said in client.post("/predict", json=ROW | {"Category": "Moon rocks"}).get_json()["warnings"]


@pytest.mark.parametrize(
    ("data", "name", "says"),
    [
        (CSV, "rows.exe", "not known"),
        (CSV, "rows", "not known"),
        (b"", "rows.csv", "empty"),
        (CSV.splitlines(keepends=True)[0], "rows.csv", "no row below"),
        (b"\0" * 5000, "rows.csv", ""),
        (b"PK\3\4" + bytes(range(256)), "rows.csv", ""),
        (b"PAR1 junk", "rows.parquet", "no Parquet file"),
        (b"", "rows.parquet", "no Parquet file"),
        (gzip.compress(CSV, mtime=0)[:-9], "rows.csv.gz", "not a whole gzip file"),
        (b"\x1f\x8bjunk", "rows.csv.gz", "not a whole gzip file"),
        (b"a,b\n1,2\n", "rows.csv", "Units_Sold"),
        (b"x" * 40_000_000, "rows.csv", ""),
    ],
    ids=lambda value: repr(value[:12]),
)
def test_a_file_that_is_no_table_is_refused(client: FlaskClient, data: bytes, name: str, says: str) -> None:
    assert says in refused(upload(client, data, name), 400)["details"]


def test_a_file_of_predictions_gets_new_ones(client: FlaskClient) -> None:
    once = upload(client, CSV, headers={"Accept": "text/csv"}).get_data()
    assert upload(client, once, headers={"Accept": "text/csv"}).get_data() == once


@pytest.mark.parametrize("mark", [b",", b";", b"\t"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_file_of_very_many_columns_is_refused_before_it_is_read(
    client: FlaskClient, mark: bytes, pack: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: object, **__: object) -> NoReturn:
        raise AssertionError("the file was read")

    monkeypatch.setattr("salesforecast.api.batch.iter_file_tables", read)
    wide = mark.join(b"c%d" % i for i in range(200_000)) + b"\n1\n"
    assert "columns" in refused(upload(client, pack(wide)), 400)["details"]


def test_a_field_of_very_many_characters_is_refused(client: FlaskClient) -> None:
    assert "no CSV" in refused(upload(client, b"\0" * 3_000_000), 400)["details"]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (None, None),
        (b"x", "multipart/form-data"),
        (b"x", "multipart/form-data; boundary=b"),
        (b'--b\r\nContent-Disposition: form-data; name="file"; filename=""\r\n\r\nx\r\n--b--', "multipart/form-data; boundary=b"),
        (b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nx\r\n--b--', "multipart/form-data; boundary=b"),
        (b'--b\r\nContent-Disposition: form-data; name="fyle"; filename="a.csv"\r\n\r\nx\r\n--b--', "multipart/form-data; boundary=b"),
    ],
)  # fmt: skip
def test_a_missing_file_is_named(client: FlaskClient, body: bytes | None, kind: str | None) -> None:
    result = refused(client.post("/predict_batch_csv", data=body, content_type=kind), 400)
    assert result["errors"] == [{"field": "file", "reason": "is missing"}]


def test_a_file_sent_as_something_else_is_refused(client: FlaskClient) -> None:
    assert "multipart" in refused(client.post("/predict_batch_csv", json=[ROW]), 415)["details"]


def test_a_compressed_file_is_unpacked_up_to_the_limit(trained: Trained) -> None:
    small = client_of(trained.models, max_upload_mb=1)
    bomb = gzip.compress(CSV + CSV.splitlines(keepends=True)[1] * 60_000)
    assert len(bomb) < 20_000
    assert "unpacks to more than 1 MB" in refused(upload(small, bomb, "rows.csv.gz"), 400)["details"]


def test_a_path_as_a_file_name_is_only_a_name(client: FlaskClient, tmp_path: Path) -> None:
    for name in ("../../etc/rows.csv", f"{tmp_path}/rows.csv", "C:\\rows.csv", "<script>.csv"):
        assert upload(client, CSV, name).get_json()["num_records_processed"] == 1
    assert list(tmp_path.iterdir()) == []


def test_a_request_that_takes_too_long_says_so(trained: Trained) -> None:
    slow = client_of(trained.models, request_timeout=1e-9)
    assert "too long" in refused(upload(slow, CSV), 408)["details"]


@pytest.mark.parametrize("path", [*POSTS, "/predict_batch_csv"])
def test_a_body_beyond_the_limit_is_refused(trained: Trained, path: str) -> None:
    small = client_of(trained.models, max_json_mb=1, max_upload_mb=1)
    kind = "multipart/form-data; boundary=b" if path.endswith("csv") else "application/json"
    refused(post_raw(small, path, b" " * (2**20 + 1), kind), 413)


# --- forecasts and explanations ------------------------------------------------------------


def forecast(client: FlaskClient, **asked: Any) -> TestResponse:
    return client.post("/forecast_sarima", json=asked)


def test_forecasts_are_those_of_python_and_mark_days_of_the_history(
    client: FlaskClient, predictor: Predictor
) -> None:
    last = predictor.history.last
    start, end = str(last - 2), str(last + 3)
    expected = predictor.forecast(start, end)
    for confidence in (80, 95):
        result = forecast(client, start_date=start, end_date=end, confidence=confidence).get_json()[
            "forecasts"
        ]
        assert [day["date"] for day in result] == [str(last + i) for i in range(-2, 4)]
        assert [day["in_history"] for day in result] == [True] * 3 + [False] * 3
        for name, column in (
            ("predicted_revenue", "predicted_revenue"),
            ("confidence_interval_lower", f"lower_{confidence}"),
            ("confidence_interval_upper", f"upper_{confidence}"),
        ):
            assert [day[name] for day in result] == expected[column].tolist()
    assert forecast(client, start_date=start, end_date=end).get_json()["forecasts"] == result


def test_a_one_step_prediction_does_not_see_its_own_day(client: FlaskClient, predictor: Predictor) -> None:
    day = str(predictor.history.last)
    result = forecast(client, start_date=day, end_date=day).get_json()["forecasts"][0]
    assert result["in_history"]
    assert (
        result["confidence_interval_lower"]
        < result["predicted_revenue"]
        < result["confidence_interval_upper"]
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"start_date": "2026-10-05", "end_date": "2026-10-01"}, "reversed"),
        ({"start_date": "soon"}, "start_date: is no date"),
        ({"start_date": "2026-10-01; DROP TABLE"}, "start_date: is no date"),
        ({"start_date": None}, "start_date"),
        ({"end_date": 5}, "end_date: is no date"),
        ({"start_date": "1999-01-01"}, "before the history"),
        ({"end_date": "2199-01-01"}, "is beyond"),
        ({"confidence": 90}, "80 or 95"),
        ({"confidence": "95"}, "80 or 95"),
        ({"confidence": None}, "80 or 95"),
        ({"horizon": 7}, "horizon: Extra inputs"),
    ],
)
def test_days_that_cannot_be_forecast_are_refused(client: FlaskClient, change: dict, says: str) -> None:
    asked = {"start_date": "2026-10-01", "end_date": "2026-10-05"} | change
    assert says in refused(forecast(client, **asked), 400)["details"]


@pytest.mark.parametrize("name", ["start_date", "end_date"])
def test_a_forecast_needs_both_days(client: FlaskClient, name: str) -> None:
    result = refused(forecast(client, **{name: "2026-10-01"}), 400)
    assert result["errors"][0]["field"] == {"start_date": "end_date", "end_date": "start_date"}[name]


def test_explanations_add_up_to_the_prediction(client: FlaskClient) -> None:
    rows = [
        ROW,
        ROW | {"Units_Sold": -2},
        ROW | {"Category": "Submarines"},
        {"Units_Sold": 0, "Unit_Price": 0},
    ]
    explained = client.post("/shap_values", json=rows).get_json()
    predictions = client.post("/predict_batch_json", json={"data": rows}).get_json()["predictions"]
    assert len(explained) == len(rows)
    for row, result, predicted in zip(rows, explained, predictions, strict=True):
        assert result["prediction"] == pytest.approx(predicted["predicted_revenue"], abs=0.005)
        for values in (result["shap_values"], result["shap_values_by_feature"]):
            assert result["base_value"] + sum(values.values()) == pytest.approx(
                result["prediction"], abs=0.005
            )
        assert result["instance_features"] == row
        assert result["explanation"]
    assert "Category" in explained[0]["shap_values_by_feature"]
    assert client.post("/shap_values", json=rows[0]).get_json() == explained[0]


# --- what is served ------------------------------------------------------------------------


def test_the_status_says_what_is_loaded(client: FlaskClient, trained: Trained) -> None:
    result = client.get("/status")
    body = result.get_json()
    assert result.status_code == 200
    assert body["status"] == "ok"
    assert (
        body["transactional_model_loaded"]
        is body["preprocessor_loaded"]
        is body["sarima_model_loaded"]
        is True
    )
    assert body["transactional_model_type"] == trained.training.manifest.model_type
    assert body["version"] == trained.training.version
    assert pd.Timestamp(body["timestamp"]) > pd.Timestamp("2026-01-01")
    assert "problem" not in body
    assert client.get("/livez").get_json() == client.get("/readyz").get_json() == {"status": "ok"}


def test_model_info_is_that_of_the_manifest(client: FlaskClient, trained: Trained) -> None:
    result, manifest = client.get("/model_info").get_json(), trained.training.manifest
    assert result["version"] == trained.training.version
    assert result["training_date"] == manifest.created
    assert result["performance_metrics"] == manifest.metrics.transactional[manifest.served]
    assert sum(result["feature_importance"].values()) == pytest.approx(1)
    assert result["features"][:3] == ["Transaction_Date", "Units_Sold", "Unit_Price"]
    assert "Beauty" in result["choices"]["Category"]
    assert set(result["baselines"]).isdisjoint({"random_forest", "xgboost"})


def test_the_history_adds_up_however_it_is_cut(client: FlaskClient, trained: Trained) -> None:
    source = pd.read_csv(trained.source, parse_dates=["Transaction_Date"])
    report = client.get("/history").get_json()
    total = sum(row["revenue"] for row in report["rows"])
    count = sum(row["transactions"] for row in report["rows"])
    assert 0.98 * len(source) < count <= len(source)
    assert total == pytest.approx(source["Revenue"].sum(), rel=0.02)
    for query in ("by=Category", "by=Region&by=Category", "frequency=week", "frequency=month&by=Region"):
        rows = client.get(f"/history?{query}").get_json()["rows"]
        assert sum(row["revenue"] for row in rows) == pytest.approx(total)
        assert sum(row["transactions"] for row in rows) == count
        assert [row["date"] for row in rows] == sorted(row["date"] for row in rows)
    beauty = client.get("/history?category=Beauty&by=Category").get_json()["rows"]
    assert {row["Category"] for row in beauty} == {"Beauty"}
    day = report["rows"][5]["date"]
    assert client.get(f"/history?start_date={day}&end_date={day}").get_json()["rows"] == [report["rows"][5]]


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("by=Customer_ID", "by"),
        ("frequency=hour", "frequency"),
        ("start_date=soon", "start_date"),
        ("start_date=", "start_date"),
        ("start_date=2026-02-02&end_date=2026-01-01", "reversed"),
        ("limit=5", "limit"),
    ],
)
def test_a_query_that_is_not_known_is_refused(client: FlaskClient, query: str, says: str) -> None:
    assert says in refused(client.get(f"/history?{query}"), 400)["details"]


def test_the_backtest_is_reported_by_model_and_days_ahead(client: FlaskClient) -> None:
    result = client.get("/backtest").get_json()
    assert result["windows"] == 2
    models = {row["model"] for row in result["rows"]}
    assert len(result["rows"]) == len(models) * result["horizon"]
    assert all(
        0 <= row["coverage_80"] <= row["coverage_95"] <= 1 and row["mae"] >= 0 for row in result["rows"]
    )


def test_the_sample_holds_past_sales_of_the_test_period_and_nobody(
    client: FlaskClient, trained: Trained
) -> None:
    result, test_start = client.get("/sample").get_json(), trained.training.manifest.split.test_start
    assert len(result["rows"]) == 500
    given = [row["transaction"] for row in result["rows"]]
    assert set().union(*given) == {*ROW, "Product_ID"}
    assert min(row["Transaction_Date"] for row in given) >= test_start
    source = pd.read_csv(trained.source)
    assert {row["revenue"] for row in result["rows"]} <= set(source["Revenue"])
    assert client.get("/sample?limit=7").get_json()["rows"] == result["rows"][:7]
    again = client.post("/predict_batch_json", json={"data": given}).get_json()["predictions"]
    missed = [abs(row["predicted_revenue"] / row["revenue"] - 1) for row in result["rows"]]
    assert len(again) == 500 and np.median(missed) < 0.2


@pytest.mark.parametrize("limit", ["0", "501", "-1", "all", ""])
def test_a_sample_of_that_size_is_refused(client: FlaskClient, limit: str) -> None:
    assert "limit" in refused(client.get(f"/sample?limit={limit}"), 400)["details"]


def test_a_version_without_a_sample_is_served_and_says_so(trained: Trained, tmp_path: Path) -> None:
    manifest = trained.training.manifest

    def without(folder: Path) -> None:
        for name in set(manifest.files) - {"sample.parquet"}:
            shutil.copy(trained.training.path / name, folder)

    publish(tmp_path / "models", OLD, manifest, without)
    client = client_of(tmp_path / "models")
    assert "Train again" in refused(client.get("/sample"), 404)["details"]
    assert client.post("/predict", json=ROW).status_code == 200


def test_what_the_mapping_calls_personal_is_not_in_the_sample(tmp_path: Path) -> None:
    source = write_sales(generate_sales(rows=3_000, seed=4), tmp_path / "sales.csv")
    mapping = ColumnMapping(personal=("Customer_ID", "Region", "Product_Name"))
    result = train_models(source, mapping, models_dir=tmp_path / "models", params=SMALL, track=False)
    sample = pd.read_parquet(result.path / "sample.parquet")
    results = {"Revenue", "Predicted_Revenue"}
    assert set(sample) == {"Transaction_Date", "Category", "Product_ID", "Units_Sold", "Unit_Price"} | results


# --- without a model, and with another -----------------------------------------------------


@pytest.mark.parametrize("there", [True, False])
def test_without_a_model_the_api_says_so_until_there_is_one(
    two_versions: Path, tmp_path: Path, there: bool
) -> None:
    models = tmp_path / "models"
    if there:
        models.mkdir()
    client = client_of(models)
    status = client.get("/status")
    assert (status.status_code, status.get_json()["status"]) == (503, "error")
    assert "MODEL_DIR" in status.text and str(tmp_path) not in status.text
    assert "salesforecast train" in status.get_json()["details"]
    assert client.get("/livez").status_code == 200
    for path in POSTS:
        body = {
            "/forecast_sarima": {"start_date": "2026-10-01", "end_date": "2026-10-01"},
            "/predict": ROW,
            "/shap_values": ROW,
        }
        refused(client.post(path, json=body.get(path, {"data": [ROW]})), 503)
    for path in ("/readyz", "/model_info", "/history", "/backtest", "/sample"):
        refused(client.get(path), 503)
    refused(upload(client, CSV), 503)
    assert b"salesforecast_model_loaded 0.0" in client.get("/metrics").get_data()
    shutil.copytree(two_versions, models, dirs_exist_ok=True)
    assert client.get("/status").status_code == client.get("/readyz").status_code == 200
    assert client.post("/predict", json=ROW).status_code == 200


def version_names(models: Path) -> list[str]:
    return sorted(path.name for path in models.iterdir() if path.is_dir())


def test_a_new_version_is_served_as_soon_as_it_is_current(two: Path) -> None:
    client, (old, new) = client_of(two), version_names(two)
    assert client.get("/status").get_json()["version"] == old
    before = client.post("/predict", json=ROW).get_json()
    set_current(two, new)
    assert client.get("/status").get_json()["version"] == new
    after = client.post("/predict", json=ROW).get_json()
    assert after["predicted_revenue"] != before["predicted_revenue"]
    reloaded = client.post("/reload_model")
    assert (reloaded.status_code, reloaded.get_json()["version"]) == (200, new)
    set_current(two, old)
    assert client.post("/reload_model").get_json()["reloaded_models"] == [
        "transactional",
        "preprocessor",
        "sarima",
    ]
    assert client.post("/predict", json=ROW).get_json() == before


def edit_manifest(folder: Path, **changes: Any) -> None:
    path = folder / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def cut(name: str) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-1])


def flip(name: str) -> Callable[[Path], Any]:
    def change(folder: Path) -> None:
        data = bytearray((folder / name).read_bytes())
        data[len(data) // 2] ^= 1
        (folder / name).write_bytes(data)

    return change


SPOILT: dict[str, tuple[Callable[[Path], Any], str]] = {
    "model cut": (cut("best_xgboost_model.pkl"), "SHA-256"),
    "preprocessor edited": (flip("preprocessor.pkl"), "SHA-256"),
    "forecast edited": (flip("sarima_model.pkl"), "SHA-256"),
    "history cut": (cut("daily_history.npz"), "SHA-256"),
    "model missing": (lambda folder: (folder / "best_xgboost_model.pkl").unlink(), "is missing"),
    "segments edited": (flip("segments.parquet"), "SHA-256"),
    "backtest missing": (lambda folder: (folder / "backtest.parquet").unlink(), "is missing"),
    "manifest cut": (cut(MANIFEST), "not readable"),
    "newer format": (lambda folder: edit_manifest(folder, format_version=99), "bundle format 99"),
    "manifest without metrics": (lambda folder: edit_manifest(folder, metrics=None), "lacks metrics"),
    "mapping of nonsense": (lambda folder: edit_manifest(folder, mapping={"moon": 1}), "does not fit"),
    "no folder": (lambda folder: shutil.rmtree(folder), "no published version"),
}


def check_the_old_version_goes_on(models: Path, spoil: Callable[[Path], Any], says: str) -> None:
    client, (old, new) = client_of(models), version_names(models)
    before = client.post("/predict", json=ROW).get_json()
    spoil(models / new)
    (models / "current").write_text(new + "\n")
    result = refused(client.post("/reload_model"), 500)
    assert says in result["details"]
    assert "goes on" in result["details"]
    assert client.post("/predict", json=ROW).get_json() == before
    status = client.get("/status").get_json()
    assert (status["status"], status["version"]) == ("ok", old)
    assert says in status["problem"]


@pytest.mark.parametrize(("spoil", "says"), SPOILT.values(), ids=SPOILT)
def test_a_damaged_version_is_refused_and_the_old_one_stays(
    two: Path, spoil: Callable[[Path], Any], says: str
) -> None:
    check_the_old_version_goes_on(two, spoil, says)


def test_a_version_that_is_repaired_can_be_loaded(two: Path) -> None:
    client, (_, new) = client_of(two), version_names(two)
    client.get("/status")
    path = two / new / "preprocessor.pkl"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])  # still being copied
    set_current(two, new)
    assert client.get("/status").get_json()["problem"]
    path.write_bytes(whole)
    assert client.post("/reload_model").get_json()["version"] == new
    assert "problem" not in client.get("/status").get_json()


@pytest.mark.parametrize("vanishes", ["current", "models"])
def test_what_is_served_outlives_its_files(two: Path, vanishes: str) -> None:
    client = client_of(two)
    before = client.post("/predict", json=ROW).get_json()
    if vanishes == "current":
        (two / "current").unlink()
    else:
        shutil.rmtree(two)
    assert client.post("/predict", json=ROW).get_json() == before
    for path in (*GETS, "/status", "/readyz"):
        assert client.get(path).status_code == 200, path
    assert client.post("/shap_values", json=ROW).status_code == 200
    refused(client.post("/reload_model"), 500)
    assert client.post("/predict", json=ROW).get_json() == before


def test_a_preprocessor_path_must_name_that_of_the_version(two: Path) -> None:
    old = version_names(two)[0]
    right = client_of(two, two / old / "preprocessor.pkl")
    assert right.get("/status").status_code == 200
    wrong = two / "other.pkl"
    wrong.write_bytes(b"other")
    assert "not the preprocessor of version" in client_of(two, wrong).get("/status").get_json()["details"]
    assert "not there" in client_of(two, two / "none.pkl").get("/status").get_json()["details"]


# --- keys ----------------------------------------------------------------------------------

KEYED = [
    ("GET" if route.takes == "nothing" and route.scope == "predict" else "POST", route.path)
    for route in ROUTES.values()
    if route.scope
]


@pytest.fixture(scope="module")
def keys() -> tuple[str, str, str]:
    """A key to predict with, one to administer with, and the lines that are kept of them."""
    (one, line), (two, other) = generate_key("shop"), generate_key("boss", ["admin"])
    return one, two, f"{line}\n{other}"


def test_keys_open_what_their_scopes_name(trained: Trained, keys: tuple[str, str, str]) -> None:
    client = client_of(trained.models, api_auth="on", api_keys=keys[2])
    for method, path in KEYED:
        refused(client.open(path, method=method), 401)
        refused(client.open(path, method=method, headers={"X-API-Key": "sf_wrong"}), 401)
        fits, other = (keys[1], keys[0]) if path == "/reload_model" else keys[:2]
        assert (
            "scope" in refused(client.open(path, method=method, headers={"X-API-Key": other}), 403)["details"]
        )
        for headers in ({"X-API-Key": fits}, {"Authorization": f"Bearer {fits}"}):
            assert client.open(path, method=method, headers=headers).status_code not in (401, 403)
    for path in ("/status", "/livez", "/readyz", "/openapi.json", "/docs/swagger"):
        assert client.get(path).status_code == 200


LOOPBACK = {"salesforecast.bound": "127.0.0.1"}


@pytest.mark.parametrize(
    ("environ", "headers", "status"),
    [
        (LOOPBACK, {}, 200),
        (LOOPBACK, {"Host": "127.0.0.1:5001"}, 200),
        (LOOPBACK, {"Host": "[::1]:5001"}, 200),
        (LOOPBACK, {"Host": "evil.example"}, 401),
        (LOOPBACK, {"Host": "localhost.evil.example"}, 401),
        (LOOPBACK, {"Host": ""}, 401),
        (LOOPBACK, {"X-Forwarded-For": "127.0.0.1"}, 401),
        (LOOPBACK, {"Forwarded": "for=127.0.0.1"}, 401),
        (LOOPBACK, {"X-Real-IP": "127.0.0.1"}, 401),
        (LOOPBACK, {"Via": "1.1 proxy"}, 401),
        ({"salesforecast.bound": "0.0.0.0"}, {}, 401),
        ({}, {}, 401),
        ({"REMOTE_ADDR": "127.0.0.1", "SERVER_NAME": "127.0.0.1"}, {}, 401),
    ],
)
def test_no_key_is_needed_only_where_a_request_is_known_to_be_local(
    trained: Trained, environ: dict, headers: dict, status: int
) -> None:
    client = client_of(trained.models, api_auth="auto")
    result = client.get("/model_info", environ_base=environ, headers={"Host": "localhost:5001"} | headers)
    assert result.status_code == status


def test_keys_can_be_required_everywhere_or_never(trained: Trained) -> None:
    far = {"headers": {"Host": "evil.example", "X-Forwarded-For": "1.2.3.4"}}
    assert client_of(trained.models, api_auth="off").get("/model_info", **far).status_code == 200
    refused(client_of(trained.models, api_auth="on").get("/model_info", environ_base=LOOPBACK), 401)


def test_configured_keys_are_required_on_loopback_too(trained: Trained, keys: tuple) -> None:
    client = client_of(trained.models, api_auth="auto", api_keys=keys[2])
    refused(client.get("/model_info", environ_base=LOOPBACK), 401)
    known = {"X-API-Key": keys[0]}
    assert client.get("/model_info", environ_base=LOOPBACK, headers=known).status_code == 200


def test_metrics_wait_for_a_process_that_has_just_made_its_file(client: FlaskClient) -> None:
    made = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"], "counter_1.db")
    made.touch()
    written = threading.Timer(0.05, made.write_bytes, [bytes(8)])
    written.start()
    assert client.get("/metrics").status_code == 200
    written.join()
    made.unlink()


# --- limits, headers, logs, metrics --------------------------------------------------------


def test_too_many_requests_are_refused_by_key(trained: Trained, keys: tuple[str, str, str]) -> None:
    client = client_of(trained.models, api_auth="on", api_keys=keys[2], rate_limit="2 per hour")
    key = {"X-API-Key": keys[0]}
    assert [client.get("/model_info", headers=key).status_code for _ in range(2)] == [200, 200]
    result = client.get("/model_info", headers=key)
    refused(result, 429)
    assert int(result.headers["Retry-After"]) > 0
    refused(client.get("/model_info", headers={"X-API-Key": keys[1]}), 403)
    assert all(client.get("/status").status_code == 200 for _ in range(5))


def test_a_rate_counts_over_all_endpoints(trained: Trained) -> None:
    client = client_of(trained.models, rate_limit="2 per hour")
    assert [client.get(path).status_code for path in GETS[:4]] == [200, 200, 429, 429]


def test_refused_requests_count_as_well(trained: Trained, keys: tuple[str, str, str]) -> None:
    client = client_of(trained.models, api_auth="on", api_keys=keys[2], rate_limit="3 per hour")
    assert [client.get("/model_info").status_code for _ in range(5)] == [401, 401, 401, 429, 429]
    assert client.get("/model_info", headers={"X-API-Key": keys[0]}).status_code == 200


def test_wrong_keys_have_a_limit_of_their_own(trained: Trained, keys: tuple[str, str, str]) -> None:
    client = client_of(trained.models, api_auth="on", api_keys=keys[2], wrong_key_limit="2 per minute")
    wrong = [client.get("/history", headers={"X-API-Key": f"guess{i}"}).status_code for i in range(4)]
    assert wrong == [401, 401, 429, 429]
    assert client.get("/history", headers={"X-API-Key": keys[0]}).status_code == 200


def test_the_root_leads_to_the_docs(client: FlaskClient) -> None:
    assert client.get("/", follow_redirects=True).request.path.startswith("/docs")


def test_more_than_a_file_is_refused_for_what_it_is(client: FlaskClient) -> None:
    two = {"file": (io.BytesIO(b"a\n1\n"), "a.csv"), "other": (io.BytesIO(b"a\n1\n"), "b.csv")}
    assert "There are 2 files" in refused(client.post("/predict_batch_csv", data=two), 400)["details"]
    fields = {f"field{i}": "x" for i in range(1_100)}
    parts = fields | {"file": (io.BytesIO(b"a\n1\n"), "a.csv")}
    assert "too many parts" in refused(client.post("/predict_batch_csv", data=parts), 413)["details"]


def test_excel_and_parquet_are_predicted_as_csv_is(client: FlaskClient) -> None:
    frame = pd.DataFrame({"Units_Sold": [1.0, 2.0], "Unit_Price": [3.0, 4.0], "Category": ["Beauty", "Toys"]})
    results = []
    for name, write in (("csv", "to_csv"), ("xlsx", "to_excel"), ("parquet", "to_parquet")):
        data = io.BytesIO()
        getattr(frame, write)(data, index=False)
        result = client.post("/predict_batch_csv", data={"file": (io.BytesIO(data.getvalue()), f"a.{name}")})
        results.append(result.get_json()["predictions"])
    assert results[0] == results[1] == results[2] and len(results[0]) == 2


def mapped_client(trained: Trained, mappings: Path) -> FlaskClient:
    mappings.mkdir()
    (mappings / "shop.yaml").write_text(
        "columns: {Units_Sold: Menge, Unit_Price: Preis, Category: Warengruppe, Transaction_Date: Tag}\n"
        "date_format: '%d.%m.%Y'\n"
    )
    (mappings / "broken.yaml").write_text("moon: 1\n")
    (mappings.parent / "secret.yaml").write_text("columns: {Units_Sold: Menge}\n")
    return client_of(trained.models, mappings_dir=mappings)


SHOP = "Tag;Warengruppe;Menge;Preis\n01.09.2026;Beauty;10;5,99\n02.09.2026;Toys;3;2,50\n"


@pytest.mark.parametrize("where", ["form", "query"])
def test_a_stored_mapping_is_named(trained: Trained, tmp_path: Path, where: str) -> None:
    client = mapped_client(trained, tmp_path / "mappings")
    form = {"mapping": "shop"} if where == "form" else {}
    result = client.post(
        "/predict_batch_csv" + ("?mapping=shop" if where == "query" else ""),
        data={"file": (io.BytesIO(SHOP.encode()), "a.csv"), **form},
    ).get_json()
    plain = (
        "Transaction_Date,Category,Units_Sold,Unit_Price\n2026-09-01,Beauty,10,5.99\n2026-09-02,Toys,3,2.50\n"
    )
    assert result["predictions"] == upload(client, plain.encode()).get_json()["predictions"]
    assert result["num_errors"] == 0 and len(result["predictions"]) == 2


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("store", "no stored mapping 'store'; there are broken, shop"),
        ("../secret", "no stored mapping '../secret'"),
        ("broken", "broken.yaml does not fit"),
    ],
)
def test_a_mapping_that_is_not_there_or_does_not_fit_is_refused(
    trained: Trained, tmp_path: Path, name: str, says: str
) -> None:
    client = mapped_client(trained, tmp_path / "mappings")
    data = {"file": (io.BytesIO(SHOP.encode()), "a.csv"), "mapping": name}
    details = refused(client.post("/predict_batch_csv", data=data), 400)["details"]
    assert says in details and str(tmp_path) not in details


def test_totals_among_the_rows_are_found_as_by_the_command(
    client: FlaskClient, trained: Trained, tmp_path: Path
) -> None:
    """A row without a category whose amounts are the sums of the rows above it has no prediction, as in the CLI."""
    rows = [
        f"2026-09-0{i % 9 + 1},Beauty,North,{i + 1},{5 + i}.5,{(i + 1) * (5 + i + 0.5)}" for i in range(8)
    ]
    revenue, units = (
        sum(float(row.split(",")[-1]) for row in rows),
        sum(int(row.split(",")[3]) for row in rows),
    )
    lines = [
        "Transaction_Date,Category,Region,Units_Sold,Unit_Price,Revenue",
        *rows,
        f",,,{units},,{revenue}",
    ]
    path = tmp_path / "sales.csv"
    path.write_text("\n".join(lines) + "\n")
    _, problems = predict_source(Predictor.load(trained.models), path)
    result = upload(client, path.read_bytes(), headers={"Accept": "text/csv"})
    table = pd.read_csv(io.BytesIO(result.get_data()), keep_default_na=False)
    assert table["problem"].tolist() == problems.tolist()
    assert "sum" in table["problem"].iloc[-1] or "total" in table["problem"].iloc[-1]
    assert (table["problem"].iloc[:-1] == "").all()


def test_a_file_in_parts_says_what_was_not_looked_for(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = b"Transaction_Date,Category,Units_Sold,Unit_Price\n" + b"2026-09-01,Beauty,10,5.99\n" * 1000
    assert upload(client, rows).get_json()["warnings"] == []
    pieces = lambda file, name, read, limit: iter_csv_tables(file, read, size=2_000)  # noqa: E731
    monkeypatch.setattr("salesforecast.api.batch.iter_file_tables", pieces)
    result = upload(client, rows).get_json()
    assert result["num_records_processed"] == 1000
    assert any("read in parts" in warning for warning in result["warnings"])


@pytest.mark.parametrize("above", [b"", b"\n\n", b"Sales of May\r\n\r\n"])
def test_columns_are_counted_wherever_the_header_stands(client: FlaskClient, above: bytes) -> None:
    wide = above + b",".join(b"c%d" % i for i in range(20_000)) + b"\n" + b"1," * 19_999 + b"1\n"
    details = refused(client.post("/predict_batch_csv", data={"file": (io.BytesIO(wide), "a.csv")}), 400)
    assert "20,000 columns" in details["details"]


def test_pages_of_origins_that_are_allowed_may_ask_before_they_send(
    trained: Trained, keys: tuple[str, str, str]
) -> None:
    origin = "https://shop.example"
    client = client_of(trained.models, api_auth="on", api_keys=keys[2], cors_origins=origin)
    asked = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "X-API-Key, Content-Type",
    }
    for path in (*POSTS, "/predict_batch_csv"):
        result = client.options(path, headers={"Origin": origin} | asked)
        assert result.status_code == 200
        assert result.headers["Access-Control-Allow-Origin"] == origin
        assert "x-api-key" in result.headers["Access-Control-Allow-Headers"].lower()
        other = client.options(path, headers={"Origin": "https://evil.example"} | asked)
        assert "Access-Control-Allow-Origin" not in other.headers


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nope", 404),
        ("GET", "/predict/", 404),
        ("GET", "/static/x", 404),
        ("GET", "/%2e%2e/etc/passwd", 404),
        ("GET", "/predict", 405),
        ("GET", "/reload_model", 405),
        ("DELETE", "/status", 405),
        ("TRACE", "/status", 405),
        ("BREW", "/status", 405),
    ],
)
def test_a_missing_path_gets_an_error_of_the_same_shape(
    client: FlaskClient, method: str, path: str, status: int
) -> None:
    result = client.open(path, method=method)
    refused(result, status)
    assert ("Allow" in result.headers) == (status == 405)


def test_a_head_is_a_get_without_a_body(client: FlaskClient) -> None:
    for path in ("/status", "/model_info", "/openapi.json"):
        result = client.head(path)
        assert (result.status_code, result.get_data()) == (200, b"")


def test_every_answer_has_the_headers_that_protect(client: FlaskClient) -> None:
    for path in ("/status", "/nope", "/openapi.json", "/docs/swagger"):
        headers = client.get(path, headers={"Origin": "https://evil.example"}).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers.getlist("Cache-Control")
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("order-17:a.b_c", True),
        ("x" * 100, True),
        ("x" * 101, False),
        ("a b", False),
        ("<script>", False),
        ("é", False),
        ("", False),
        ("a,b;c", False),
    ],
)
def test_a_request_keeps_its_id_where_that_is_harmless(client: FlaskClient, given: str, kept: bool) -> None:
    result = client.get("/nope", headers={"X-Request-ID": given})
    assert (result.headers["X-Request-ID"] == given) == kept
    assert result.get_json()["request_id"] == result.headers["X-Request-ID"] != ""


def logged(client: FlaskClient) -> io.StringIO:
    """What is logged from here on, with the model loaded."""
    text = io.StringIO()
    client.get("/status")
    logging.getLogger("salesforecast").handlers[0].setStream(text)  # type: ignore[attr-defined]
    return text


def test_the_log_has_a_line_of_json_per_request_and_nothing_of_its_content(
    trained: Trained, keys: tuple[str, str, str]
) -> None:
    client = client_of(trained.models, api_auth="on", api_keys=keys[2])
    text = logged(client)
    secret = {"Customer_ID": "CUST-SECRET", "Category": "Category-Secret"}
    head = {"X-API-Key": keys[0], "X-Request-ID": "my-id"}
    assert client.post("/predict", json=ROW | secret, headers=head).status_code == 200
    refused(client.post("/predict", json=ROW | secret | {"Secret": "Secret"}, headers=head), 400)
    refused(client.get("/history?category=Secret&limit=Secret", headers=head), 400)
    assert upload(client, CSV.replace(b"Beauty", b"Secret"), "Secret.csv", headers=head).status_code == 200
    lines = [json.loads(line) for line in text.getvalue().splitlines()]
    assert [(line["status"], line["request_id"], line["key"]) for line in lines] == [
        (status, "my-id", "shop") for status in (200, 400, 400, 200)
    ]
    assert all(line["level"] == "INFO" and line["ms"] >= 0 and line["time"] for line in lines)
    for word in ("secret", keys[0].lower(), "5.99"):
        assert word not in text.getvalue().lower()


def test_an_unexpected_failure_tells_the_log_but_not_the_caller(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = client_of(trained.models)
    log = logged(client)

    def fail(*_: Any) -> None:
        raise RuntimeError("the inner workings")

    monkeypatch.setattr(Predictor, "predict_columns", fail)
    result = refused(client.post("/predict", json=ROW), 500)
    assert "inner workings" not in json.dumps(result)
    assert "inner workings" in log.getvalue()
    assert result["request_id"] in log.getvalue()


def test_metrics_count_requests_and_rows(trained: Trained) -> None:
    client = client_of(trained.models)

    def counted(line: str) -> float:
        text = client.get("/metrics").get_data(as_text=True)
        return next((float(row.rpartition(" ")[2]) for row in text.splitlines() if row.startswith(line)), 0.0)

    asked = 'salesforecast_requests_total{endpoint="/predict_batch_json",method="POST",status="200"}'
    rows = 'salesforecast_predictions_total{endpoint="/predict_batch_json"}'
    lost = 'salesforecast_requests_total{endpoint="unmatched",method="GET",status="404"}'
    before = counted(asked), counted(rows), counted(lost)
    for _ in range(3):
        client.post("/predict_batch_json", json={"data": [ROW] * 5})
        client.get("/some/path/of/its/own")
    assert (counted(asked), counted(rows), counted(lost)) == tuple(
        a + b for a, b in zip(before, (3, 15, 3), strict=True)
    )
    assert counted("salesforecast_model_loaded") == 1
    assert f'version="{trained.training.version}"' in client.get("/metrics").get_data(as_text=True)


def test_the_description_is_openapi_31_and_the_docs_need_no_other_host(client: FlaskClient) -> None:
    described = client.get("/openapi.json").get_json()
    assert described["openapi"].startswith("3.1")
    assert set(described["paths"]) == {route.path for route in ROUTES.values()}
    predictions = ["/predict", "/predict_batch_csv", "/predict_batch_json"]
    forecasts = ["/forecast_sarima", "/forecast"]
    about = ["/model_info", "/shap_values", "/status", "/reload_model"]
    assert list(described["paths"])[:9] == predictions + forecasts + about
    page = client.get("/docs", follow_redirects=True)
    assert page.status_code == 200
    text = page.get_data(as_text=True)
    assert 'src="http' not in text and 'href="http' not in text and "//cdn" not in text


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, two_versions: Path) -> None:
    monkeypatch.setenv("SALESFORECAST_MAX_JSON_MB", "1")
    settings.cache_clear()
    try:
        client = create_app(ModelStore(two_versions)).test_client()
        result = client.post(
            "/predict", data=b" " * (2**20 + 1), content_type="application/json", environ_base=LOOPBACK
        )
        refused(result, 413)
    finally:
        monkeypatch.undo()
        settings.cache_clear()


def test_the_document_describes_the_file(client: FlaskClient) -> None:
    described = client.get("/openapi.json").get_json()["paths"]["/predict_batch_csv"]["post"]
    form = described["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["required"] == ["file"] and form["properties"]["file"]["format"] == "binary"
    assert set(described["responses"]["200"]["content"]) == {"application/json", "text/csv"}
