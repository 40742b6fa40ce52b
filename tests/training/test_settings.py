"""Settings of a training run that are refused before anything is read or written."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from mcf_bundle.errors import ArgumentError
from mcf_bundle.training.settings import check_training_settings

GOOD: dict[str, Any] = {
    "ckpt_dir": "runs/denoiser",
    "learning_rate": 1e-3,
    "counts": {"max_epochs": 1, "epoch_length": None},
    "crop": 32,
    "size_divisor": 16,
}


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"crop": None},
        {"ckpt_dir": 2024},
        {"ckpt_dir": Path()},
        {"kind": "gate", "max_step": 0},
        {"cooldown_epochs": 1},
    ],
)
def test_good_settings_pass_and_nothing_is_made(
    changed: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    check_training_settings(**(GOOD | changed))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"ckpt_dir": None}, "--ckpt_dir"),
        ({"ckpt_dir": ("a", "b")}, "--ckpt_dir"),
        ({"ckpt_dir": __file__}, "ckpt_dir"),
        ({"learning_rate": 0}, "learning_rate"),
        ({"device": "gpu7"}, "device"),
        ({"learning_rate": "x"}, "learning_rate"),
        ({"learning_rate": True}, "learning_rate"),
        ({"learning_rate": math.nan}, "learning_rate"),
        ({"learning_rate": math.inf}, "learning_rate"),
        ({"cooldown_epochs": -1}, "cooldown_epochs"),
        ({"cooldown_epochs": 1.5}, "cooldown_epochs"),
        ({"cooldown_epochs": 4, "counts": {"max_epochs": 3}}, "cooldown_epochs"),
        ({"counts": {"batch_size": 0}}, "batch_size"),
        ({"counts": {"max_epochs": 1.5}}, "max_epochs"),
        ({"counts": {"val_interval": True}}, "val_interval"),
        ({"crop": 0}, "crop"),
        ({"crop": -32}, "crop"),
        ({"crop": 40}, "crop"),
        ({"crop": "a"}, "crop"),
        ({"kind": "gate", "max_step": 1000}, "max_step"),
    ],
)
def test_a_bad_setting_is_refused_by_name(changed: dict[str, Any], name: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        check_training_settings(**(GOOD | changed))
    assert caught.value.where == name
