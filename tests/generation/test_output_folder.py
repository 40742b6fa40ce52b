from __future__ import annotations

import errno
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest

from mcf_bundle.errors import DataError, PlanError
from mcf_bundle.generation.output_folder import (
    RUN_FILES,
    SHARDS_FOLDER,
    check_output_dir,
    prepare_output_dir,
)
from mcf_bundle.generation.writer import case_files

CASES = ("SYN_CS_000000", "SYN_DU_000001")


def fill(output_dir: Path, plan_id: str = "one") -> Path:
    """Lay a finished run's files there; row 1 is known by its number, row 0 by its name in the manifest."""
    output_dir.mkdir(parents=True, exist_ok=True)
    for name in RUN_FILES:
        (output_dir / name).write_text("{}\n")
    header, row = {"plan_id": plan_id}, {"row": 1, "host": {"patient": "A"}}
    (output_dir / "plan.jsonl").write_text(f"{json.dumps(header)}\n{json.dumps(row)}\n")
    (output_dir / "manifest.jsonl").write_text(json.dumps({"image": {"case": CASES[0]}}) + '\n{"cut sho')
    for case in CASES:
        (output_dir / case).mkdir()
        for name in case_files(case):
            (output_dir / case / name).write_bytes(b"tif")
    return output_dir


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_missing_folder_is_made_with_its_parents(tmp_path: Path) -> None:
    assert prepare_output_dir(tmp_path / "a" / "b", plan_id="one") is False
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_check_touches_nothing(tmp_path: Path) -> None:
    assert check_output_dir(tmp_path / "a", plan_id="one") is False
    assert not (tmp_path / "a").exists()
    before = names(fill(tmp_path / "run"))
    assert check_output_dir(tmp_path / "run", plan_id="two", overwrite=True) is False
    assert names(tmp_path / "run") == before


def test_same_run_goes_on(tmp_path: Path) -> None:
    before = names(fill(tmp_path))
    (tmp_path / f".{CASES[1]}.partial").mkdir()
    (tmp_path / SHARDS_FOLDER).mkdir()
    assert prepare_output_dir(tmp_path, plan_id="one") is True
    assert names(tmp_path) >= before


@pytest.mark.parametrize("plan_id", ["one", "two"])
def test_overwrite_removes_the_earlier_run(tmp_path: Path, plan_id: str) -> None:
    fill(tmp_path)
    (tmp_path / ".report.html.partial").write_text("half")
    (tmp_path / f".{CASES[0]}.replaced").mkdir()
    (tmp_path / SHARDS_FOLDER).mkdir()
    (tmp_path / SHARDS_FOLDER / "12.jsonl").write_text("{}")
    (tmp_path / ".DS_Store").write_text("desktop")
    assert prepare_output_dir(tmp_path, plan_id=plan_id, overwrite=True) is False
    assert names(tmp_path) == {".DS_Store"}


def test_another_run_is_refused(tmp_path: Path) -> None:
    before = names(fill(tmp_path))
    with pytest.raises(
        PlanError, match=r"another run's files \(plan one, this one is two\).*--overwrite True"
    ):
        prepare_output_dir(tmp_path, plan_id="two")
    assert names(tmp_path) == before


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    "foreign",
    [
        "notes.txt",
        "TCGA_CS_4941_19960909/TCGA_CS_4941_19960909_1.tif",
        "SYN_CS_000099/SYN_CS_000099_1.tif",
        f"{CASES[0]}/notes.txt",
        ".notes.txt.partial",
        f"{SHARDS_FOLDER}/notes.txt",
    ],
)
def test_what_no_run_wrote_is_never_removed(tmp_path: Path, foreign: str, overwrite: bool) -> None:
    path = fill(tmp_path) / foreign
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")
    before = names(tmp_path)
    with pytest.raises(PlanError, match=foreign.split("/")[0]):
        prepare_output_dir(tmp_path, plan_id="one", overwrite=overwrite)
    assert names(tmp_path) == before


@pytest.mark.parametrize("name", ["datalist.json", "report.html", CASES[0], SHARDS_FOLDER])
def test_without_a_plan_nothing_counts_as_a_run(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(PlanError, match=name):
        prepare_output_dir(tmp_path, plan_id="one", overwrite=True)


def test_link_in_place_of_a_case_is_not_followed(tmp_path: Path) -> None:
    fill(tmp_path / "run")
    target = tmp_path / "elsewhere"
    target.mkdir()
    (tmp_path / "run" / "SYN_EZ_000001").symlink_to(target, target_is_directory=True)
    with pytest.raises(PlanError, match="SYN_EZ_000001"):
        prepare_output_dir(tmp_path / "run", plan_id="one", overwrite=True)


@pytest.mark.parametrize("text", ["", "not json\n", "[1]\n", '{"key": 1}\n', '{"plan_id": 3}\n'])
def test_plan_of_another_program_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "plan.jsonl").write_text(text)
    with pytest.raises(PlanError, match="not a plan of this project"):
        prepare_output_dir(tmp_path, plan_id="one", overwrite=True)
    assert (tmp_path / "plan.jsonl").read_text() == text


def test_unfinished_plan_is_a_fresh_start(tmp_path: Path) -> None:
    (tmp_path / ".plan.jsonl.partial").write_text("half")
    assert prepare_output_dir(tmp_path, plan_id="one") is False


@pytest.mark.parametrize("below", ["", "run"])
def test_file_in_the_way_is_named(tmp_path: Path, below: str) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(DataError, match="file"):
        prepare_output_dir(file / below, plan_id="one")
    assert file.read_text() == "mine"


def test_folder_that_cannot_be_written_is_found_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(DataError, match=r"Read-only file system\); check the path and its permissions"):
        prepare_output_dir(tmp_path, plan_id="one")
