"""Sets that are made from the rows of a generation without a network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcf_bundle.data.lgg import read_volume
from mcf_bundle.errors import DataError
from mcf_bundle.generation.finished_source import FinishedSource
from mcf_bundle.generation.materials import Materials
from mcf_bundle.generation.stored_tiles import prepare_again
from mcf_bundle.study.set_folder import SetCase

MADE_FROM = ("host", "donor", "transform", "settings", "input_sha256")
"""What a composite's line of the manifest keeps of the generation's."""


def composites(finished: FinishedSource) -> Iterator[SetCase]:
    """Yield each row's harmonized composite as the sampler got it: what the diffusion has to improve on.

    Neighbors and masks are the generation's own.
    """
    for record, item in _materials(finished):
        images = item.host.scale.denormalize(item.composite.image)
        origin = {name: record[name] for name in MADE_FROM}
        yield SetCase(record["row"], item.host.volume.institution, images, item.composite.mask, origin)


def unmodified_hosts(finished: FinishedSource) -> Iterator[SetCase]:
    """Yield each row's host as it is, healthy: more images, and no new tumor.

    A host slice that serves in several rows comes several times, as in the generation. Host and donor are
    the same slice: its pixels show nobody else.
    """
    for record, item in _materials(finished):
        triplet = slice(item.host_index - 1, item.host_index + 2)
        volume = item.host.volume
        origin = {"host": record["host"], "donor": record["host"]}
        yield SetCase(record["row"], volume.institution, volume.image[triplet], volume.mask[triplet], origin)


def shuffled_masks(finished: FinishedSource, seed: int) -> Iterator[SetCase]:
    """Yield each row's generated image with the masks of another row: the control, which must not help.

    The donor is the one whose tumor shows in the image; `masks_of` names the row that the masks came from.

    Raises:
        DataError: there is one image only, which has nothing to exchange with.
    """
    records = finished.run.records
    if len(records) < 2:
        raise DataError(finished.output_dir, "one image has no other's mask to take", "generate more images")
    for record, other in zip(records, exchange(len(records), seed), strict=True):
        own, lender = (read_volume(finished.output_dir / item["name"]) for item in (record, records[other]))
        origin = {"host": record["host"], "donor": record["donor"], "masks_of": records[other]["name"]}
        yield SetCase(record["row"], own.institution, own.image, lender.mask, origin)


def exchange(count: int, seed: int) -> NDArray[np.int_]:
    """Return a permutation of positions without a fixed point, drawn from those of one cycle.

    Each takes the place of the one that follows in a random order.

    Args:
        count: 2 or more.
        seed: of the order.

    >>> exchange(2, 0).tolist()
    [1, 0]
    """
    order = np.random.default_rng(seed).permutation(count)
    taken = np.empty(count, int)
    taken[order] = np.roll(order, -1)
    return taken


def _materials(finished: FinishedSource) -> Iterator[tuple[Mapping[str, Any], Materials]]:
    """Compose every row of the manifest again."""
    for record in finished.run.records:
        yield record, prepare_again(record, finished.training, finished.placement_rules)
