"""Paint a donor's tumor into a host's triplet, and check how it stands out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mcf_bundle.data.case import Case
from mcf_bundle.data.volume import Channel
from mcf_bundle.errors import ArgumentError
from mcf_bundle.generation.contrast import ContrastLimits, tumor_figures
from mcf_bundle.generation.harmonize import TISSUE_SIGMA, harmonize, soft_alpha
from mcf_bundle.generation.placement import PlacementRules, channel_median, check_host_index
from mcf_bundle.generation.warp import Transform, pixel_factor, tumor_window, warp_donor

Blend = Literal["replace", "add"]

_WINDOW_MARGIN = 2.5 * TISSUE_SIGMA
_DEFAULT_RULES = PlacementRules()


@dataclass(frozen=True, eq=False)
class Composite:
    """A host's triplet and the tumor that is laid into it; the slice axis is previous, middle, next.

    Attributes:
        host: (3, 3, H, W), float32, normalized, 0 = background.
        contribution: (3, 3, H, W), float32, what is added to the host, 0 away from the tumor; not clipped.
        mask: (3, H, W), bool, the tumor as painted, within the host's brain.
    """

    host: NDArray[np.float32]
    contribution: NDArray[np.float32]
    mask: NDArray[np.bool_]

    @property
    def image(self) -> NDArray[np.float32]:
        """Host with tumor, (3, 3, H, W), float32, normalized, not clipped."""
        return self.host + self.contribution


@dataclass(frozen=True)
class CompositeCheck:
    """How the tumor of a composite's middle slice stands out.

    Attributes:
        figures: see `tumor_figures`.
        reasons: names of the figures outside their limits; empty if the composite passes.
    """

    figures: dict[str, float]
    reasons: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether no figure is outside its limits."""
        return not self.reasons


def compose(
    host: Case,
    host_index: int,
    donor: Case,
    transform: Transform,
    *,
    blend: Blend = "replace",
    harmonized: bool = True,
    rules: PlacementRules = _DEFAULT_RULES,
) -> Composite:
    """Lay the donor's tumor into the host's triplet, all three slices.

    'replace' puts the donor's tissue in the host's place: contribution = alpha x (donor - host), see
    `soft_alpha`. 'add' is the paper's: contribution = mask x donor, in intensity space, 0 = black. The mask
    is the warped donor's, cut to the host's brain; the tumor's holes (its cavities) and the soft edge are
    painted too where both have brain, no skull. Channels that are copies of FLAIR in the host stay copies.

    Args:
        host: the patient who gets the tumor.
        host_index: middle slice of the host's triplet.
        donor: the patient whose tumor it is.
        transform: from `fit_transform` for the same pair; its variation says how the contrast is changed.
        blend: 'replace' or 'add'.
        harmonized: whether to match the donor's intensities to the host's tissue (`harmonize`); without it
            no contrast is varied.
        rules: what counts as fluid.

    Returns:
        The composite; its contribution is zero where the donor has no tumor in the host's frame.

    Raises:
        ArgumentError: for another blend, or a host slice without two neighbors.
    """
    if blend not in ("replace", "add"):
        raise ArgumentError("blend", f"expected 'replace' or 'add', got {blend!r}", "choose one of the two")
    check_host_index(host, host_index)
    indices = (host_index - 1, host_index, host_index + 1)
    host_image = host.normalized(list(indices))
    contribution, mask = np.zeros_like(host_image), np.zeros((3, *host_image.shape[-2:]), bool)
    factor = pixel_factor(mask.shape)
    window = tumor_window(donor, transform, mask.shape[1:], margin=_WINDOW_MARGIN * factor)
    if window is None:
        return Composite(host_image, contribution, mask)
    warped = warp_donor(donor, transform, mask.shape[1:], window=window)
    part, brain = host_image[(..., *window)], host.brain[(list(indices), *window)]
    painted = warped.mask & brain
    tumor = warped.image
    if harmonized:
        host_tissue = brain & _not_fluid(part, host, indices, rules)
        donor_tissue = warped.brain & _not_fluid(warped.image, donor, transform.donor_indices, rules)
        contrast = transform.variation.contrast
        tumor = harmonize(
            warped.image, warped.mask, donor_tissue, part, host_tissue, contrast=contrast, factor=factor
        )
    if blend == "replace":
        alpha = soft_alpha(_filled(painted), factor=factor) * (painted | (brain & warped.brain))
        added = alpha[:, None] * (tumor - part)
    else:
        added = painted[:, None] * tumor
    added[:, list(host.missing)] = added[:, [Channel.FLAIR]]
    contribution[(..., *window)] = added
    mask[(slice(None), *window)] = painted
    return Composite(host_image, contribution, mask)


def check_composite(
    composite: Composite, host: Case, host_index: int, *, limits: ContrastLimits | None = None
) -> CompositeCheck:
    """Measure the middle slice's tumor and compare the figures with their limits.

    Args:
        composite: from `compose`.
        host: the same host.
        host_index: middle slice of the host's triplet.
        limits: accepted ranges; the defaults if None.

    Returns:
        The figures and the names of those outside their limits; an empty mask breaks every limit.
    """
    limits = limits or ContrastLimits()
    figures = tumor_figures(
        composite.image[1], composite.mask[1], host.brain[host_index], missing=host.missing
    )
    return CompositeCheck(figures, limits.broken(figures))


def _filled(masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Fill the holes of (N, H, W), bool, slice by slice."""
    return np.stack([ndimage.binary_fill_holes(mask) for mask in masks])


def _not_fluid(
    image: NDArray[np.float32], case: Case, indices: tuple[int | None, ...], rules: PlacementRules
) -> NDArray[np.bool_]:
    """Whether FLAIR of (3, 3, h, w) is bright enough for tissue of these slices of the case, (3, h, w)."""
    floors = [
        np.inf if i is None else rules.csf_level * channel_median(case, i, Channel.FLAIR) for i in indices
    ]
    return image[:, Channel.FLAIR] >= np.array(floors)[:, None, None]
