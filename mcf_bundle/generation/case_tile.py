"""The report's tile of one image: its record in words, its pixels as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcf_bundle.data.case import Case
from mcf_bundle.generation.materials import Materials, slice_position
from mcf_bundle.generation.tile import Origin, Tile


def case_tile(
    record: Mapping[str, Any],
    result: NDArray[np.uint8],
    mask: NDArray[np.bool_],
    origin: Origin | None = None,
) -> Tile:
    """Make the tile of an image from its line in the manifest.

    Args:
        record: the line; what the tile says comes from it alone, so patients are named as there.
        result: (3, H, W), uint8, stored gray levels, the generated slice.
        mask: (H, W), bool, its mask.
        origin: what it was made from; None leaves these pictures out.
    """
    host, donor, figures = record["host"], record["donor"], record["gate"]
    return Tile(
        title=record["name"],
        origin=origin,
        result=result,
        mask=mask,
        note=f"{host['patient']} slice {host['slice']} + {donor['patient']} slice {donor['slice']}",
        facts=(
            ("host", f"{host['patient']}, slice {host['slice']}, level {host['level']:.2f}"),
            ("donor", f"{donor['patient']}, slice {donor['slice']}, level {donor['level']:.2f}"),
            ("mirrored", "yes" if record["transform"]["mirrored"] else "no"),
            ("mask", f"{record['mask_pixels']} pixels"),
            ("P(tumor)", f"{figures['tumor_probability']:.2f}"),
            ("FLAIR contrast", f"{figures['flair_contrast']:.2f}"),
            ("change outside", f"{figures['change_outside']:.4f}"),
            ("nearest slice", f"r = {figures['nearest_correlation']:.3f}"),
        ),
    )


def origin_of(materials: Materials, donor: Case) -> Origin:
    """Take the middle slices of what an image is made from, as stored gray levels."""
    index = slice_position(donor, materials.candidate.donor)
    return Origin(
        host=materials.host.volume.image[materials.host_index],
        donor=donor.volume.image[index],
        donor_mask=donor.volume.mask[index],
        composite=materials.host.scale.denormalize(materials.composite.image)[1],
    )
