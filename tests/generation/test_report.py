from __future__ import annotations

import dataclasses
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from mcf_bundle import atomic_file
from mcf_bundle.errors import ArgumentError, DataError
from mcf_bundle.generation import report_gallery
from mcf_bundle.generation.report import Figure, ReportContent, Section, Table, render, write_report
from mcf_bundle.generation.report_table import render_table
from mcf_bundle.generation.tile import Origin, Tile

HOSTILE = "<script>alert(\"1\")</script> & 'x'"
VOID = {"meta", "link", "img", "br", "input"}


class Page(HTMLParser):
    """Counts the tags of a page, collects its texts and attributes, and checks that tags are closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.texts: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def small_tile(number: int = 0) -> Tile:
    image = np.random.default_rng(number).integers(0, 256, (3, 32, 32), dtype=np.uint8)
    mask = np.zeros((32, 32), bool)
    mask[10:20, 10:20] = True
    facts = (("host", "TCGA_CS_4941"),)
    return Tile(f"SYN_CS_{number:06d}", Origin(image, image, mask, image), image, mask, facts=facts)


@pytest.fixture(scope="module")
def content() -> ReportContent:
    tables = (
        Table("Rules", ("Rule", "Slices"), (("tumor", 2556), ("level", 3)), "Counted once.", bars="Slices"),
        Table("Rejected rows", ("Row", "Reason"), ()),
    )
    return ReportContent(
        "Run",
        "2 of 2 images",
        summary=("Made from 2 hosts.",),
        warnings=("One patient was skipped.",),
        figures=(Figure("17 %", "rejected"),),
        tiles=(small_tile(0), small_tile(1)),
        sections=(Section("Gate", tables, "How it went."),),
    )


def test_page_says_what_it_was_given(content: ReportContent) -> None:
    page = Page(render(content))
    expected = {"2 of 2 images", "Made from 2 hosts.", "One patient was skipped.", "17 %", "rejected", "Gate"}
    expected |= {"SYN_CS_000001", "TCGA_CS_4941", "Rules", "2,556", "Counted once.", "How it went.", "None."}
    assert expected <= set(page.texts)
    assert page.open == []


def test_warnings_stand_before_everything_but_the_headline(content: ReportContent) -> None:
    texts = Page(render(content)).texts
    order = [
        texts.index(t) for t in ("2 of 2 images", "One patient was skipped.", "Made from 2 hosts.", "Rules")
    ]
    assert order == sorted(order)


def test_page_says_that_it_is_for_research_only(content: ReportContent) -> None:
    notice = next(text for text in Page(render(content)).texts if text.startswith("Research only"))
    assert "not for diagnosis" in notice
    assert "this page is personal data" in notice


def test_every_text_is_escaped() -> None:
    tile = dataclasses.replace(small_tile(), title=HOSTILE, facts=((HOSTILE, HOSTILE),))
    noted = dataclasses.replace(small_tile(), note=HOSTILE, facts=())
    table = Table(HOSTILE, (HOSTILE, "n"), ((HOSTILE, 1),), HOSTILE, bars="n")
    hostile = ReportContent(
        HOSTILE,
        HOSTILE,
        (HOSTILE,),
        (HOSTILE,),
        (Figure(HOSTILE, HOSTILE),),
        (tile, noted),
        sections=(Section(HOSTILE, (table,), HOSTILE),),
        notice=HOSTILE,
    )
    text = render(hostile)
    assert "<script" not in text
    page = Page(text)
    assert page.texts.count(HOSTILE) == 19
    assert [value for name, value in page.attributes if name == "aria-label"][-1] == HOSTILE


def test_page_needs_nothing_from_outside(content: ReportContent) -> None:
    text = render(content)
    without_pictures = re.sub(r"base64,[A-Za-z0-9+/=]+", "", text)
    assert not re.search(r"https?:|//|url\(|@import", without_pictures, re.IGNORECASE)
    page = Page(text)
    addresses = [value for name, value in page.attributes if name in {"src", "href", "srcset", "action"}]
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert page.tags["script"] == 0
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'; img-src data:") in page.attributes


def test_links_of_the_contents_lead_somewhere(content: ReportContent) -> None:
    attributes = Page(render(content)).attributes
    targets = {value for name, value in attributes if name == "id"}
    links = {value[1:] for name, value in attributes if name == "href" and value.startswith("#")}
    assert links == {"images", "section-1"}
    assert links <= targets


def test_switch_chooses_between_the_sequences_without_a_script(content: ReportContent) -> None:
    text = render(content)
    page = Page(text)
    buttons = [value for name, value in page.attributes if name == "id" and value.startswith("pick-")]
    labels = [value for name, value in page.attributes if name == "for"]
    assert buttons == labels == ["pick-flair", "pick-pre", "pick-post", "pick-all"]
    assert [name for name, _ in page.attributes].count("checked") == 1
    strips = [v for n, v in page.attributes if n == "class" and v.startswith("sequence ")]
    assert strips == ["sequence flair", "sequence pre", "sequence post"] * 2
    # A button works on what follows it as a sibling.
    assert text.index('id="pick-all"') < text.index("<article")
    for name in ("flair", "pre", "post"):
        assert f"#pick-{name}:checked ~ .tile .sequence:not(.{name}) {{ display: none; }}" in text


def test_pictures_of_all_sequences_are_in_the_page(content: ReportContent) -> None:
    alternatives = [value for name, value in Page(render(content)).attributes if name == "alt"]
    names = "host; donor; composite; result; result, mask"
    assert alternatives == [
        f"SYN_CS_{number:06d}, {sequence}: {names}"
        for number in (0, 1)
        for sequence in ("FLAIR", "T1 pre", "T1 post")
    ]


def test_page_says_why_pictures_are_missing(content: ReportContent) -> None:
    alone = tuple(dataclasses.replace(tile, origin=None) for tile in content.tiles)
    page = Page(render(dataclasses.replace(content, tiles=alone, gallery_note="No hosts.")))
    assert "No hosts." in page.texts
    assert "composite" not in page.texts
    assert "composite" in Page(render(content)).texts


def test_at_most_two_hundred_images_are_embedded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_gallery, "_card", lambda _: '<img src="data:," alt="">')
    page = Page(render(ReportContent("Run", "717 of 717 images", tiles=(small_tile(),) * 717)))
    assert page.tags["img"] == 200
    assert "The first 200 of 717 images are shown." in page.texts


def test_page_says_when_it_was_given_only_some_images(content: ReportContent) -> None:
    page = Page(render(dataclasses.replace(content, image_count=5)))
    assert "The first 2 of 5 images are shown." in page.texts
    assert not any("are shown" in text for text in Page(render(content)).texts)


def test_page_without_images_and_tables_can_be_written(tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", ReportContent("Run", "0 of 24 images"))
    assert Page((tmp_path / "report.html").read_text(encoding="utf-8")).tags["img"] == 0


def test_same_content_gives_the_same_bytes(content: ReportContent, tmp_path: Path) -> None:
    for name in ("a.html", "b.html"):
        write_report(tmp_path / name, content)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_full_disk_leaves_the_earlier_page(
    content: ReportContent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.html"
    path.write_text("earlier")

    def fail(path: Path, data: bytes) -> None:
        path.write_bytes(data[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic_file, "write_durably", fail)
    with pytest.raises(DataError, match=r"report.html: cannot be written \(No space left.*free disk space"):
        write_report(path, content)
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]
    assert path.read_text() == "earlier"


def test_file_in_place_of_the_folder_is_named(content: ReportContent, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(DataError, match="Not a directory"):
        write_report(tmp_path / "file" / "report.html", content)


def test_bars_are_drawn_in_proportion_to_the_largest() -> None:
    html = render_table(Table("t", ("a", "n"), (("x", 4), ("y", 1), ("z", None)), bars="n"))
    assert re.findall(r"width:([\d.]+)%", html) == ["100.0", "25.0", "0.0"]


def test_numbers_stand_right_and_texts_left() -> None:
    html = render_table(Table("t", ("name", "n"), (("x", 0.123456), ("y", float("nan")))))
    assert '<td>x</td><td class="number">0.1235</td>' in html
    assert '<td>y</td><td class="number">-</td>' in html


@pytest.mark.parametrize(
    ("columns", "text", "wide"), [(2, "short", False), (5, "short", True), (2, "x" * 60, True)]
)
def test_large_tables_take_the_full_width(columns: int, text: str, wide: bool) -> None:
    table = Table("t", tuple(map(str, range(columns))), ((text,) * columns,))
    assert ('class="table wide"' in render_table(table)) is wide


def test_table_that_does_not_fit_its_columns_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"^rows: "):
        Table("t", ("a", "b"), (("only one",),))
    with pytest.raises(ArgumentError, match=r"^bars: "):
        Table("t", ("a", "b"), (), bars="c")
