"""Prepare the pages of the docs in `_proc`: what nbdev makes of the notebooks, and what it leaves undone.

nbdev shows a pydantic class as `**data:Any`; here its fields are listed. Quarto loads jQuery and require.js from elsewhere
for every page with an HTML output; so these become raw HTML. A chart gets the words before it as alternative text. The
search looks through prose and reference, not through the pages of modules, whose names the page of the library lists.
"""

import json
import re
import shutil
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

ROOT = Path(__file__).parents[1]
SEARCHED = ("index", "front_door", "tutorials", "how-to", "explanations", "reference")
ALT_LENGTH = 160
PICTURE = re.compile(
    r"^!\[([^\]]+)\]\([^)]+\)$", re.M
)  # alone in its line: its words become a caption, not an alt text


def annotation_text(annotation: object) -> str:
    """Return a type as one would write it."""
    text = (
        annotation.__name__
        if isinstance(annotation, type) and not hasattr(annotation, "__args__")
        else str(annotation)
    )
    text = re.sub(r", (?:\w+Validator|\w+Constraints|FieldInfo|Strict)\(.*?\)(?=[\],])", "", text)
    text = re.sub(r"Annotated\[([^,\]]+(?:\[[^\]]*\])?)[^|]*\]", r"\1", text)
    return re.sub(r"\b(?:\w+\.)+(\w+)", r"\1", text)


def fields_table(model: type[BaseModel]) -> str:
    """Return the fields of a model as a table: name, type, default, meaning."""
    lines = ["| field | type | default | meaning |", "|:---|:---|:---|:---------|"]
    for name, field in model.model_fields.items():
        default = "needed" if field.is_required() else f"`{json.dumps(field.default, default=str)}`"
        if field.default is PydanticUndefined and not field.is_required():
            default = f"`{json.dumps(field.default_factory(), default=str)}`"  # type: ignore[misc,call-arg]
        cells = (f"`{name}`", f"`{annotation_text(field.annotation)}`", default, field.description or "")
        lines.append("| " + " | ".join(cell.replace("|", r"\|").replace("\n", " ") for cell in cells) + " |")
    return "\n".join(lines)


def model_output(model: type[BaseModel]) -> str:
    """Return what stands on a page for a pydantic class."""
    about = (model.__doc__ or "").strip().partition("\n\n")[0]
    return f"---\n\n### {model.__name__}\n\n*{about}*\n\n{fields_table(model)}\n"


def page_module(page: Path) -> str:
    """Return the module that a notebook exports; empty for a page of prose."""
    found = re.search(r"#\| default_exp ([\w.]+)", (ROOT / "nbs" / page).read_text(encoding="utf-8"))
    return f"salesforecast.{found[1]}" if found else ""


def alternative_text(prose: str) -> str:
    """Return the last sentences before a chart, without markup, as its alternative text."""
    plain = re.sub(r"```.*?```", " ", prose, flags=re.S)
    plain = re.sub(r"^[ \t]*[|#>].*$|!\[[^\]]*\]\([^)]*\)", " ", plain, flags=re.M)
    plain = re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", plain)
    plain = " ".join(re.sub(r"[*`_\"\\]", "", plain).split())
    sentences = re.split(r"(?<=[.:?])\s+", plain)
    text = sentences[-1]
    for sentence in reversed(sentences[:-1]):
        if len(sentence) + len(text) > ALT_LENGTH:
            break
        text = f"{sentence} {text}"
    return text.rstrip(":")


def outputs_with(cell: dict[str, Any], *kinds: str) -> Iterator[dict[str, Any]]:
    """Yield the data of the outputs that have one of these MIME types."""
    for output in cell.get("outputs", []):
        if any(kind in output.get("data", {}) for kind in kinds):
            yield output["data"]


def finish_cell(cell: dict[str, Any], module: str, prose: str) -> None:
    """Put right what nbdev and Quarto make of a cell of code."""
    source = "".join(cell["source"])
    for data in outputs_with(cell, "text/markdown"):
        shown = re.search(r"show_doc\((\w+)", source)
        if shown and "**data:Any" in "".join(data["text/markdown"]):
            data["text/markdown"] = model_output(getattr(import_module(module), shown[1]))
            data.pop("text/plain", None)
    for data in outputs_with(cell, "text/html"):
        data["text/markdown"] = "```{=html}\n" + "".join(data.pop("text/html")) + "\n```\n"
    images = list(outputs_with(cell, "image/png", "image/svg+xml", "image/jpeg"))
    if images and "fig-alt" not in source:
        cell["source"] = [f'#| fig-alt: "{alternative_text(prose)}"\n', *source.splitlines(True)]


def finish_page(path: Path, page: Path) -> None:
    """Put right what nbdev and Quarto make of a page."""
    notebook, module = json.loads(path.read_text(encoding="utf-8")), page_module(page)
    prose = f"# {module.rpartition('.')[2].replace('_', ' ')}"
    searched = page.parts[0].removesuffix(".ipynb") in SEARCHED
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "raw" and source.startswith("---") and not searched:
            cell["source"] = source.replace("---\n", "---\nsearch: false\n", 1).splitlines(True)
        elif cell["cell_type"] == "markdown":
            cell["source"] = PICTURE.sub(r'\g<0>{fig-alt="\1"}', source).splitlines(True)
            prose = source if re.sub(r"<!--.*?-->", "", source).strip() else prose
        elif cell["cell_type"] == "code":
            finish_cell(cell, module, prose)
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False), encoding="utf-8")


def add_pages(made: Path) -> None:
    """Add the change log, the icon and Quarto's configuration."""
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").partition("\n")[2]
    front = "---\ntitle: Changes\nsubtitle: What is new in each release\nrepo-actions: false\n---\n"
    (made / "reference" / "changes.md").write_text(front + changes, encoding="utf-8")
    for name in ("images/favicon.svg", "theme.scss", "theme-dark.scss"):
        (made / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / "nbs" / name, made / name)
    shutil.copy(ROOT / "_quarto.yml", made / "_quarto.yml")


def main(made: Path) -> None:
    """Finish the pages that nbdev has prepared in a folder."""
    for path in sorted(made.rglob("*.ipynb")):
        finish_page(path, path.relative_to(made))
    add_pages(made)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
