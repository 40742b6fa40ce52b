from __future__ import annotations

import json
from pathlib import Path

import pytest

from mcf_bundle.data.generated_case import counted_slices, read_origins
from mcf_bundle.errors import DataError


def test_one_slice_of_a_generated_case_counts_and_all_of_a_real_one() -> None:
    assert counted_slices("SYN_X_000123", (1, 2, 3)) == [1]
    assert counted_slices("patient", (4, 5, 6)) == [0, 1, 2]


def test_origins_are_the_host_and_the_donor_of_each_case(tmp_path: Path) -> None:
    record = {"name": "SYN_X_000000", "host": {"patient": "a"}, "donor": {"patient": "b"}}
    (tmp_path / "manifest.jsonl").write_text(json.dumps(record) + "\n")
    assert read_origins(tmp_path) == {"SYN_X_000000": ("a", "b")}


def test_a_folder_without_manifest_has_no_origins(tmp_path: Path) -> None:
    assert read_origins(tmp_path) == {}


@pytest.mark.parametrize("text", ["{", "[1]\n", '{"name": "SYN_X_000000"}\n'])
def test_a_damaged_manifest_is_refused_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.jsonl").write_text(text)
    with pytest.raises(DataError, match=r"manifest\.jsonl: is not a manifest"):
        read_origins(tmp_path)
