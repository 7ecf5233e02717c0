"""Reports are readable on light pages, on dark ones and on paper."""

from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Browser

from salesforecast.lifecycle.report_parts import level_badge, status_box, table, tiles
from salesforecast.lifecycle.run_page import render_page
from support.browsing import chromium

# the contrast of each text with what is behind it, all translucent layers painted one upon the other
CONTRASTS = """() => {
  const canvas = document.createElement('canvas'); canvas.width = canvas.height = 1;
  const paper = canvas.getContext('2d', {willReadFrequently: true});
  const paint = (colour, alpha = 1) => {
    paper.globalAlpha = alpha; paper.fillStyle = colour; paper.fillRect(0, 0, 1, 1);
    return [...paper.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const luminance = rgb => rgb.map(c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const texts = [...document.querySelectorAll('body *')].filter(one => !['STYLE', 'SCRIPT'].includes(one.tagName)
    && [...one.childNodes].some(child => child.nodeType === 3 && child.data.trim()));
  return texts.map(one => {
    const around = []; for (let e = one; e; e = e.parentElement) around.unshift(getComputedStyle(e));
    const print = matchMedia('print').matches, dark = matchMedia('(prefers-color-scheme: dark)').matches && !print;
    let behind = paint(around[0].colorScheme.includes('dark') && dark ? '#121212' : '#ffffff');
    for (const style of around) behind = paint(style.backgroundColor);
    const opacity = around.reduce((all, style) => all * Number(style.opacity), 1);
    const front = paint(getComputedStyle(one).color, opacity);
    const [low, high] = [luminance(front), luminance(behind)].sort((a, b) => a - b);
    return [one.textContent.trim().slice(0, 30), (high + 0.05) / (low + 0.05), luminance(behind)];
  });
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


def parts() -> str:
    """Every part of a report."""
    rows = [["performance", level_badge("ok")], ["drift", level_badge("critical")]]
    boxes = [
        status_box(f"A {kind} outcome.", kind, "Compared on 62 days.") for kind in ("good", "mid", "bad")
    ]
    found = [*boxes, tiles({"sales": "52,041"}), table(["check", "level"], rows, chosen=0)]
    return "".join(part.data for part in found)


def contrasts(
    browser: Browser, html: str, scheme: str, media: str = "screen"
) -> list[tuple[str, float, float]]:
    """Each text of a page with its contrast, and how bright what is behind it is."""
    page = browser.new_page(color_scheme=scheme)
    page.emulate_media(color_scheme=scheme, media=media)
    page.set_content(html)
    found = page.evaluate(CONTRASTS)
    page.close()
    return found


@pytest.mark.parametrize("colours", ["color:#212529;background:#fff", "color:#fff;background:#222"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_report_has_the_colours_of_the_page_around_it(browser: Browser, colours: str, scheme: str) -> None:
    """Whatever the browser prefers: a site and JupyterLab have a theme of their own."""
    found = contrasts(browser, f'<body style="{colours}">{parts()}</body>', scheme)
    assert len(found) == 14
    assert [one for one in found if one[1] < 4.5] == []


@pytest.mark.parametrize(
    ("scheme", "media", "is_dark"),
    [("light", "screen", False), ("dark", "screen", True), ("dark", "print", False)],
)
def test_the_page_of_a_run_follows_the_browser_and_prints_light(
    browser: Browser, tmp_path: Path, scheme: str, media: str, is_dark: bool
) -> None:
    v4 = nbformat.v4
    output = v4.new_output("execute_result", {"text/html": parts()}, execution_count=1)
    cells = [
        v4.new_markdown_cell("# A run\n\n## What is served\n\nWords."),
        v4.new_code_cell("1", outputs=[output]),
    ]
    nbformat.write(v4.new_notebook(cells=cells), tmp_path / "run.ipynb")
    found = contrasts(browser, render_page(tmp_path / "run.ipynb", "The kernel died."), scheme, media)
    assert len(found) > 14
    assert [one for one in found if one[1] < 4.5] == []
    assert {one[2] < 0.2 for one in found} == {is_dark}
