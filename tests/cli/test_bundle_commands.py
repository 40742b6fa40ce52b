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
from mcf_bundle.cli.recipes import EVALUATIONS, TRAININGS, Recipe
from mcf_bundle.errors import ArgumentError, IncompleteError
from mcf_bundle.resources import bundle_root, config_path

GENERATE = ["generate", "--dataset_dir", "data", "--output_dir", "out"]
TRAIN = ["train", "--dataset_dir", "data"]
EVALUATE = ["evaluate", "segmentation", "--dataset_dir", "data", "--output_dir", "out"]
JUDGE = ["judge", "--dataset_dir", "data", "--synthetic_dir", "made", "--output_dir", "out"]


@pytest.fixture(autouse=True)
def _no_debugging(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MCF_DEBUG", raising=False)


@pytest.fixture
def handed(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What `monai.bundle.run` was called with, in place of a run."""
    given: dict[str, Any] = {}
    monkeypatch.setattr(monai.bundle, "run", lambda **arguments: given.update(arguments))
    return given


def files(*names: str, bundle: str = "mcf_diffusion") -> list[str]:
    folder = bundle_root(bundle) / "configs"
    return [str(folder / name if name.endswith(".json") else config_path(name)) for name in names]


def ends_before_it_runs(words: list[str], handed: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> str:
    """Give a command that is refused, and return the one line that it prints."""
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 1
    (printed,) = capsys.readouterr().err.splitlines()
    assert handed == {}
    return printed


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
    main([*GENERATE, "--config", str(mine), "hardware/cpu", "--seed", "1"])
    assert handed["config_file"] == [*files("inference.json"), str(mine), *files("hardware/cpu")]


@pytest.mark.parametrize(
    ("words", "bundle", "names"),
    [
        ([], "mcf_diffusion", ["train.json"]),
        (["--preset", "paper"], "mcf_diffusion", ["train.json", "presets/paper"]),
        (["classifier"], "mcf_diffusion", ["train_classifier.json"]),
        (
            ["classifier", "--preset", "paper"],
            "mcf_diffusion",
            ["train_classifier.json", "presets/paper_classifier"],
        ),
        (["classifier", "--preset", "smoke"], "mcf_diffusion", ["train_classifier.json", "presets/smoke"]),
        (["gate"], "mcf_diffusion", ["train_classifier.json", "train_gate.json"]),
        (
            ["gate", "--preset", "fast"],
            "mcf_diffusion",
            ["train_classifier.json", "presets/fast", "train_gate.json"],
        ),
        (["segmentation"], "tumor_segmentation", ["train.json"]),
        (["segmentation", "--preset", "smoke"], "tumor_segmentation", ["train.json", "presets/smoke"]),
        (["classification"], "tumor_classification", ["train.json"]),
    ],
)
def test_train_chooses_the_config_files_of_network_and_preset(
    handed: dict[str, Any], words: list[str], bundle: str, names: list[str]
) -> None:
    main([TRAIN[0], *words, *TRAIN[1:], "--epoch_length", "2"])
    assert handed == {"config_file": files(*names, bundle=bundle), "dataset_dir": "data", "epoch_length": 2}


@pytest.mark.parametrize(
    ("words", "bundle", "names"),
    [
        (["denoiser"], "mcf_diffusion", ["train.json", "evaluate.json"]),
        (
            ["denoiser", "--preset", "paper"],
            "mcf_diffusion",
            ["train.json", "presets/paper", "evaluate.json"],
        ),
        (["segmentation"], "tumor_segmentation", ["train.json", "evaluate.json"]),
        (["classification"], "tumor_classification", ["train.json", "evaluate.json"]),
    ],
)
def test_evaluate_lists_evaluate_json_after_the_training_s_files(
    handed: dict[str, Any], words: list[str], bundle: str, names: list[str]
) -> None:
    options = ["--dataset_dir", "data", "--output_dir", "out", "--ckpt", "2024", "--split", "test"]
    main(["evaluate", *words, *options])
    settings = {"dataset_dir": "data", "output_dir": "out", "ckpt": "2024", "split": "test"}
    assert handed == {"config_file": files(*names, bundle=bundle), **settings}


def test_what_evaluate_is_not_told_is_left_to_the_config(handed: dict[str, Any]) -> None:
    main(EVALUATE)
    assert handed.keys() == {"config_file", "dataset_dir", "output_dir"}


def test_judge_runs_the_evaluation_of_images(handed: dict[str, Any]) -> None:
    main([*JUDGE, "--seed", "2", "--resamples", "10"])
    settings = {"dataset_dir": "data", "synthetic_dir": "made", "output_dir": "out"}
    expected = {"config_file": files("evaluate_images.json"), **settings, "seed": 2, "resamples": 10}
    assert handed == expected


def test_a_preset_without_an_overlay_is_the_id_of_that_name(handed: dict[str, Any]) -> None:
    main(["train", "segmentation", "--dataset_dir", "data", "--preset", "paper"])
    config_file = files("train.json", bundle="tumor_segmentation")
    assert handed == {"config_file": config_file, "dataset_dir": "data", "preset": "paper"}


RECIPES = [*TRAININGS.items(), *EVALUATIONS.items()]


@pytest.mark.parametrize(
    ("recipe", "preset"),
    [
        pytest.param(recipe, preset, id=f"{name}-{preset}")
        for name, recipe in RECIPES
        for preset in recipe.presets
    ],
)
def test_a_preset_sets_only_ids_that_the_bundle_has(recipe: Recipe, preset: str) -> None:
    base = ConfigParser.load_config_files([str(path) for path in recipe.files()])
    merged = ConfigParser.load_config_files([str(path) for path in recipe.files(preset)])
    assert merged.keys() == base.keys()
    assert (merged | recipe.settings(preset))["preset"] == preset


def test_a_preset_of_the_gate_leaves_it_without_noise() -> None:
    for preset in ("smoke", "fast", "paper"):
        merged = ConfigParser.load_config_files([str(path) for path in TRAININGS["gate"].files(preset)])
        assert (merged["max_step"], merged["kind"], merged["preset"]) == (0, "gate", preset)


@pytest.mark.parametrize(
    ("words", "more"),
    [
        (GENERATE, ["--num_images", "balance", "--seed", "0"]),
        (["plan", "--dataset_dir", "d", "--output_dir", "o"], ["--num_images", "balance", "--seed", "0"]),
        *(
            (["train", network, *TRAIN[1:]], ["--ckpt_dir", "c", "--max_epochs", "1", "--seed", "0"])
            for network in TRAININGS
        ),
        *(
            (["evaluate", network, *EVALUATE[2:]], ["--ckpt", "c", "--split", "test"])
            for network in EVALUATIONS
        ),
        (JUDGE, ["--seed", "0"]),
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_every_option_is_an_id_of_the_configs(
    handed: dict[str, Any], words: list[str], more: list[str]
) -> None:
    main([*words, *more])
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
        (
            ["--config", "presets/paper"],
            "error: --config presets/paper: is not for inference.json of mcf_diffusion: .*'max_epochs'",
        ),
    ],
)
def test_what_does_not_exist_ends_in_one_line_before_anything_runs(
    handed: dict[str, Any], words: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert re.match(line, ends_before_it_runs([*GENERATE, *words], handed, capsys))


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["segmentation", "--config", "presets/paper"],
            "error: --config presets/paper: is not for train.json of tumor_segmentation: .*'max_step'",
        ),
        (["segmentation", "--max_step", "5"], "error: --max_step: there is no id 'max_step' in the config"),
        (
            ["--config", "hardware/multi_gpu_generate"],
            "error: --config hardware/multi_gpu_generate: is not for train.json of mcf_diffusion: .*configs",
        ),
    ],
)
def test_what_the_bundle_does_not_have_is_refused(
    handed: dict[str, Any], words: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert re.match(line, ends_before_it_runs(["train", *words, "--dataset_dir", "d"], handed, capsys))


def test_a_preset_that_the_bundle_lacks_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"paper: .* of mine has no such preset; choose one of smoke"):
        Recipe("mine", ("train.json",), {"smoke": "presets/smoke"}).settings("paper")
    with pytest.raises(ArgumentError, match="leave --preset out"):
        Recipe("mine", ("train.json",)).settings("fast")


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
