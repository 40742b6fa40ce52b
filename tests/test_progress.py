"""Progress bars: what they count, who shows them, and what is left of them when an error ends the program."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mcf_bundle.__main__ import main
from mcf_bundle.data.lgg import read_cohort
from mcf_bundle.data.phantom import write_phantom_cohort
from mcf_bundle.data.survey import survey_volumes
from mcf_bundle.progress import progress_bar


@pytest.mark.parametrize(
    ("work", "labels"),
    [
        (lambda cohort, folder: read_cohort(cohort), ["reading"]),
        (lambda cohort, folder: survey_volumes(read_cohort(cohort).volumes), ["finding heads", "measuring"]),
        (lambda cohort, folder: write_phantom_cohort(folder / "new", 12, 0, size=64), ["drawing"]),
    ],
    ids=["reading", "survey", "phantom"],
)
def test_slow_steps_count_the_patients(
    work: Callable[[Path, Path], object],
    labels: list[str],
    phantom_cohort: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    work(phantom_cohort, tmp_path)
    shown = capsys.readouterr().err.splitlines()
    for label in labels:
        assert any(line.startswith(f"{label}: 100%") and " 12/12 " in line for line in shown)


@pytest.mark.parametrize(("total", "rank", "shown"), [(2, "0", True), (0, "0", False), (2, "1", False)])
def test_the_first_process_alone_shows_a_bar_if_there_is_something_to_count(
    total: int,
    rank: str,
    shown: bool,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RANK", rank)
    with progress_bar(total, "reading") as bar:
        bar.update(total)
    assert ("reading" in capsys.readouterr().err) == shown


def test_an_error_stands_on_a_line_of_its_own_after_the_bar(
    phantom_cohort: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("MCF_DEBUG", raising=False)
    shutil.copytree(phantom_cohort, tmp_path / "data")
    broken = sorted((tmp_path / "data").rglob("*_mask.tif"))[-1]
    broken.write_bytes(b"II*")
    with pytest.raises(SystemExit):
        main(["prepare", "--dataset_dir", str(tmp_path / "data"), "--output_dir", str(tmp_path / "out")])
    *bar, line = capsys.readouterr().err.splitlines()
    assert any(text.startswith("reading: ") for text in bar)
    assert line.startswith(f"error: {broken}: cannot be read as TIFF")
