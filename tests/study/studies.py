"""Small studies for tests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mcf_bundle.study.config import Arm, Generator, Model, Primary, StudyConfig, SyntheticSet

CONFIG = StudyConfig(
    name="small",
    scale="smoke",
    folds=2,
    validation_share=0.5,
    split_seed=0,
    seeds=[0],
    fractions=[1.0],
    arms={
        "strong": Arm("strong", 0.5),
        "composites": Arm("strong", 0.5, "composites", 0.5),
    },
    sets={"mcf": SyntheticSet("generated"), "composites": SyntheticSet("composites", "mcf")},
    models={
        "unet": Model("tumor_segmentation", {"epoch_length": 2, "max_epochs": 2}),
        "resnet18": Model("tumor_classification", {"epoch_length": 1, "max_epochs": 1}),
    },
    generator=Generator(),
    primary=Primary("unet", "composites", "strong", "dice"),
)


def make_config(**changes: Any) -> StudyConfig:
    return replace(CONFIG, **changes)
