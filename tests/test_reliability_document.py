"""docs/reliability.md against the tests that it names."""

from __future__ import annotations

import re

import pytest

from tests.test_documents import ROOT

PAGE = (ROOT / "docs" / "reliability.md").read_text()
ROWS = [
    line for line in PAGE.splitlines() if line.startswith("| ") and not re.match(r"\| (Promise|---)", line)
]
SOURCES = [path.read_text() for path in ROOT.glob("tests/**/test_*.py")]
DEFINED = {name for text in SOURCES for name in re.findall(r"^def (test_\w+)\(", text, re.MULTILINE)}


def test_the_page_has_promises() -> None:
    assert len(ROWS) > 10


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[2:40])
def test_each_promise_names_tests_that_exist(row: str) -> None:
    named = re.findall(r"`(test_\w+)`", row)
    assert named
    assert set(named) <= DEFINED
