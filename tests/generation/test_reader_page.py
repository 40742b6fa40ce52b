"""The page on which readers guess which slices are real."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcf_bundle.__main__ import main
from mcf_bundle.data.datalist import read_datalist
from mcf_bundle.data.splits import TRAIN
from mcf_bundle.errors import ArgumentError, DataError
from mcf_bundle.generation.image_evaluation_sets import JudgedImage
from mcf_bundle.generation.reader_page import KEY_FILE, PAGE_FILE, draw_slices, write_reader_page
from tests.generation.bundle_runs import OPEN_GATE, gate, make_workflow


def images(name: str, count: int) -> list[JudgedImage]:
    blank: Any = np.zeros((3, 8, 8), np.float32)
    mask: Any = np.zeros((8, 8), bool)
    return [JudgedImage(name, i, 0.5, blank, mask, mask, (False,) * 3) for i in range(count)]


def drawn(seed: int) -> list[tuple[bool, str, int]]:
    found = draw_slices(images("s", 40), images("r", 30), images=48, seed=seed, where=Path("run"))
    assert [item.number for item in found] == list(range(1, 49))
    return [(item.synthetic, item.image.patient, item.image.slice) for item in found]


def test_half_are_synthetic_none_stands_there_twice_and_the_seed_decides() -> None:
    found = drawn(0)
    assert found == drawn(0)
    assert found != drawn(1)
    assert len(set(found)) == 48
    assert sum(synthetic for synthetic, _, _ in found) == 24
    assert all(synthetic == (name == "s") for synthetic, name, _ in found)


def test_the_order_tells_nothing() -> None:
    """Over many seeds each place is synthetic half of the time: 200 draws, within 4 standard errors."""
    share = np.mean([[synthetic for synthetic, _, _ in drawn(seed)] for seed in range(200)], axis=0)
    assert np.abs(share - 0.5).max() < 4 * 0.5 / np.sqrt(200)


def test_too_few_images_are_an_error_that_counts_them() -> None:
    with pytest.raises(DataError, match="24 real tumors at common levels are needed, 20 are there"):
        draw_slices(images("s", 40), images("r", 20), images=48, seed=0, where=Path("run"))


@pytest.mark.parametrize(("wrong", "problem"), [(7, "is odd"), (0, "images")])
def test_numbers_that_cannot_be_halved_are_refused(tmp_path: Path, wrong: int, problem: str) -> None:
    with pytest.raises(ArgumentError, match=problem):
        write_reader_page(tmp_path, tmp_path, tmp_path, images=wrong)


@pytest.mark.slow
def test_the_page_has_every_slice_and_its_key_says_what_they_are(
    phantom_cohort: Path, tmp_path: Path
) -> None:
    run, out = tmp_path / "run", tmp_path / "out"
    with gate(OPEN_GATE):
        make_workflow(phantom_cohort, run, num_images=12).run()
    words = ["--dataset_dir", str(phantom_cohort), "--synthetic_dir", str(run), "--output_dir", str(out)]
    main(["reader", *words, "--images", "8"])
    page = (out / PAGE_FILE).read_text()
    assert page.count("data:image/webp") == 8
    assert page.index("<details>") > page.rindex("data:image/webp")
    assert "<script" not in page
    with (out / KEY_FILE).open(newline="") as file:
        key = list(csv.DictReader(file))
    assert [row["number"] for row in key] == [str(n) for n in range(1, 9)]
    assert re.findall(r"<td[^>]*>(synthetic|real)</td>", page) == [row["what"] for row in key]
    split_of = {entry.patient: entry.split for entry in read_datalist(run / "datalist.json").entries}
    for row in key:
        assert (split_of[row["patient"]] == TRAIN) == (row["what"] == "synthetic")
