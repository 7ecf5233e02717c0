"""The how-to page about forecast models, executed as it is written."""

import json

from support.models import ROOT

PAGE = ROOT / "nbs" / "how-to" / "add-a-forecast-model.ipynb"


def test_the_page_adds_models_that_are_selected() -> None:
    names: dict = {}
    for cell in json.loads(PAGE.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    tried = set(names["board"]["model"])
    assert {"my_theta", "my_ridge", "ets_seasonal", "seasonal_naive"} <= tried
    assert any("my_" in champion.name for champion in names["model"].champions)
