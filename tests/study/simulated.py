"""Gathered per-case tables with a known effect of each arm."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mcf_bundle.metrics.case_table import (
    CLASSIFICATION_COLUMNS,
    LEVEL_COLUMNS,
    SEGMENTATION_COLUMNS,
    Column,
    case_columns,
)
from mcf_bundle.study.config import (
    Arm,
    Generator,
    Model,
    Primary,
    StudyConfig,
    SyntheticSet,
)
from mcf_bundle.study.run_cases import RUN_COLUMNS
from mcf_bundle.study.splits import CROSS_VALIDATION

STEPS = {"epoch_length": 1, "max_epochs": 1}

CONFIG = StudyConfig(
    name="simulated",
    scale="smoke",
    folds=3,
    validation_share=0.2,
    split_seed=0,
    seeds=[0, 1],
    fractions=[1.0],
    arms={
        "real_only": Arm("flip", 0.5),
        "strong": Arm("strong", 0.5),
        "composites": Arm("flip", 0.5, "composites", 0.5),
        "mcf": Arm("flip", 0.5, "mcf", 0.5),
        "strong_mcf": Arm("strong", 0.5, "mcf", 0.5),
        "shuffled_masks": Arm("flip", 0.5, "shuffled", 0.5),
    },
    sets={
        "mcf": SyntheticSet("generated"),
        "composites": SyntheticSet("composites", "mcf"),
        "shuffled": SyntheticSet("shuffled_masks", "mcf"),
    },
    models={
        "unet": Model("tumor_segmentation", STEPS),
        "resnet18": Model("tumor_classification", STEPS),
    },
    generator=Generator(),
    primary=Primary("unet", "strong_mcf", "strong", "dice"),
)

EFFECTS = {
    "real_only": 0.0,
    "strong": 0.04,
    "composites": 0.0,
    "mcf": 0.05,
    "strong_mcf": 0.1,
    "shuffled_masks": -0.1,
}
"""What each arm adds to a patient's Dice."""

PATIENTS, SLICES, TUMOR_SLICES = 18, 6, 4


def config_with(**changes: Any) -> StudyConfig:
    return replace(CONFIG, **changes)


def segmentation_row(patient: str, number: int, dice: float, false_positive: int = 0) -> dict[str, Any]:
    """A slice with 100 tumor pixels, 100 predicted and so many of both that Dice is the given one."""
    tumor = number < TUMOR_SLICES
    common = round(100 * dice) if tumor else 0
    empty = not tumor and not false_positive
    overlap = common / 100 if tumor else float(empty)
    return {
        **case_columns(patient, number),
        "prediction_pixels": 100 if tumor else false_positive,
        "reference_pixels": 100 if tumor else 0,
        "common_pixels": common,
        "empty_policy": "penalize",
        "dice": overlap,
        "jaccard": overlap / (2 - overlap),
        "unit": "pixel",
        "hd95": 40 * (1 - overlap),
        "asd": 10 * (1 - overlap),
        "hd95_percent_of_head": "",
        "asd_percent_of_head": "",
        "tolerance": "",
        "surface_dice": "",
    }


def segmentation_rows(effects: Mapping[str, float] = EFFECTS, seed: int = 0) -> list[dict[str, Any]]:
    """Three folds and two seeds of each arm; patients differ by SD 0.1, trainings by 0.01."""
    generator = np.random.default_rng(seed)
    skill = generator.normal(0.6, 0.1, PATIENTS)
    rows = []
    for arm, effect in effects.items():
        response = generator.normal(effect, 0.02, PATIENTS)
        for fold in range(3):
            for training in CONFIG.seeds:
                luck = generator.normal(0, 0.01)
                for patient in range(fold, PATIENTS, 3):
                    dice = np.clip(skill[patient] + response[patient] + luck, 0.01, 0.99)
                    rows += [
                        {
                            **run(arm, fold, training),
                            **segmentation_row(f"p{patient:02}", number, dice, 7 * (number % 2)),
                        }
                        for number in range(SLICES)
                    ]
    return rows


def run(arm: str, fold: int, seed: int, model: str = "unet") -> dict[str, Any]:
    return {
        "question": CROSS_VALIDATION,
        "model": model,
        "arm": arm,
        "fraction": 1.0,
        "fold": str(fold),
        "seed": seed,
    }


def classification_rows(seed: int = 0) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of classifiers whose logit is the label plus noise, and of their levels."""
    generator = np.random.default_rng(seed)
    rows, levels = [], []
    for arm, effect in EFFECTS.items():
        for fold in range(3):
            for training in CONFIG.seeds:
                for patient in range(fold, PATIENTS, 3):
                    for number in range(SLICES):
                        label = int(number < TUMOR_SLICES)
                        logit = (2 * label - 1) * (0.5 + 5 * effect) + generator.normal()
                        one = {
                            **run(arm, fold, training, "resnet18"),
                            **case_columns(f"p{patient:02}", number),
                        }
                        rows.append({**one, "label": label, "probability": 1 / (1 + np.exp(-logit))})
                        guess = (5 * number % SLICES) / SLICES
                        chosen = {"leveled": int(number > 0), "matched": int(number > 1)}
                        levels.append({**one, "label": label, "probability": guess, **chosen})
    return rows, levels


def write_gathered(
    path: Path, rows: Iterable[Mapping[str, Any]], columns: Mapping[str, Column] = SEGMENTATION_COLUMNS
) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*RUN_COLUMNS, *columns], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_study(folder: Path) -> dict[str, Path]:
    """Write the three gathered tables; returns them by the name of `write_report`'s argument."""
    rows, levels = classification_rows()
    return {
        "segmentation_csv": write_gathered(folder / "cases_segmentation.csv", segmentation_rows()),
        "classification_csv": write_gathered(
            folder / "cases_classification.csv", rows, CLASSIFICATION_COLUMNS
        ),
        "levels_csv": write_gathered(folder / "cases_levels.csv", levels, LEVEL_COLUMNS),
    }
