"""Tests of what an installed wheel holds, and that it works without the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BUILD_INPUTS = ("setup.py", "setup.cfg", "pyproject.toml", "MANIFEST.in", "LICENSE", "README.md")
FOLDERS = ("mcf_bundle", "bundles", "configs")


def call(*command: str | Path, cwd: Path, timeout_s: int = 600) -> str:
    """Run a program outside the checkout and return what it printed; fail with its stderr."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    ended = subprocess.run(
        list(map(str, command)), cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout_s
    )
    assert ended.returncode == 0, ended.stderr[-4000:]
    return ended.stdout


def run_main_job(python: Path, cwd: Path) -> Path:
    """Make two tumor slices from a small phantom with the installed bundle, and return the output folder."""
    call(python, "-m", "mcf_bundle", "phantom", "--output_dir", "phantom", "--patients", "12", cwd=cwd)
    find = "from mcf_bundle.resources import bundle_root; print(bundle_root('mcf_diffusion'))"
    config = Path(call(python, "-c", find, cwd=cwd).strip(), "configs", "inference.json")
    named = ["--dataset_dir", "phantom", "--output_dir", "out", "--num_images", "2", "--seed", "0"]
    call(python, "-m", "monai.bundle", "run", "--config_file", config, *named, cwd=cwd)
    return cwd / "out"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy of what a build reads, with a bundle and an overlay of its own; the checkout stays clean."""
    copy = tmp_path_factory.mktemp("source")
    for name in BUILD_INPUTS:
        if (ROOT / name).exists():
            shutil.copy2(ROOT / name, copy / name)
    for name in FOLDERS:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in (
        "bundles/probe/configs/train.json",
        "bundles/probe/LICENSE",
        "configs/probe/overlay.json",
        "mcf_bundle/data/probe.html",
    ):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_text("{}\n")
    return copy


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built with the setuptools of this environment, so that no network is needed."""
    folder = tmp_path_factory.mktemp("wheel")
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--wheel-dir", folder)
    call(sys.executable, "-m", "pip", "wheel", *options, source, cwd=folder)
    return next(folder.glob("mcf_bundle-*.whl"))


@pytest.fixture(scope="module")
def empty_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of a new environment that has the wheel, and sees this one's other packages.

    The dependencies are 5 GB, too much to install in a test: a line of a .pth file adds their folder. Python
    does not read the .pth file of the editable install that lies there, so the checkout stays out of sight.
    """
    folder = tmp_path_factory.mktemp("empty") / "venv"
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    install = ("install", "--no-deps", "--no-index", "--quiet", wheel)
    call(sys.executable, "-m", "pip", "--python", python, *install, cwd=folder)
    installed = Path(
        call(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip()
    )
    (installed / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def test_wheel_holds_every_file_of_package_bundles_and_overlays(source: Path, wheel: Path) -> None:
    files = [
        path.relative_to(source) for name in FOLDERS for path in (source / name).rglob("*") if path.is_file()
    ]
    own = {path.as_posix() for path in files if path.parts[0] == "mcf_bundle"}
    shared = {f"mcf_bundle/_share/{path.as_posix()}" for path in files if path.parts[0] != "mcf_bundle"}
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert packed == own | shared


def test_source_archive_makes_the_same_wheel(source: Path, wheel: Path, tmp_path: Path) -> None:
    call(sys.executable, "-m", "build", "--no-isolation", "--outdir", tmp_path, source, cwd=tmp_path)
    with zipfile.ZipFile(wheel) as direct, zipfile.ZipFile(tmp_path / wheel.name) as through_archive:
        assert set(direct.namelist()) == set(through_archive.namelist())


def test_installed_package_is_not_the_checkout(empty_python: Path, tmp_path: Path) -> None:
    names = "r.__file__, r.bundle_root('probe'), r.config_path('probe/overlay')"
    code = f"import mcf_bundle.resources as r; print({names})"
    module, bundle, overlay = map(Path, call(empty_python, "-c", code, cwd=tmp_path).split())
    package = module.parent
    assert package.is_relative_to(empty_python.parents[1])
    assert bundle == package / "_share" / "bundles" / "probe"
    assert overlay == package / "_share" / "configs" / "probe" / "overlay.json"


def test_console_script_prints_the_version(empty_python: Path, tmp_path: Path) -> None:
    from mcf_bundle import __version__

    assert call(empty_python.parent / "mcf-bundle", "--version", cwd=tmp_path).strip() == __version__


@pytest.mark.slow
def test_main_job_runs_from_the_wheel_in_another_folder(empty_python: Path, tmp_path: Path) -> None:
    output = run_main_job(empty_python, tmp_path)
    assert len(list(output.glob("SYN_*"))) == 2
    assert (output / "report.html").stat().st_size > 0
