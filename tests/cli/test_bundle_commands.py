"""What the subcommands that run a bundle hand to MONAI, and how they end."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import monai.bundle
import pytest
from monai.bundle import ConfigParser

import mcf_bundle.overrides  # noqa: F401  binds `monai.bundle.run` before a test replaces it
from mcf_bundle import run_record
from mcf_bundle.__main__ import main
from mcf_bundle.cli.train import config_names
from mcf_bundle.errors import IncompleteError
from mcf_bundle.resources import bundle_root, config_path

CONFIGS = bundle_root("mcf_diffusion") / "configs"
GENERATE = ["generate", "--dataset_dir", "data", "--output_dir", "out"]
TRAIN = ["train", "--dataset_dir", "data"]


@pytest.fixture(autouse=True)
def _no_debugging(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MCF_DEBUG", raising=False)


@pytest.fixture
def handed(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What `monai.bundle.run` was called with, in place of a run."""
    given: dict[str, Any] = {}
    monkeypatch.setattr(monai.bundle, "run", lambda **arguments: given.update(arguments))
    return given


def files(*names: str) -> list[str]:
    return [str(CONFIGS / name if name.endswith(".json") else config_path(name)) for name in names]


def test_generate_runs_inference_with_the_options_as_overrides(handed: dict[str, Any]) -> None:
    main([*GENERATE, "--num_images", "8", "--seed", "3"])
    settings = {"dataset_dir": "data", "output_dir": "out", "num_images": 8, "seed": 3}
    assert handed == {"config_file": files("inference.json"), **settings}


def test_options_that_are_not_given_are_left_to_the_config(handed: dict[str, Any]) -> None:
    main(GENERATE)
    assert handed.keys() == {"config_file", "dataset_dir", "output_dir"}


def test_ids_of_the_bundle_are_passed_on_as_monai_reads_them(handed: dict[str, Any]) -> None:
    ids = ["--batch-size=4", "--pairing#spares", "4", "--overwrite", "--ckpt", "'2024'", "--eta", "0.5"]
    main([*GENERATE, *ids])
    expected = {"batch_size": 4, "pairing#spares": 4, "overwrite": True, "ckpt": "2024", "eta": 0.5}
    assert handed.items() >= expected.items()


@pytest.mark.parametrize("folder", ["2024", "a,b", "None", "with space", "[1]"])
def test_a_folder_is_text_whatever_it_looks_like(handed: dict[str, Any], folder: str) -> None:
    main(["generate", "--dataset_dir", folder, "--output_dir", folder])
    assert (handed["dataset_dir"], handed["output_dir"]) == (folder, folder)


def test_overlays_follow_the_bundle_s_file(handed: dict[str, Any], tmp_path: Path) -> None:
    mine = tmp_path / "it's mine.json"
    mine.write_text(json.dumps({"steps": 5}))
    main([*GENERATE, "--config", str(mine), "presets/smoke", "--seed", "1"])
    assert handed["config_file"] == [*files("inference.json"), str(mine), *files("presets/smoke")]


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ([], ["train.json"]),
        (["--preset", "paper"], ["train.json", "presets/paper"]),
        (["classifier"], ["train_classifier.json"]),
        (["classifier", "--preset", "paper"], ["train_classifier.json", "presets/paper_classifier"]),
        (["classifier", "--preset", "smoke"], ["train_classifier.json", "presets/smoke"]),
        (["gate"], ["train_classifier.json", "train_gate.json"]),
        (["gate", "--preset", "fast"], ["train_classifier.json", "presets/fast", "train_gate.json"]),
    ],
)
def test_train_chooses_the_config_files_of_network_and_preset(
    handed: dict[str, Any], words: list[str], names: list[str]
) -> None:
    main([TRAIN[0], *words, *TRAIN[1:], "--epoch_length", "2"])
    assert handed == {"config_file": files(*names), "dataset_dir": "data", "epoch_length": 2}


def test_a_preset_of_the_gate_leaves_it_without_noise() -> None:
    for preset in ("smoke", "fast", "paper"):
        merged = ConfigParser.load_config_files(files(*config_names("gate", preset)))
        assert (merged["max_step"], merged["kind"], merged["preset"]) == (0, "gate", preset)


@pytest.mark.parametrize("words", [GENERATE, ["plan", "--dataset_dir", "d", "--output_dir", "o"], TRAIN])
def test_every_option_is_an_id_of_the_configs(handed: dict[str, Any], words: list[str]) -> None:
    more = ["--ckpt_dir", "c", "--max_epochs", "1"] if words is TRAIN else ["--num_images", "balance"]
    main([*words, *more, "--seed", "0"])
    config = ConfigParser.load_config_files(handed.pop("config_file"))
    assert handed.keys() <= config.keys()


@pytest.mark.parametrize("words", [GENERATE, ["plan", "--dataset_dir", "d", "--output_dir", "o"], TRAIN])
def test_the_record_s_config_holds_every_override_while_the_command_runs(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    handed: dict[str, Any] = {}

    def describe() -> Any:
        return run_record.describe_run(seed=7, device="cpu", started=0.0)["config"]

    monkeypatch.setattr(
        monai.bundle, "run", lambda **arguments: handed.update(arguments, recorded=describe())
    )
    more = ["--ckpt_dir", "c", "--max_epochs", "9"] if words is TRAIN else ["--num_images", "5"]
    main([*words, *more, "--seed", "7", "--skip_bad_patients", "True"])
    recorded = handed.pop("recorded")
    del handed["config_file"]
    assert handed["seed"] == 7
    assert recorded.items() >= handed.items()
    assert describe() is None


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--num_image", "24"], "error: --num_image: .*the nearest is --num_images"),
        (["--pairing#spare", "24"], "error: --pairing#spare: .*the nearest is --pairing#spares"),
        (["--config_file", "x.json"], "error: --config_file: .*use --config"),
        (["--config", "presets/huge"], "error: config 'presets/huge': .*choose one of .*presets/paper"),
    ],
)
def test_what_does_not_exist_ends_in_one_line_before_anything_runs(
    handed: dict[str, Any], words: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main([*GENERATE, *words])
    assert caught.value.code == 1
    (printed,) = capsys.readouterr().err.splitlines()
    assert re.match(line, printed)
    assert handed == {}


def ends_with(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> object:
    def fail(**_: Any) -> None:
        try:
            raise error
        except Exception as inner:
            raise RuntimeError("Failed to evaluate") from inner  # as MONAI does

    monkeypatch.setattr(monai.bundle, "run", fail)
    with pytest.raises(SystemExit) as caught:
        main(GENERATE)
    return caught.value.code


def test_an_incomplete_run_ends_with_three(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ends_with(IncompleteError("out", "22 of 24", "see report.html"), monkeypatch) == 3
    assert capsys.readouterr().err == "error: out: 22 of 24; see report.html\n"


def test_ctrl_c_ends_with_130_and_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ends_with(KeyboardInterrupt(), monkeypatch) == 130
    assert capsys.readouterr().err.strip() == "error: interrupted; give the same command again to go on"


def test_an_error_of_others_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: Any) -> None:
        raise KeyError("theirs")

    monkeypatch.setattr(monai.bundle, "run", fail)
    with pytest.raises(KeyError, match="theirs"):
        main(GENERATE)


@pytest.mark.subprocess
@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_ctrl_c_while_training_ends_with_130_and_no_traceback(phantom_cohort: Path, tmp_path: Path) -> None:
    words = ["train", "--dataset_dir", str(phantom_cohort), "--preset", "smoke", "--max_epochs", "100000"]
    running = subprocess.Popen(
        [sys.executable, "-m", "mcf_bundle", *words],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        # What a shell starts in the background ignores Ctrl-C, and so would this.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        deadline = time.monotonic() + 300
        while not list(tmp_path.rglob("model_last.pt")) and time.monotonic() < deadline:
            assert running.poll() is None, running.communicate()[0]
            time.sleep(0.5)
        running.send_signal(signal.SIGINT)
        printed, _ = running.communicate(timeout=120)
    finally:
        running.kill()
    assert running.returncode == 130
    assert "Traceback" not in printed
    assert "error: interrupted" in printed
