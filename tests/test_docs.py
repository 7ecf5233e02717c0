"""What Quarto would trip over in the docs: the pages, their links, their outputs, and `_quarto.yml`."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import unquote

import pytest
import yaml
from typer.main import get_command

from salesforecast.api.main import create_app
from salesforecast.cli.main import app
from salesforecast.core.params import DriftParams
from salesforecast.core.settings import Settings, environment_variable

ROOT = Path(__file__).parents[1]
NBS = ROOT / "nbs"
PAGES = sorted(path for path in NBS.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
PROSE = {"index", "tutorials", "how-to", "explanations"}  # pages that are read for what their cells print


def cells(page: Path, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for cell in json.loads(page.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == kind:
            yield "".join(cell["source"]), cell


def name(page: Path) -> str:
    return page.relative_to(NBS).as_posix()


def listed(contents: Any) -> Iterator[str]:
    """The pages that a sidebar names, patterns resolved."""
    for entry in [contents] if isinstance(contents, str) else contents:
        if isinstance(entry, dict):
            yield from listed(entry.get("contents", entry.get("href", [])))
        else:
            if entry == "reference/changes.md":  # made from CHANGELOG.md
                continue
            found = [name(page) for page in NBS.glob(entry)]
            assert found, f"{entry} of the sidebar names no page"
            yield from found


PAGE_SOURCES = ("settings.ini", "_quarto.yml", "setup.py", "CHANGELOG.md", ".ci/pages.py")


def quarto() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "_quarto.yml").read_text(encoding="utf-8"))


def test_the_configuration_has_only_keys_that_quarto_knows(tmp_path: Path) -> None:
    """panache carries Quarto's own schema; a mistake shows that it looks."""
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    rules = 'select = ["quarto-schema", "quarto-schema-unknown-key"]'
    (tmp_path / "panache.toml").write_text(f'flavor = "quarto"\n[lint]\n{rules}\n', encoding="utf-8")
    for text, faults in (
        ((ROOT / "_quarto.yml").read_text(encoding="utf-8"), 0),
        ("website: {titel: x}\n", 1),
    ):
        (tmp_path / "_quarto.yml").write_text(text, encoding="utf-8")
        done = subprocess.run(
            [str(Path(sys.executable).with_name("panache")), "lint", "--check", "_quarto.yml"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert (done.returncode != 0) == bool(faults), done.stdout + done.stderr


def test_the_sidebar_names_every_page_once() -> None:
    found = list(listed(quarto()["website"]["sidebar"]["contents"]))
    assert len(found) == len(set(found))
    assert sorted(found) == sorted(map(name, PAGES))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_a_page_begins_with_a_title_and_a_line_about_it(page: Path) -> None:
    kind, first = next((c["cell_type"], "".join(c["source"])) for c in json.loads(page.read_text())["cells"])
    assert kind == "markdown" and re.fullmatch(r"# [^\n]+\n\n> [^\n]+", first.strip())


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_and_images_are_there(page: Path) -> None:
    for text, _ in cells(page, "markdown"):
        for target in LINK.findall(re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.S)):
            if re.match(r"[a-z]+:|#", target):
                continue
            path = page.parent / unquote(target.partition("#")[0])
            assert path.exists(), f"{target} is not there"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_outputs_are_no_errors_and_name_no_path_of_a_machine(page: Path) -> None:
    for source, cell in cells(page, "code"):
        for output in cell["outputs"]:
            assert output["output_type"] != "error" or "raises-exception" in source
            said = json.dumps({k: v for k, v in output.items() if k in ("text", "data", "traceback")})
            assert not re.search(r"(?<![\w.])/(tmp|home|root|work|Users|var/folders)/", said), source[:80]


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page.relative_to(NBS).parts[0].removesuffix(".ipynb") in PROSE],
    ids=name,
)
def test_what_a_page_of_prose_shows_has_been_run(page: Path) -> None:
    """A cell that ends in an expression, and is shown, has an output."""
    for source, cell in cells(page, "code"):
        code = [line for line in source.splitlines() if line.strip() and not line.startswith("#")]
        hidden = re.search(r"^#\| *(hide|eval: *false|include: *false)", source, re.M)
        shows = code and re.match(r"(print|show)\(|[\w.\[\]\"']+$", code[-1])
        assert hidden or not shows or cell["outputs"], source[:200]


UNSEEN = re.compile(
    r"^#\| *(hide$|exports?i?$|echo: *false|include: *false)", re.M
)  # cells whose code no reader sees


def unknown_names(page: Path) -> list[str]:
    """List what the visible cells of a page use before they import or define it."""
    visible = [source for source, _ in cells(page, "code") if not UNSEEN.search(source)]
    options = ["--isolated", "--select", "F821", "--output-format", "concise", "--config"]
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", *options, 'builtins = ["display"]', "-"],
        input="\n".join(visible),
        capture_output=True,
        text=True,
    )
    assert done.returncode in (0, 1), done.stderr
    return sorted(set(re.findall(r"F821 Undefined name `(\w+)`", done.stdout)))


COPIED = PROSE | {"front_door"}  # pages whose examples a reader copies


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page.relative_to(NBS).parts[0].removesuffix(".ipynb") in COPIED],
    ids=name,
)
def test_the_examples_of_a_page_import_what_they_use(page: Path) -> None:
    """Who copies the cells that are to be seen, from the top, meets no NameError."""
    assert unknown_names(page) == []


@pytest.mark.slow
def test_pages_are_prepared_and_load_nothing_from_elsewhere(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for path in tracked.splitlines():
        if path.startswith(("nbs/", "salesforecast/")) or path in PAGE_SOURCES:
            (copy / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / path, copy / path)
    code = "from nbdev.quarto import proc_nbs; proc_nbs(force=True)"
    subprocess.run([sys.executable, "-c", code], cwd=copy, check=True, timeout=600, capture_output=True)
    subprocess.run([sys.executable, ".ci/pages.py", "_proc"], cwd=copy, check=True, timeout=120)
    made = {path.relative_to(copy / "_proc").as_posix() for path in (copy / "_proc").rglob("*.ipynb")}
    assert made == {name(page) for page in PAGES}
    for path in (copy / "_proc").rglob("*.ipynb"):
        content = path.read_text(encoding="utf-8")
        assert "**data:Any" not in content, f"{path.name} shows a pydantic class without its fields"
        for source, cell in cells(path, "code"):
            data = [output["data"] for output in cell.get("outputs", []) if "data" in output]
            kinds = {kind for found in data for kind in found}
            # Quarto would load jQuery and require.js from elsewhere
            assert not kinds & {"text/html", "application/javascript"}, path.name
            assert "fig-alt" in source or not any(kind.startswith("image/") for kind in kinds), path.name
            shown = " ".join("".join(found.get("text/markdown", "")) for found in data)
            assert not re.search(r"<(script|link|img)[^>]+(src|href)=.https?:", shown), path.name
        for source, _ in cells(path, "markdown"):
            assert not re.search(r"^!\[[^\]]+\]\([^)]+\)$", source, re.M), (
                "a picture's words are its caption only"
            )


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_pictures_have_an_alternative_text(page: Path) -> None:
    """A picture's own, of more words than the name of a tab; a chart's `fig-alt`, or the words before it."""
    prose, words = "", ci_script("pages").alternative_text
    for cell in json.loads(page.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            prose = source
            assert [alt for alt in re.findall(r"!\[([^\]]*)\]\(", source) if len(alt.split()) < 6] == []
        kinds = [kind for output in cell.get("outputs", []) for kind in output.get("data", {})]
        if any(kind.startswith("image/") for kind in kinds):
            assert "#| fig-alt:" in source or len(words(prose).split()) > 5, source[:200]


def ci_script(name: str) -> ModuleType:
    """Import a script of `.ci`."""
    loader = SourceFileLoader(name, str(ROOT / ".ci" / f"{name}.py"))
    module = module_from_spec(spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


EDIT = "https://github.com/salesforecast/salesforecast/edit/main"
RIGHT = f"""<a href="{EDIT}/nbs/index.ipynb">Edit</a> <a href="https://github.com/a/b/blob/main/c.py#L10">c</a> <a href="sub/two.html#part">two</a>
<h2 id="here">Here</h2> <a href="#here">here</a> <a href="sub/">two</a> <img src="a.png" alt="A chart">
<p>Mon–Fri – as --overrides</p> <script src="site_libs/a.js">loads: Annotated</script><link rel="stylesheet" href="a.css">"""
WRONG = [
    ('<script src="https://cdn.example.org/a.js"></script>', "another host: https://cdn.example.org/a.js"),
    ('<link rel="stylesheet" href="//cdn.example.org/a.css">', "another host: //cdn.example.org/a.css"),
    ('<a href="three.html">three</a>', "no such page: three.html"),
    ('<a href="sub/two.html#none">two</a>', "no such section: sub/two.html#none"),
    ('<a href="#nowhere">here</a>', "no such section: #nowhere"),
    (f'<a href="{EDIT}/index.ipynb">Edit</a>', "no file to edit"),
    ('<img src="a.png" alt=" ">', "without alternative text: a.png"),
    ("<td>as (–overrides)</td>", "an option with a dash: –overrides"),
    ("<p>DriftParams (**data:Any)</p>", "nobody can read: **data:Any"),
    ("<p>main (source:Annotated[str])</p>", "nobody can read: :Annotated"),
]


@pytest.mark.parametrize(("part", "fault"), WRONG, ids=[fault for _, fault in WRONG])
def test_faults_of_rendered_pages_are_found(tmp_path: Path, part: str, fault: str) -> None:
    rendered = ci_script("rendered")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "two.html").write_text('<h1 id="part">Two</h1>')
    (tmp_path / "sub" / "index.html").write_text("")
    (tmp_path / "index.html").write_text(RIGHT)
    assert rendered.faults(tmp_path) == []
    (tmp_path / "index.html").write_text(RIGHT + part)
    (found,) = rendered.faults(tmp_path)
    assert found.startswith("index.html: ") and fault in found


def test_fields_and_charts_are_described() -> None:
    """What `.ci/pages.py` makes of a class and of the words before a chart."""
    pages = ci_script("pages")
    shown = pages.model_output(DriftParams)
    row = next(line for line in shown.splitlines() if line.startswith("| `psi`"))
    assert (
        "`float`" in row
        and str(DriftParams().psi) in row
        and DriftParams.model_fields["psi"].description in row
    )
    assert all(f"`{name}`" in shown for name in DriftParams.model_fields)
    prose = "# Errors\n\nFirst. The `error` of [each month](x.html) is drawn:"
    assert pages.alternative_text(prose) == "First. The error of each month is drawn"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_a_notebook_names_its_kernel_and_nothing_else(page: Path) -> None:
    kernel = {"display_name": "python3", "language": "python", "name": "python3"}
    assert json.loads(page.read_text(encoding="utf-8"))["metadata"] == {"kernelspec": kernel}


PROSE_PAGES = [
    page for page in PAGES if page.relative_to(NBS).parts[0].removesuffix(".ipynb") in PROSE | {"reference"}
]


@pytest.mark.parametrize("page", PROSE_PAGES, ids=name)
def test_the_columns_of_tables_have_names(page: Path) -> None:
    texts = [shown(name(page)), *(source for source, _ in cells(page, "markdown"))]
    heads = [head for text in texts for head in re.findall(r"^\|(.+)\|\n\| *:?-", text, re.M)]
    assert [head for head in heads if "" in map(str.strip, head.split("|"))] == []


def test_the_readme_is_the_home_page() -> None:
    """`make readme` makes it; its links lead into nbs/."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    home = "\n\n".join(text for text, _ in cells(NBS / "index.ipynb", "markdown"))
    inside = r"\]\((images|tutorials|how-to|explanations|reference)/"
    assert readme.split() == re.sub(inside, r"](nbs/\1/", home).split()
    for target in LINK.findall(readme):
        assert re.match(r"[a-z]+:|#", target) or (ROOT / target).exists(), f"{target} is not there"


def shown(page: str) -> str:
    """The Markdown that the cells of a page display."""
    return "\n".join(
        "".join(output["data"].get("text/markdown", ""))
        for _, cell in cells(NBS / page, "code")
        for output in cell["outputs"]
        if "data" in output
    )


OTHER_VARIABLES = {"SALESFORECAST_SECRETS_DIR", "SALESFORECAST_REAL_DATA"}
COMMAND = re.compile(r"(?:^|[`\s])(?<!import )salesforecast ((?:[a-z]+ ?)+)([^`\n|#]*)", re.M)


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page.relative_to(NBS).parts[0].removesuffix(".ipynb") in PROSE],
    ids=name,
)
def test_a_page_of_prose_names_commands_options_and_settings_that_exist(page: Path) -> None:
    text = "\n".join(source for source, _ in cells(page, "markdown"))
    settings = {environment_variable(field) for field in Settings.model_fields} | OTHER_VARIABLES
    named = {found.rstrip("_") for found in re.findall(r"SALESFORECAST_[A-Z_]+\b", text)}
    assert {found for found in named if not any(found in known for known in settings)} == set()
    blocks = re.findall(r"```(\w*)\n(.*?)```", text, re.S)
    inline = re.findall(r"`[^`\n]+`", re.sub(r"```.*?```", "", text, flags=re.S))
    code = "\n".join([block for language, block in blocks if language in ("", "sh", "bash")] + inline)
    code = code.replace("\\\n", " ")
    for words, rest in COMMAND.findall(code):
        command, below = get_command(app), words.split()
        while below and below[0] in getattr(command, "commands", {}):
            command = command.commands[below.pop(0)]
        assert command.name != "salesforecast" and command is not get_command(app), f"salesforecast {words}"
        options = {
            option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)
        }
        unknown = set(re.findall(r"(?<!\S)--[a-z][a-z-]*", rest)) - options
        assert unknown <= {"--help"}, f"salesforecast {words}: {unknown}"


def test_the_reference_names_every_setting_command_and_endpoint() -> None:
    """The pages are made from the program; a program that has grown wants them executed anew."""
    told = shown("reference/settings.ipynb")
    assert [name for name in Settings.model_fields if f"`{environment_variable(name)}`" not in told] == []
    told, click = shown("reference/cli.ipynb"), get_command(app)
    below = {name: getattr(command, "commands", {}) for name, command in click.commands.items()}
    words = [f"{name} {inner}" for name, group in below.items() for inner in group]
    words += [name for name, group in below.items() if not group]
    assert [word for word in words if f"## `salesforecast {word}`" not in told] == []
    told, document = shown("reference/api.ipynb"), create_app().api_doc
    assert [path for path in document["paths"] if f" {path}`" not in told] == []
    assert [name for name in document["components"]["schemas"] if f"### {name}\n" not in told] == []


FOLDERS = sorted({page.parent for page in NBS.rglob("[0-9][0-9]_*.ipynb") if page in PAGES})


@pytest.mark.parametrize("folder", FOLDERS, ids=name)
def test_the_notebooks_of_a_folder_are_numbered_by_import(folder: Path) -> None:
    """Each number once, from 00 on, and no notebook before one of those that it imports."""
    pages = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    assert [page.name[:2] for page in pages] == [f"{i:02}" for i in range(len(pages))]
    numbers = {
        f"salesforecast.{found[1]}": i
        for i, page in enumerate(pages)
        if (found := re.search(r"#\| default_exp ([\w.]+)", page.read_text(encoding="utf-8")))
    }
    assert len(numbers) == len(pages)
    late = [
        (page.name, module)
        for i, page in enumerate(pages)
        for source, _ in cells(page, "code")
        if source.startswith("#| export")
        for module in re.findall(r"(?m)^\s*from (salesforecast[\w.]*) import", source)
        if numbers.get(module, -1) > i
    ]
    assert not late


def test_the_architecture_page_names_every_module() -> None:
    """Its table is made from the notebooks; a new module wants the page executed anew."""
    exported = re.compile(r"#\| default_exp ([\w.]+)")
    modules = {
        page: exported.search(text)
        for page in PAGES
        for text, _ in cells(page, "code")
        if exported.match(text)
    }
    table = shown("explanations/architecture.ipynb")
    missing = [
        name(page)
        for page, module in modules.items()
        if module and f"[`{module[1]}`](../{name(page)})" not in table
    ]
    assert missing == []


def test_the_security_page_names_tests_that_exist() -> None:
    text = "\n".join(source for source, _ in cells(NBS / "explanations/security.ipynb", "markdown"))
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", text)
    for file, function in named:
        assert f"def {function}(" in (ROOT / "tests" / file).read_text(encoding="utf-8"), (
            f"{file}::{function}"
        )
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    claims = [line for line in rows if len(re.split(r"(?<!\\)\|", line)) == 6]
    heads = [line for line in claims if line.startswith("| who sends what")]
    assert len(heads) == 4 and len(claims) > 25
    for line in claims:
        assert line in heads or "::test_" in line, f"no test: {line}"
