"""Tests of mcf_bundle.overrides."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from monai.bundle import ConfigParser, ConfigWorkflow

from mcf_bundle.errors import ArgumentError
from mcf_bundle.overrides import check_command, check_overrides, read_command

CONFIG = {
    "dataset_dir": "data",
    "num_images": 4,
    "train": {
        "trainer": {"_target_": "SupervisedTrainer", "max_epochs": 3},
        "handlers": [{"_target_": "StatsHandler"}],
    },
}


@pytest.mark.parametrize(
    ("typed", "nearest"),
    [
        ("num_image", "--num_images"),
        ("+num_image", "--num_images"),
        ("train#trainer#max_epoch", "--train#trainer#max_epochs"),
        ("train::trainer::max_epoch", "--train#trainer#max_epochs"),
        ("trian#trainer#max_epochs", "--train"),
        ("train#trainr#max_epochs", "--train#trainer"),
        ("max_epochs", "--train#trainer#max_epochs"),
        ("train#trainer#ampp", "--train#trainer#amp"),
        ("loging_file", "--logging_file"),
        ("num_images_", "--num_images"),
    ],
)
def test_misspelled_id_is_refused_and_the_nearest_named(typed: str, nearest: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        check_overrides([typed], CONFIG)
    assert caught.value.where == f"--{typed}"
    assert caught.value.remedy == f"the nearest is {nearest}"


@pytest.mark.parametrize(
    "typed",
    [
        "num_images",
        "+train",
        "train#trainer#max_epochs",
        "train#trainer#amp",
        "train#trainer#_disabled_",
        "train#handlers#0#name",
        "num_images#below_a_number",
        "bundle_root",
        "_meta_#version",
        "workflow_type",
        "run_id",
    ],
)
def test_known_id_and_unset_argument_of_a_target_pass(typed: str) -> None:
    check_overrides([typed], CONFIG)


def test_id_that_resembles_nothing_lists_the_ids() -> None:
    with pytest.raises(ArgumentError, match=r"the ids there are .*dataset_dir, .*num_images"):
        check_overrides(["zzzzzzzz"], CONFIG)


@pytest.mark.parametrize(
    ("arguments", "overrides"),
    [
        (["--num_images", "24"], {"num_images": 24}),
        (["--num-images=24"], {"num_images": 24}),
        (["--train#trainer#max_epochs", "2"], {"train#trainer#max_epochs": 2}),
        (["--train::trainer::max_epochs=2"], {"train::trainer::max_epochs": 2}),
        (["--overwrite"], {"overwrite": True}),
        (["--dataset_dir", "2024"], {"dataset_dir": 2024}),
        (["--dataset_dir", "a,b"], {"dataset_dir": ("a", "b")}),
        ([], {}),
    ],
)
def test_arguments_arrive_as_monai_sees_them(arguments: list[str], overrides: dict) -> None:
    own, found = read_command(["other", "--config_file", "a.json", *arguments, "--logging_file", "l.conf"])
    assert found == overrides
    assert own == {"run_id": "other", "config_file": "a.json", "logging_file": "l.conf"}


def test_overlay_brings_ids_of_its_own_and_args_file_counts(tmp_path: Path) -> None:
    bundle, overlay, defaults = (tmp_path / name for name in ("train.json", "paper.json", "args.json"))
    bundle.write_text(json.dumps(CONFIG))
    overlay.write_text(json.dumps({"channels": 32, "train#trainer#decollate": False}))
    both = ["--config_file", f"['{bundle}','{overlay}']"]
    check_command([*both, "--channels", "8", "--train#trainer#decollate", "True"])
    with pytest.raises(ArgumentError, match="'channels'"):
        check_command(["--config_file", str(bundle), "--channels", "8"])

    defaults.write_text(json.dumps({"config_file": str(bundle), "num_image": 3}))
    with pytest.raises(ArgumentError, match="nearest is --num_images"):
        check_command(["--args_file", str(defaults)])


def test_tracking_brings_arguments_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "train.json").write_text(json.dumps(CONFIG))
    named = ["--config_file", str(tmp_path / "train.json"), "--experiment_name", "first"]
    check_command([*named, "--tracking", "mlflow"])
    with pytest.raises(ArgumentError, match="experiment_name"):
        check_command(named)


def test_command_without_config_file_is_left_to_monai() -> None:
    assert check_command(["--num_image", "3"]) is None


@pytest.mark.filterwarnings("ignore:Default logging file")
def test_the_config_of_a_command_is_the_one_that_monai_runs(tmp_path: Path) -> None:
    bundle, overlay = tmp_path / "train.json", tmp_path / "overlay.json"
    bundle.write_text(json.dumps({**CONFIG, "network": "$@network_def.to(@device)", "crop": None}))
    overlay.write_text(json.dumps({"+train": {"size": 3}, "train#handlers": [], "num_images": 5}))
    overrides = {"num_images": 24, "train#trainer#max_epochs": 2, "train::trainer::amp": True}
    typed = [word for name, value in overrides.items() for word in (f"--{name}", str(value))]
    config = check_command(["--config_file", f"['{bundle}','{overlay}']", *typed])
    monai = ConfigWorkflow([str(bundle), str(overlay)], logging_file=False, **overrides).parser.get()
    assert config == {key: value for key, value in monai.items() if key != ConfigParser.meta_key}
    assert config["train"] == {
        "trainer": {"_target_": "SupervisedTrainer", "max_epochs": 2, "amp": True},
        "handlers": [],
        "size": 3,
    }
    assert (config["num_images"], config["network"]) == (24, "$@network_def.to(@device)")
