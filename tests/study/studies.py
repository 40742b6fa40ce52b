"""Small studies for tests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mcf_bundle.resources import config_path
from mcf_bundle.study.config import Arm, Generator, Model, Primary, StudyConfig, SyntheticSet
from mcf_bundle.study.config_file import read_config

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


def smoke_config() -> StudyConfig:
    """The shipped study at its smallest scale, with two arms; the second needs every kind of run."""
    config = read_config(config_path("studies/lgg"), "smoke")
    names = ("strong", "strong_composites")
    # The smallest classifier: the others' weights take long to write.
    small = {"network_name": "shufflenet", "size": 64, "batch_size": 4, "epoch_length": 1, "max_epochs": 1}
    return replace(
        config,
        models={"unet": config.models["unet"], "shufflenet": Model("tumor_classification", small)},
        arms={name: config.arms[name] for name in names},
        sets={name: config.sets[name] for name in ("mcf", "composites")},
        primary=Primary("unet", "strong_composites", "strong", "dice"),
    )
