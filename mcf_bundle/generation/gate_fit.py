"""Fit the gate to real tumors."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import nn

from mcf_bundle.data.case import Case
from mcf_bundle.data.pool import DonorRules, find_donors
from mcf_bundle.data.triplet_dataset import to_network_range
from mcf_bundle.generation.block_size import BlockSize
from mcf_bundle.generation.gate import GateLimits, fit_limits, slice_figures
from mcf_bundle.generation.gate_rules import GateRules
from mcf_bundle.generation.nearest import SliceGallery
from mcf_bundle.networks.precision import autocast_call
from mcf_bundle.progress import progress_bar

logger = logging.getLogger(__name__)


class TumorProbability:
    """The gate's classifier on images without noise, always in blocks of one shape.

    Args:
        network: a classifier that is not the guidance classifier.
        precision: see `autocast_call`.
        block: images in each network call.
        device: where the network is.
    """

    def __init__(self, network: nn.Module, *, precision: str, block: BlockSize, device: torch.device) -> None:
        self.call, self.block, self.device = autocast_call(network, precision), block, device

    @torch.no_grad()
    def __call__(self, images: Sequence[np.ndarray]) -> list[float]:
        """Return the probability of tumor of each image, (3, H, W), float32, normalized; in [0, 1]."""
        return self.block.split(images, self._call_block)

    def _call_block(self, part: Sequence[np.ndarray], size: int) -> list[float]:
        filled = np.stack([*part, *[part[-1]] * (size - len(part))])
        x = torch.from_numpy(to_network_range(filled)).to(self.device)
        probability = self.call(x, torch.zeros(1, dtype=torch.long, device=self.device)).softmax(1)[:, 1]
        return probability.cpu().tolist()[: len(part)]


def fit_gate(
    training: Sequence[Case],
    validation: Sequence[Case],
    gallery: SliceGallery,
    *,
    donor_rules: DonorRules,
    gate_rules: GateRules,
    probability: TumorProbability,
) -> GateLimits:
    """Take the gate's limits from the real tumors that could be donors; warn where they reject many of these.

    Args:
        training: the training patients.
        validation: the validation patients, whose rejection rate is measured.
        gallery: the training slices.
        donor_rules: which tumors count: those that resemble what is generated.
        gate_rules: how the limits are fitted.
        probability: the gate's classifier.
    """
    limits = fit_limits(
        _real_figures(training, gallery, donor_rules, probability),
        _real_figures(validation, gallery, donor_rules, probability),
        gate_rules,
    )
    logger.info(
        "gate rejects %.1f %% of %d real training tumors and %.1f %% of %d validation tumors",
        100 * limits.rejects_training,
        limits.counts[0],
        100 * limits.rejects_validation,
        limits.counts[1],
    )
    for warning in limits.warnings(gate_rules.max_real_rejection):
        logger.warning(warning)
    return limits


def _real_figures(
    cases: Sequence[Case],
    gallery: SliceGallery,
    rules: DonorRules,
    probability: Callable[[Sequence[np.ndarray]], list[float]],
) -> list[dict[str, float]]:
    measured = _measure(cases, gallery, rules)
    values = probability([image for image, _ in measured])
    return [
        {**figures, "tumor_probability": value} for (_, figures), value in zip(measured, values, strict=True)
    ]


def _measure(
    cases: Sequence[Case], gallery: SliceGallery, rules: DonorRules
) -> list[tuple[np.ndarray, dict[str, float]]]:
    by_name = {case.patient: case for case in cases}
    donors = find_donors(cases, rules).members
    measured = []
    with progress_bar(len(donors), "measuring real tumors", "slice") as bar:
        for donor in donors:
            case = by_name[donor.patient]
            image = case.normalized([donor.index])[0]
            figures = slice_figures(
                image,
                case.volume.mask[donor.index],
                case.brain[donor.index],
                missing=case.missing,
                gallery=gallery,
                left_out=(donor.patient,),
            )
            measured.append((image, figures))
            bar.update()
    return measured
