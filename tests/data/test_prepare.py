from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mcf_bundle.data.datalist import make_datalist, read_datalist
from mcf_bundle.data.lgg import read_cohort
from mcf_bundle.data.prepare import prepare_dataset
from mcf_bundle.errors import ArgumentError, DataError


@pytest.fixture
def damaged(phantom_cohort: Path, tmp_path: Path) -> tuple[Path, str]:
    """Three patients in a folder kaggle_3m, and the name of the one whose second slice is cut short."""
    root = tmp_path / "data" / "kaggle_3m"
    folders = sorted(path for path in phantom_cohort.iterdir() if path.is_dir())[:3]
    for folder in folders:
        shutil.copytree(folder, root / folder.name)
    bad = folders[1].name
    file = root / bad / f"{bad}_2.tif"
    file.write_bytes(file.read_bytes()[:40])
    return root.parent, bad


@pytest.mark.parametrize("split", ["patient", "slice"])
def test_the_datalist_is_that_of_the_dataset(phantom_cohort: Path, tmp_path: Path, split: str) -> None:
    summary = prepare_dataset(phantom_cohort, tmp_path / "new" / "out", split_seed=3, split=split)
    written = read_datalist(tmp_path / "new" / "out" / "datalist.json")
    assert written == make_datalist(read_cohort(phantom_cohort), split_seed=3, split_by=split)
    assert f"{len(written.entries)} slices of 12 patients, split by {split}" in summary
    assert ("this split leaks" in summary) is (split == "slice")


def test_the_summary_has_a_line_for_every_split(phantom_cohort: Path, tmp_path: Path) -> None:
    lines = [line.split() for line in prepare_dataset(phantom_cohort, tmp_path).splitlines()[1:]]
    counted = {name: (int(patients), int(slices)) for name, patients, _, slices, *_ in lines}
    assert counted.keys() == {"test", "train", "validation"}
    entries = read_datalist(tmp_path / "datalist.json").entries
    assert sum(patients for patients, _ in counted.values()) == 12
    assert sum(slices for _, slices in counted.values()) == len(entries)


def test_preparing_twice_gives_the_same_bytes(phantom_cohort: Path, tmp_path: Path) -> None:
    prepare_dataset(phantom_cohort, tmp_path)
    first = (tmp_path / "datalist.json").read_bytes()
    prepare_dataset(phantom_cohort, tmp_path)
    assert (tmp_path / "datalist.json").read_bytes() == first
    assert [path.name for path in tmp_path.iterdir()] == ["datalist.json"]


def test_a_damaged_patient_stops_before_anything_is_written(
    damaged: tuple[Path, str], tmp_path: Path
) -> None:
    dataset, bad = damaged
    with pytest.raises(DataError, match=rf"{bad}_2\.tif: cannot be read as TIFF"):
        prepare_dataset(dataset, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_damaged_patient_can_be_left_out(damaged: tuple[Path, str], tmp_path: Path) -> None:
    dataset, bad = damaged
    summary = prepare_dataset(dataset, tmp_path / "out", skip_bad_patients=True)
    written = read_datalist(tmp_path / "out" / "datalist.json")
    assert f"left out {bad}" in summary
    assert list(written.skipped) == [bad]
    assert bad not in {entry.patient for entry in written.entries}


def test_the_datalist_does_not_tell_where_the_dataset_lies(damaged: tuple[Path, str], tmp_path: Path) -> None:
    dataset, _ = damaged
    prepare_dataset(dataset, tmp_path / "out", skip_bad_patients=True)
    assert str(tmp_path) not in (tmp_path / "out" / "datalist.json").read_text()


@pytest.mark.parametrize("below", ["", "out", "out/deeper"])
def test_a_file_in_the_place_of_the_output_folder_is_named(
    phantom_cohort: Path, tmp_path: Path, below: str
) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(DataError, match=r"file.*cannot be written"):
        prepare_dataset(phantom_cohort, file / below)
    assert file.read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_folder_named_like_the_datalist_is_named(phantom_cohort: Path, tmp_path: Path) -> None:
    (tmp_path / "datalist.json").mkdir()
    with pytest.raises(DataError, match=r"datalist\.json: cannot be written"):
        prepare_dataset(phantom_cohort, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["datalist.json"]


def test_an_unknown_split_writes_nothing(phantom_cohort: Path, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="'volume' does not exist"):
        prepare_dataset(phantom_cohort, tmp_path / "out", split="volume")
    assert not (tmp_path / "out").exists()


def test_a_negative_split_seed_is_refused(phantom_cohort: Path, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="split_seed"):
        prepare_dataset(phantom_cohort, tmp_path / "out", split_seed=-1)
