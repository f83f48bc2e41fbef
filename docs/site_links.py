"""MkDocs hook: show files from outside `docs/` in the site, and make links to them work there.

The pages link to files of the repository by relative paths, so that they can be read without the
site. In the site, the cards of the weights, the benchmarks' page, CONTRIBUTING.md and CHANGELOG.md
are pages, and the examples are files. A link to anything else outside `docs/` becomes plain text.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"(?P<bang>!?)\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]+)\)")
CODE = re.compile(r"(^ *```.*?^ *```$|`[^`\n]*`)", re.MULTILINE | re.DOTALL)


def outside_pages() -> dict[str, str]:
    """Return the path in the site of each file outside `docs/`, by its path in the repository."""
    pages = {f"weights/{card.name}": f"cards/{card.name}" for card in ROOT.glob("weights/*.md")}
    pages |= {f"examples/{e.name}": f"examples/{e.name}" for e in ROOT.glob("examples/[!_.]*")}
    pages["benchmarks/README.md"] = "reference/benchmarks.md"
    pages["CONTRIBUTING.md"] = "reference/contributing.md"
    pages["CHANGELOG.md"] = "reference/changelog.md"
    return pages


PAGES = outside_pages()
SOURCES = {site: repository for repository, site in PAGES.items()}


def on_files(files: Files, *, config: Any) -> Files:
    """Add the files from outside `docs/`."""
    for repository, site in PAGES.items():
        files.append(File.generated(config, site, abs_src_path=str(ROOT / repository)))
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Files) -> str:
    """Rewrite the links of a page, except in code."""
    source = SOURCES.get(page.file.src_uri, f"docs/{page.file.src_uri}")

    def rewrite(match: re.Match[str]) -> str:
        target, _, anchor = match["target"].partition("#")
        if not target or "://" in target or target.startswith("mailto:"):
            return match[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        site = PAGES.get(path, "README.md" if path == "README.md" else None)
        if site is None and path.startswith("docs/"):
            site = path.removeprefix("docs/")
        if site is None:
            return match["text"]
        relative = posixpath.relpath(site, posixpath.dirname(page.file.src_uri) or ".")
        return f"{match['bang']}[{match['text']}]({relative}{'#' + anchor if anchor else ''})"

    # A link's text may hold code, so code is put aside and back.
    kept: list[str] = []

    def put_aside(match: re.Match[str]) -> str:
        kept.append(match[0])
        return f"\x00{len(kept) - 1}\x00"

    text = LINK.sub(rewrite, CODE.sub(put_aside, markdown))
    return re.sub(r"\x00(\d+)\x00", lambda match: kept[int(match[1])], text)
