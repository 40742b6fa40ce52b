"""Tests of mcf_bundle.resources."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcf_bundle import resources
from mcf_bundle.errors import ArgumentError


def _lay_out(root: Path) -> None:
    for path in ("bundles/alpha/configs/train.json", "configs/presets/paper.json", "configs/gpu.json"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("{}\n")
    (root / "bundles" / "notes").mkdir()


@pytest.fixture(params=["checkout", "wheel"])
def shared(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder that holds bundles/ and configs/: beside the package or inside it."""
    package = tmp_path / "mcf_bundle"
    folder = tmp_path if request.param == "checkout" else package / "_share"
    folder.mkdir(parents=True, exist_ok=True)
    _lay_out(folder)
    monkeypatch.setattr(resources, "_PACKAGE", package)
    return folder


def test_bundle_is_found_beside_or_inside_the_package(shared: Path) -> None:
    assert resources.bundle_root("alpha") == shared / "bundles" / "alpha"


def test_unknown_bundle_lists_those_that_exist(shared: Path) -> None:
    with pytest.raises(ArgumentError, match=r"bundle 'notes': .* choose one of alpha"):
        resources.bundle_root("notes")


@pytest.mark.parametrize("name", ["presets/paper", "presets/paper.json"])
def test_overlay_is_found_with_and_without_its_suffix(shared: Path, name: str) -> None:
    assert resources.config_path(name) == shared / "configs" / "presets" / "paper.json"


@pytest.mark.parametrize("name", ["paper", "../bundles/alpha/configs/train", ""])
def test_unknown_overlay_lists_those_that_exist(shared: Path, name: str) -> None:
    with pytest.raises(ArgumentError, match="choose one of gpu, presets/paper"):
        resources.config_path(name)


def test_empty_installation_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "_PACKAGE", tmp_path / "mcf_bundle")
    with pytest.raises(ArgumentError, match="nothing is there at all"):
        resources.bundle_root("alpha")


def test_the_main_bundle_is_there() -> None:
    assert (resources.bundle_root("mcf_diffusion") / "configs").is_dir()
