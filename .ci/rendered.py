"""Check the rendered docs: `python .ci/rendered.py _docs`; exits with 1 where a page has a fault, and lists them.

On every page: nothing is loaded from another host, links and their sections exist, pictures have an alternative text,
"Edit this page" leads to a notebook that is there, no signature is an annotation that nobody can read, and the two hyphens
of an option have not become a dash.
"""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).parents[1]
UNREADABLE = re.compile(r"\*\*data:\s*Any|:\s*Annotated\b|<object object at 0x")
DASHED = re.compile(r"(?<!\w)[–—][a-z][a-z-]+")  # --overrides, set by smart typography
EDIT = re.compile(r"//github\.(?:com|dev)/salesforecast/salesforecast/(?:edit|blob)/main/([^#]+)")


class Page(HTMLParser):
    """The links, anchors, resources and pictures of a page, and its text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.resources: list[str] = []
        self.without_alt: list[str] = []
        self.text: list[str] = []
        self._silent = 0
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep what the tag refers to."""
        values = {name: value or "" for name, value in attrs}
        self._silent += tag in ("script", "style")
        self.anchors |= {values[name] for name in ("id", "name") if values.get(name)}
        if tag == "a" and values.get("href"):
            self.links.append(values["href"])
        if tag in ("script", "img", "iframe", "source") and values.get("src"):
            self.resources.append(values["src"])
        if tag == "link" and "stylesheet" in values.get("rel", ""):
            self.resources.append(values["href"])
        if tag == "img" and not values.get("alt", "").strip():
            self.without_alt.append(values.get("src", "")[:60])

    def handle_endtag(self, tag: str) -> None:
        """Listen again after a script."""
        self._silent -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        """Keep what is read."""
        if not self._silent:
            self.text.append(data)


def elsewhere(address: str) -> bool:
    """Tell whether an address is on another host."""
    return address.startswith("//") or urlsplit(address).scheme in ("http", "https")


def link_fault(link: str, path: Path, pages: dict[Path, Page]) -> str | None:
    """Return what is wrong with a link of a page; None for a right one, and for those to other sites."""
    if edited := EDIT.search(link):
        return None if (ROOT / unquote(edited[1])).exists() else f"no file to edit: {link}"
    parts = urlsplit(link)
    if parts.scheme or link.startswith("//"):
        return None
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path.resolve()
    target = target / "index.html" if target.is_dir() else target
    if not target.exists():
        return f"no such page: {link}"
    anchor = unquote(parts.fragment)
    if anchor and target in pages and anchor not in pages[target].anchors:
        return f"no such section: {link}"
    return None


def faults(folder: Path) -> list[str]:
    """List the faults of all pages in a folder, each with its page."""
    pages = {path.resolve(): Page(path) for path in sorted(folder.rglob("*.html"))}
    if not pages:
        return [f"{folder} has no pages"]
    out = []
    for path, page in pages.items():
        found = [f"loaded from another host: {address}" for address in page.resources if elsewhere(address)]
        found += [fault for link in dict.fromkeys(page.links) if (fault := link_fault(link, path, pages))]
        found += [f"a picture without alternative text: {source}" for source in page.without_alt]
        text = " ".join(page.text)
        found += [f"a signature that nobody can read: {each}" for each in UNREADABLE.findall(text)]
        found += [f"an option with a dash: {each}" for each in DASHED.findall(text)]
        out += [f"{path.relative_to(folder.resolve())}: {fault}" for fault in found]
    return out


if __name__ == "__main__":
    wrong = faults(Path(sys.argv[1]))
    print("\n".join(wrong) or "All rendered pages are right.")
    sys.exit(bool(wrong))
