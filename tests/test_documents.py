"""Links between the project's documents."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("bundles/*/docs/README.md")])

_LINK = re.compile(r"\]\((?!\w+:)(?P<file>[^)#\s]*)(?:#(?P<heading>[^)\s]+))?\)")
_CODE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def links_of(document: Path) -> list[tuple[Path, str | None]]:
    """Return the file and the heading that each relative link of a document names."""
    found = _LINK.finditer(_CODE.sub("", document.read_text()))
    return [
        (document.parent / match["file"] if match["file"] else document, match["heading"]) for match in found
    ]


def headings_of(document: Path) -> set[str]:
    """Return the names under which a document's headings are linked to."""
    titles = re.findall(r"^#+ (.+)$", _CODE.sub("", document.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_relative_link_names_a_file_and_a_heading_that_exist(document: Path) -> None:
    links = links_of(document)
    assert not [str(file) for file, _ in links if not file.exists()]
    assert not [(str(file), name) for file, name in links if name and name not in headings_of(file)]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_command_stands_in_a_block_of_code(document: Path) -> None:
    """In a paragraph, lines run into each other, and who copies one gets half of a command or two."""
    text = _CODE.sub("", document.read_text())
    assert not re.findall(
        r"^(?:python -m |make \w+$|mcf-bundle \w+ --|for \w+ in |torchrun ).*", text, re.MULTILINE
    )


def test_the_documents_are_linked_from_the_readme() -> None:
    linked = {file.resolve() for file, _ in links_of(ROOT / "README.md")}
    assert {path for path in DOCUMENTS if path.parent == ROOT / "docs"} <= linked
