"""Tests of mcf_bundle.commandline and of the command line beside the bundles."""

from __future__ import annotations

import io
import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mcf_bundle import run_record
from mcf_bundle.__main__ import main
from mcf_bundle.commandline import (
    TERMINATED,
    describe,
    ending_on_sigterm,
    exit_with,
    find_cause,
    guard_command_line,
)
from mcf_bundle.errors import DataError, IncompleteError

INCOMPLETE = IncompleteError("plan.jsonl", "22 of 24 images passed", "raise spares")
LINE = "error: plan.jsonl: 22 of 24 images passed; raise spares"
PROGRAM = os.path.join("site-packages", "monai", "bundle", "__main__.py")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle's config that counts, and fails with exit code 3 at three images."""
    throw = "(_ for _ in ()).throw(IncompleteError('plan.jsonl', '22 of 24 images passed', 'raise spares'))"
    config = {
        "imports": ["$from mcf_bundle.errors import IncompleteError"],
        "num_images": 1,
        "throw": f"$lambda number: {throw} if number == 3 else print('RAN with', number)",
        "train": {"trainer": {"_target_": "SupervisedTrainer", "max_epochs": 1, "_disabled_": True}},
        "initialize": [{"_target_": "mcf_bundle.commandline.guard_command_line"}],
        "run": ["$@throw(@num_images)"],
    }
    path = tmp_path / "configs" / "inference.json"
    path.parent.mkdir()
    path.write_text(json.dumps(config))
    (path.parent / "metadata.json").write_text("{}")
    return path


def run_bundle(config: Path, *arguments: str, debug: bool = False) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "MCF_DEBUG"}
    return subprocess.run(
        [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(config), *arguments],
        capture_output=True,
        text=True,
        cwd=config.parent,
        env={**environment, "MCF_DEBUG": "1"} if debug else environment,
        timeout=300,
    )


@pytest.mark.subprocess
def test_legal_overrides_run(bundle: Path) -> None:
    ended = run_bundle(bundle, "--num-images=24", "--train::trainer::amp", "True")
    assert ended.returncode == 0, ended.stderr
    assert "RAN with 24" in ended.stdout


@pytest.mark.subprocess
def test_misspelled_override_ends_in_one_line_before_anything_runs(bundle: Path) -> None:
    ended = run_bundle(bundle, "--num_image", "24")
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith("error: --num_image: ")
    assert "--num_images" in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr
    assert "RAN" not in ended.stdout


@pytest.mark.subprocess
@pytest.mark.parametrize("debug", [False, True])
def test_error_while_running_ends_in_one_line_with_its_exit_code(bundle: Path, debug: bool) -> None:
    ended = run_bundle(bundle, "--num_images", "3", debug=debug)
    assert ended.returncode == 3
    assert ended.stderr.splitlines()[-1] == LINE
    assert ("Traceback" in ended.stderr) == debug


@pytest.mark.parametrize("argv", [["pytest", "--num_image"], [PROGRAM, "verify_metadata"], [PROGRAM], [""]])
def test_guard_leaves_other_programs_alone(argv: list[str]) -> None:
    before = sys.excepthook, logging.getLogRecordFactory()
    guard_command_line(argv)
    assert (sys.excepthook, logging.getLogRecordFactory()) == before


def test_config_used_from_python_raises_the_error_as_a_cause(bundle: Path) -> None:
    from monai.bundle import ConfigWorkflow

    hook = sys.excepthook
    workflow = ConfigWorkflow(str(bundle), logging_file=False, num_images=3)
    workflow.initialize()
    assert sys.excepthook is hook
    with pytest.raises(RuntimeError) as caught:
        workflow.run()
    assert describe(caught.value) == (str(INCOMPLETE), 3)


@pytest.fixture
def guarded(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guard this process as if it were the command line of a bundle, and undo it afterwards."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.delenv("MCF_DEBUG", raising=False)
    monkeypatch.setattr(run_record, "_command", None)
    factory, on_sigterm = logging.getLogRecordFactory(), signal.getsignal(signal.SIGTERM)
    guard_command_line([PROGRAM, "run", "--config_file", str(bundle), "--num_images", "24"])
    yield
    logging.setLogRecordFactory(factory)
    signal.signal(signal.SIGTERM, on_sigterm)


@pytest.mark.usefixtures("guarded")
def test_the_command_line_and_its_config_are_recorded(bundle: Path) -> None:
    record = run_record.describe_run(seed=0, device="cpu", started=0.0)
    assert record["command_line"] == [
        *("python", "-m", "monai.bundle", "run"),
        *("--config_file", str(bundle), "--num_images", "24"),
    ]
    assert record["config"] == {**json.loads(bundle.read_text()), "num_images": 24}


@pytest.mark.usefixtures("guarded")
def test_log_has_no_traceback_of_our_errors_but_of_others(caplog: pytest.LogCaptureFixture) -> None:
    for error in (INCOMPLETE, SystemExit(TERMINATED), KeyError("other")):
        try:
            raise error
        except BaseException:
            logging.getLogger("engine").exception("stopped")
    assert [record.exc_info is None for record in caplog.records] == [True, True, False]


@pytest.mark.parametrize(("rank", "lines"), [("0", 1), ("1", 0)])
def test_sigterm_ends_the_program_in_one_line_of_the_first_process(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], rank: str, lines: int
) -> None:
    monkeypatch.setenv("RANK", rank)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as caught, ending_on_sigterm():
        signal.raise_signal(signal.SIGTERM)
    assert caught.value.code == TERMINATED == 143
    printed = capfd.readouterr().err.splitlines()
    assert len(printed) == lines
    assert all("give the same command again to go on" in line for line in printed)
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.usefixtures("guarded")
def test_a_bundle_s_command_line_ends_in_order_too() -> None:
    with pytest.raises(SystemExit):
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL  # a second one ends it at once


@pytest.mark.usefixtures("guarded")
def test_other_errors_keep_their_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise KeyError("other")
    except KeyError as error:
        sys.excepthook(KeyError, error, error.__traceback__)
    assert "Traceback" in capsys.readouterr().err


def _wrapped(error: Exception, *, cause: bool) -> Exception:
    try:
        try:
            raise error
        except Exception as inner:
            if cause:
                raise RuntimeError("Failed to evaluate") from inner
            raise RuntimeError("while handling it") from None
    except RuntimeError as outer:
        return outer


def test_error_is_found_among_the_causes_only() -> None:
    assert describe(INCOMPLETE) == (str(INCOMPLETE), 3)
    assert describe(_wrapped(_wrapped(INCOMPLETE, cause=True), cause=True)) == (str(INCOMPLETE), 3)
    assert describe(_wrapped(INCOMPLETE, cause=False)) is None
    assert describe(None) is None


def test_an_error_of_one_kind_is_found_among_the_causes() -> None:
    wrapped = _wrapped(_wrapped(INCOMPLETE, cause=True), cause=True)
    assert find_cause(wrapped, IncompleteError) is INCOMPLETE
    assert find_cause(wrapped, RuntimeError) is wrapped
    assert find_cause(wrapped, DataError) is None
    assert find_cause(_wrapped(INCOMPLETE, cause=False), IncompleteError) is None


def test_error_of_a_loader_process_is_found_in_its_text() -> None:
    import torch

    class Broken(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return 1

        def __getitem__(self, index: int) -> int:
            raise DataError("a.tif", "truncated", "copy it again")

    with pytest.raises(RuntimeError) as caught:
        next(iter(torch.utils.data.DataLoader(Broken(), num_workers=1)))
    assert describe(caught.value) == ("a.tif: truncated; copy it again", 1)


def test_message_with_line_breaks_becomes_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        exit_with(DataError("a\nb.tif", "two\nlines", "rename it"))
    assert caught.value.code == 1
    assert capsys.readouterr().err == "error: a b.tif: two lines; rename it\n"


def test_the_line_is_one_write_so_that_processes_which_end_together_keep_theirs_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Unbuffered(io.StringIO):
        """A stream like stderr, which sends each write out at once."""

        def write(self, text: str) -> int:
            written.append(text)
            return len(text)

    written: list[str] = []
    monkeypatch.delenv("MCF_DEBUG", raising=False)
    monkeypatch.setattr(sys, "stderr", Unbuffered())
    with pytest.raises(SystemExit):
        exit_with(INCOMPLETE)
    assert written == [f"{LINE}\n"]


def test_prepare_of_a_missing_folder_ends_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mcf_bundle.data.prepare")
    monkeypatch.delenv("MCF_DEBUG", raising=False)
    with pytest.raises(SystemExit) as caught:
        main(["prepare", "--dataset_dir", str(tmp_path / "none"), "--output_dir", str(tmp_path / "out")])
    assert caught.value.code == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"error: {tmp_path / 'none'}")
    assert not (tmp_path / "out").exists()
