"""Measures in which the heads of phantom patients differ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Head:
    """What distinguishes one patient's anatomy; lengths in reference pixels.

    Attributes:
        length: head length, forehead to occiput.
        aspect: head width over head length.
        roll: turn in the slice plane, radians.
        center: (x, y) of the head's middle from the image's.
        scalp: thickness of the scalp at the side; skull: of the bone below it; gap: of the fluid below that.
        ventricle: scale of the ventricles' width.
        ventricle_sides: further scale (left, right).
        sulcus: typical half width of a sulcus.
        fold_depth: typical depth of a sulcus.
    """

    length: float
    aspect: float
    roll: float
    center: tuple[float, float]
    scalp: float
    skull: float
    gap: float
    ventricle: float
    ventricle_sides: tuple[float, float]
    sulcus: float
    fold_depth: float


def draw_head(rng: np.random.Generator) -> Head:
    """Draw a patient's head."""
    return Head(
        length=rng.uniform(190, 235),
        aspect=rng.uniform(0.76, 0.85),
        roll=float(np.deg2rad(np.clip(rng.normal(0, 4), -9, 9))),
        center=(rng.uniform(-5, 5), rng.uniform(-5, 5)),
        scalp=rng.uniform(4.0, 6.5),
        skull=rng.uniform(3.6, 5.6),
        gap=rng.uniform(0.8, 2.4),
        ventricle=rng.uniform(0.7, 1.35),
        ventricle_sides=(rng.uniform(0.85, 1.15), rng.uniform(0.85, 1.15)),
        sulcus=rng.uniform(0.45, 1.1),
        fold_depth=rng.uniform(13, 20),
    )
