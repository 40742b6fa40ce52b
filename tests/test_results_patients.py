"""The patients of docs/results are those whom the shipped networks know."""

from __future__ import annotations

import csv
import os
import re
from pathlib import Path

import pytest

from mcf_bundle.data.datalist import make_datalist, split_digest
from mcf_bundle.data.lgg import read_cohort
from mcf_bundle.data.splits import TEST, TRAIN, VALIDATION
from mcf_bundle.networks.checkpoint import hash_patient, read_checkpoint
from tests.bundles.config_files import ROOT

RESULTS = ROOT / "docs" / "results"
LGG = os.environ.get("MCF_LGG_DIR", "")
"""Folder of the 60 patients, or its parent, where they are at hand."""

CHECKPOINTS = sorted(ROOT.glob("bundles/*/models/*.pt"))


def listed() -> dict[str, str]:
    """Return the split of each patient of the list."""
    with (RESULTS / "patients.csv").open(newline="") as file:
        return {row["patient"]: row["split"] for row in csv.DictReader(file)}


def hashes(split: str) -> set[str]:
    return {hash_patient(patient) for patient, where in listed().items() if where == split}


def test_the_counts_are_those_of_the_pages() -> None:
    splits = list(listed().values())
    assert {split: splits.count(split) for split in set(splits)} == {TRAIN: 42, VALIDATION: 9, TEST: 9}


@pytest.mark.parametrize("path", CHECKPOINTS, ids=lambda path: f"{path.parents[1].name}-{path.stem}")
def test_every_shipped_network_was_trained_and_chosen_on_the_listed_patients(path: Path) -> None:
    checkpoint = read_checkpoint(path)
    assert checkpoint.patients == hashes(TRAIN)
    assert checkpoint.validation_patients == hashes(VALIDATION)


def test_every_page_of_results_says_whose_they_are() -> None:
    pages = sorted(RESULTS.glob("*.md"))
    assert len(pages) > 6
    for page in pages:
        assert page.name == "patients.md" or "(patients.md)" in page.read_text(), page.name


@pytest.mark.skipif(not LGG, reason="needs the 60 patients of the LGG set in MCF_LGG_DIR")
def test_the_dataset_at_hand_has_the_listed_split_and_digest() -> None:
    datalist = make_datalist(read_cohort(Path(LGG)))
    assert datalist.patient_splits() == listed()
    digests = re.findall(r"^([0-9a-f]{64})\.$", (RESULTS / "patients.md").read_text(), re.MULTILINE)
    assert digests == [split_digest(datalist)]
