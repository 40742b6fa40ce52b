"""Tests of mcf_bundle.atomic_file."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from mcf_bundle import atomic_file
from mcf_bundle.atomic_file import unwritable, write_atomically, write_text
from mcf_bundle.errors import DataError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with an earlier content."""
    file = tmp_path / "plan.jsonl"
    file.write_bytes(b"old")
    return file


def fail_at(step: str, monkeypatch: pytest.MonkeyPatch, code: int = errno.ENOSPC) -> None:
    """Let one step of the writing fail, after half of the content if it is the writing itself."""

    def fail(target: Path, *rest: object) -> None:
        if step == "write_durably":
            target.write_bytes(b"ha")
        raise OSError(code, os.strerror(code))

    if step == "replace":
        monkeypatch.setattr(Path, "replace", fail)
    else:
        monkeypatch.setattr(atomic_file, step, fail)


def names(folder: Path) -> list[str]:
    return sorted(item.name for item in folder.iterdir())


@pytest.mark.parametrize("data", [b"", b"new", bytes(range(256)) * 5000])
def test_the_file_holds_the_new_content_and_nothing_lies_beside_it(path: Path, data: bytes) -> None:
    write_atomically(path, data)
    assert path.read_bytes() == data
    assert names(path.parent) == ["plan.jsonl"]


def test_a_new_file_is_made(tmp_path: Path) -> None:
    write_atomically(tmp_path / "new.bin", b"new")
    assert (tmp_path / "new.bin").read_bytes() == b"new"


@pytest.mark.parametrize("step", ["write_durably", "replace"])
def test_a_failure_leaves_the_old_file_alone(path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    fail_at(step, monkeypatch)
    with pytest.raises(DataError, match=r"plan\.jsonl: cannot be written \(No space left on device\)"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert names(path.parent) == ["plan.jsonl"]


def test_a_leftover_of_a_crash_is_no_obstacle(path: Path) -> None:
    path.with_name(".plan.jsonl.partial").write_bytes(b"a crash left this")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert names(path.parent) == ["plan.jsonl"]


def test_readers_never_see_a_part_of_the_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes] = []
    durably = atomic_file.write_durably

    def write(target: Path, data: bytes) -> None:
        assert target != path
        durably(target, data)
        seen.append(path.read_bytes())

    monkeypatch.setattr(atomic_file, "write_durably", write)
    write_atomically(path, b"new")
    assert seen == [b"old"]


def test_a_folder_in_the_file_s_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "report.html").mkdir()
    with pytest.raises(DataError, match=r"report\.html: cannot be written \(Is a directory\)"):
        write_atomically(tmp_path / "report.html", b"new")
    assert names(tmp_path) == ["report.html"]


def test_text_is_stored_as_utf_8_and_its_folders_are_made(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "b" / "report.html", "t \u2192 0\n")
    assert (tmp_path / "a" / "b" / "report.html").read_bytes() == b"t \xe2\x86\x92 0\n"


def test_a_file_in_the_place_of_a_folder_is_named(path: Path) -> None:
    with pytest.raises(DataError, match=r"plan\.jsonl: cannot be written \(File exists\); check the path"):
        write_text(path / "report.html", "text")


@pytest.mark.parametrize(
    ("code", "remedy"),
    [(errno.ENOSPC, "free disk space"), (errno.EDQUOT, "free disk space"), (errno.EACCES, "check the path")],
)
def test_the_remedy_fits_the_reason(tmp_path: Path, code: int, remedy: str) -> None:
    error = unwritable(tmp_path, OSError(code, os.strerror(code)))
    assert error.remedy.startswith(remedy)
    assert os.strerror(code) in error.problem
