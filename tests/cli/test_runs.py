"""Subcommands on the phantom: the same plan, images and report as the bundle's own command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mcf_bundle.__main__ import main
from tests.generation.bundle_runs import OPEN_GATE, gate, make_workflow

QUICK = ["--num_images", "3", "--steps", "2", "--num_threads", "1", "--device", "$torch.device('cpu')"]


@pytest.fixture(scope="module")
def run_dir(phantom_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a run of three images, made without the command line."""
    folder = tmp_path_factory.mktemp("run") / "out"
    with gate(OPEN_GATE):
        make_workflow(phantom_cohort, folder, num_images=3).run()
    return folder


def test_generate_makes_the_bytes_of_the_workflow(
    phantom_cohort: Path, tmp_path: Path, run_dir: Path
) -> None:
    with gate(OPEN_GATE):
        main(["generate", "--dataset_dir", str(phantom_cohort), "--output_dir", str(tmp_path / "o"), *QUICK])
    made, expected = (
        {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        for root in (tmp_path / "o", run_dir)
    )
    assert made.keys() == expected.keys()
    assert {name for name in made if made[name] != expected[name]} == {"run.json"}
    run = json.loads(made["run.json"])
    assert run["command_line"][:2] == ["mcf-bundle", "generate"]
    assert run["command_line"][-len(QUICK) :] == QUICK
    assert (run["config"]["num_images"], run["config"]["steps"]) == (3, 2)


def test_plan_writes_the_plan_that_generate_follows(
    phantom_cohort: Path, tmp_path: Path, run_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["plan", "--dataset_dir", str(phantom_cohort), *QUICK]
    main([*words, "--output_dir", str(tmp_path / "out")])
    printed = capsys.readouterr().out
    assert printed.startswith("3 images planned\n")
    assert str(tmp_path / "out" / "plan.jsonl") in printed
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["plan.jsonl"]
    assert (tmp_path / "out" / "plan.jsonl").read_bytes() == (run_dir / "plan.jsonl").read_bytes()


def test_plan_without_a_folder_writes_nothing(
    phantom_cohort: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    main(["plan", "--dataset_dir", str(phantom_cohort), *QUICK])
    assert capsys.readouterr().out.startswith("3 images planned\n")
    assert list(tmp_path.iterdir()) == []


def test_a_dry_plan_writes_nothing_into_its_folder(phantom_cohort: Path, tmp_path: Path) -> None:
    words = ["plan", "--dataset_dir", str(phantom_cohort), "--output_dir", str(tmp_path / "out"), *QUICK]
    main([*words, "--dry_run", "True"])
    assert not (tmp_path / "out").exists()


def test_a_plan_never_removes_a_run_s_images(
    phantom_cohort: Path, tmp_path: Path, run_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "out"
    shutil.copytree(run_dir, copy)
    words = ["plan", "--dataset_dir", str(phantom_cohort), "--output_dir", str(copy), *QUICK]
    for more in (["--overwrite", "True"], ["--overwrite", "True", "--seed", "1"]):
        with pytest.raises(SystemExit) as caught:
            main([*words, *more])
        assert caught.value.code == 1
        last = capsys.readouterr().err.splitlines()[-1]
        assert last.startswith("error: overwrite: a plan alone removes no run's files")
    names = {str(path.relative_to(run_dir)) for path in run_dir.rglob("*")}
    assert {str(path.relative_to(copy)) for path in copy.rglob("*")} == names


def test_report_is_drawn_again_byte_for_byte(
    phantom_cohort: Path, tmp_path: Path, run_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "out"
    shutil.copytree(run_dir, copy)
    for name in ("report.html", "contact_sheet.png"):
        (copy / name).unlink()
    main(["report", str(copy), "--dataset_dir", str(phantom_cohort)])
    assert capsys.readouterr().out == f"3 of 3 images are shown in {copy / 'report.html'}\n"
    for name in ("report.html", "contact_sheet.png"):
        assert (copy / name).read_bytes() == (run_dir / name).read_bytes()


def test_report_of_a_folder_without_a_run_ends_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MCF_DEBUG", raising=False)
    with pytest.raises(SystemExit) as caught:
        main(["report", str(tmp_path)])
    assert caught.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {tmp_path / 'plan.jsonl'}: is missing")
