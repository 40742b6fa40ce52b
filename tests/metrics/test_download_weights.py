"""Weights are fetched by an explicit command alone, and kept only with the right hash."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mcf_bundle.errors import ArgumentError, CheckpointError
from mcf_bundle.metrics.download_weights import download_weights, main
from mcf_bundle.metrics.extractors import EXTRACTORS
from mcf_bundle.networks.checkpoint import hash_file

NAME = "inception_v3_64"


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that stands for the one on the network; its address is file://..., its hash the pinned one."""
    path = tmp_path / "source.pth"
    path.write_bytes(b"weights")
    pinned = replace(EXTRACTORS[NAME], url=path.as_uri(), sha256=hash_file(path))
    monkeypatch.setitem(EXTRACTORS, NAME, pinned)
    return path


def test_the_command_names_the_license_and_writes_the_file(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([NAME, str(tmp_path / "weights")])
    expected = tmp_path / "weights" / EXTRACTORS[NAME].weights
    assert expected.read_bytes() == source.read_bytes()
    assert capsys.readouterr().out == f"license of the weights: Apache-2.0\n{expected}\n"


def test_a_file_with_another_hash_is_not_kept(source: Path, tmp_path: Path) -> None:
    source.write_bytes(b"something else")
    with pytest.raises(CheckpointError, match=r"could not be fetched .*invalid hash"):
        download_weights(NAME, tmp_path / "weights")
    assert list((tmp_path / "weights").iterdir()) == []


def test_an_address_that_does_not_answer_is_one_line(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source.unlink()
    with pytest.raises(SystemExit):
        main([NAME, str(tmp_path / "weights")])
    assert "could not be fetched" in capsys.readouterr().err


def test_without_any_hash_nothing_is_fetched(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="sha256: no checksum of RadImageNet"):
        download_weights("radimagenet_resnet50", tmp_path / "weights")
    assert not (tmp_path / "weights").exists()


def test_the_shipped_gate_needs_no_download(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="gate comes with this package"):
        download_weights("gate", tmp_path)
