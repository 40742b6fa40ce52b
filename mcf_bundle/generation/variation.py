"""Vary a donor's tumor: turn, size, place, outline and contrast, so that no two images show the same one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcf_bundle.arguments import check_fields, check_flag, check_number

BEND_ORDERS = (2, 3, 4)
"""Waves around the outline that a bend is made of; 0 would be a size and 1 a shift."""

MAX_BEND = 0.5
"""Larger bends could fold the outline over the center."""

BendModes = tuple[tuple[float, float], ...]
"""Amplitudes of cosine and sine, one pair an order of `BEND_ORDERS`, in parts of the radius."""


@dataclass(frozen=True)
class Variation:
    """A change of the tumor after it was placed, about its center in the host's frame.

    Attributes:
        rotation_deg: rotation from rows towards columns, degrees.
        scale: magnification of the tumor, 1 = none.
        shift: (rows, columns), pixels at 256 x 256; scaled to the image's size.
        bend: how the outline goes in and out, see `Bend`; empty = not at all.
        contrast: exponent of the tumor's ratio to the tissue around it, see `harmonize`; 1 = the donor's own.
    """

    rotation_deg: float = 0.0
    scale: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)
    bend: BendModes = ()
    contrast: float = 1.0

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and numbers that survive JSON unchanged.

        Outline and contrast only where they are varied, so that plans from before keep their bytes.
        """
        fields: dict[str, Any] = {
            "rotation_deg": self.rotation_deg,
            "scale": self.scale,
            "shift": list(self.shift),
        }
        if self.bend:
            fields["bend"] = [list(pair) for pair in self.bend]
        if self.contrast != 1:
            fields["contrast"] = self.contrast
        return fields

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Variation:
        """Rebuild a variation from `to_dict`; KeyError or ValueError where a part is missing."""
        rows, columns = fields["shift"]
        bend = tuple((float(cosine), float(sine)) for cosine, sine in fields.get("bend", ()))
        contrast = float(fields.get("contrast", 1.0))
        return cls(fields["rotation_deg"], fields["scale"], (float(rows), float(columns)), bend, contrast)


NO_VARIATION = Variation()
"""The donor's tumor as it is."""


@dataclass(frozen=True)
class VariationRules:
    """How far a tumor may be varied; each quantity is drawn uniformly.

    Attributes:
        first_use: whether the first use of a pair is varied; without it variation begins where pairs are used
            again.
        rotation_deg: largest rotation, degrees.
        scale: largest relative change of size.
        shift: largest shift along each axis, pixels at 256 x 256.
        bend: largest relative change of the radius at any angle, see `Bend`; 0 keeps the outline.
        contrast: largest change of the contrast's exponent; 0 keeps the contrast.

    Raises:
        ArgumentError: a field has another type or lies outside its range.
    """

    first_use: bool = False
    rotation_deg: float = 8.0
    scale: float = 0.08
    shift: float = 3.0
    bend: float = 0.0
    contrast: float = 0.0

    def __post_init__(self) -> None:
        share = partial(check_number, least=0, below=1)
        check_fields(
            self,
            {
                "first_use": check_flag,
                "rotation_deg": partial(check_number, least=0, most=180),
                "scale": share,
                "shift": partial(check_number, least=0),
                "bend": partial(check_number, least=0, most=MAX_BEND),
                "contrast": share,
            },
        )

    def draw(self, generator: np.random.Generator) -> Variation:
        """Draw a variation."""
        turn, size, down, right = generator.uniform(-1, 1, 4).tolist()
        bend: BendModes = ()
        contrast = 1.0
        if self.bend:
            # The amplitudes of all orders together cannot exceed the limit at any angle.
            size_of_pair = self.bend / len(BEND_ORDERS)
            radius = np.sqrt(generator.uniform(0, 1, len(BEND_ORDERS))) * size_of_pair
            angle = generator.uniform(0, 2 * np.pi, len(BEND_ORDERS))
            bend = tuple(
                zip((radius * np.cos(angle)).tolist(), (radius * np.sin(angle)).tolist(), strict=True)
            )
        if self.contrast:
            contrast = 1 + float(generator.uniform(-1, 1)) * self.contrast
        return Variation(
            turn * self.rotation_deg,
            1 + size * self.scale,
            (down * self.shift, right * self.shift),
            bend,
            contrast,
        )


@dataclass(frozen=True)
class Bend:
    """A change of the outline: points move on their rays from a center, by a factor for each angle.

    The factor is 1 + sum over `BEND_ORDERS` of a cos(k angle) + b sin(k angle), so the change is smooth
    around the center and has the same relative size near to it and far away.

    Attributes:
        center: (row, column) in the host's frame, pixels.
        modes: a and b of each order.
    """

    center: tuple[float, float]
    modes: BendModes

    def apply(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Move points (..., 2), rows and columns, outwards and inwards."""
        return self._move(points, self._factor(points))

    def undo(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Move points (..., 2) back to where `apply` took them from."""
        return self._move(points, 1 / self._factor(points))

    def _move(self, points: NDArray[np.float64], factor: NDArray[np.float64]) -> NDArray[np.float64]:
        center = np.asarray(self.center)
        return center + factor[..., None] * (points - center)

    def _factor(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        rays = points - np.asarray(self.center)
        angle = np.arctan2(rays[..., 0], rays[..., 1])
        waves = (
            cosine * np.cos(order * angle) + sine * np.sin(order * angle)
            for order, (cosine, sine) in zip(BEND_ORDERS, self.modes, strict=True)
        )
        return 1 + sum(waves, np.zeros_like(angle))

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists that survive JSON unchanged."""
        return {"center": list(self.center), "modes": [list(pair) for pair in self.modes]}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Bend:
        """Rebuild a bend from `to_dict`; KeyError or ValueError where a part is missing."""
        row, column = fields["center"]
        modes = tuple((float(cosine), float(sine)) for cosine, sine in fields["modes"])
        if len(modes) != len(BEND_ORDERS):
            raise ValueError(f"a bend has {len(BEND_ORDERS)} pairs of amplitudes, got {len(modes)}")
        return cls((float(row), float(column)), modes)
