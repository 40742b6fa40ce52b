"""The default sampler beside every step from L: the same rows, seeds and networks."""

from __future__ import annotations

import numpy as np

from benchmarks.calls import distances, sample
from benchmarks.row import Row
from benchmarks.rows import Rows
from mcf_bundle.data.pool import find_donors
from mcf_bundle.data.triplet_dataset import to_network_range
from mcf_bundle.errors import DataError
from mcf_bundle.metrics.bootstrap import bootstrap_over_patients
from mcf_bundle.metrics.extractors import load_extractor
from mcf_bundle.metrics.kernel_distance import kid


def real_tumors(rows: Rows) -> np.ndarray:
    """Return the tumor slices of the validation patients, (N, 3, H, W), normalized, float32."""
    source = rows.config.get_parsed_content("generation").source
    cases = source.validation_cases()
    by_name = {case.patient: case for case in cases}
    donors = find_donors(cases, source.rules.donor).members
    return np.stack([by_name[donor.patient].normalized([donor.index])[0] for donor in donors])


def measure(rows: Rows) -> list[Row]:
    """Return the rows: calls, difference inside the tumor, and kernel distance to real tumors.

    Args:
        rows: what is sampled both ways, guidance included.
    """
    inferer = rows.config.get_parsed_content("inferer")
    default = inferer.settings
    every_step = {"solver": "ddim", "spacing": "uniform", "steps": default.start_step}
    reference, _ = sample(rows, **every_step)
    changes = {name: getattr(default, name) for name in every_step}
    images, _ = sample(rows, **changes)
    differences = distances(rows, images, reference)
    extractor = load_extractor("gate")
    real = extractor(to_network_range(real_tumors(rows)))[0]
    few, every = (extractor(to_network_range(np.clip(part, 0, 1)))[0] for part in (images, reference))
    against_every = kid(every, real)
    if against_every <= 0:
        problem = f"{len(every)} with every step have a KID of {against_every:.4f}, too little to divide by"
        raise DataError("images", problem, "give more of them")

    def worse(indices: np.ndarray) -> np.ndarray:
        """Return how much worse the kernel distance is, as a share of that of every step."""
        return np.array([kid(few[indices], real) - kid(every[indices], real)]) / against_every

    hosts = [item.host.patient for item in rows.materials]
    interval = bootstrap_over_patients(worse, hosts, resamples=500)
    peer = f"DDIM over every step from L = {default.start_step}"
    return [
        Row(
            name="default sampler, calls of the denoiser",
            ours=default.steps,
            peer=default.start_step,
            peer_name=peer,
            unit="calls an image",
            better="smaller",
            bar=12,
            limit=True,
        ),
        Row(
            name="default sampler, difference inside the tumor",
            ours=float(np.mean(differences)),
            peer=None,
            peer_name=peer,
            unit="mean absolute difference on [0, 1]",
            better="smaller",
            bar=0.005,
            limit=True,
            spread=(float(np.min(differences)), float(np.max(differences))),
            n=len(differences),
        ),
        Row(
            name="default sampler, kernel distance to real tumors",
            ours=float(interval.high[0]),
            peer=None,
            peer_name=peer,
            unit="share by which KID is worse, upper 95 % limit",
            better="smaller",
            bar=0.05,
            limit=True,
            spread=(float(interval.low[0]), float(interval.high[0])),
            n=len(few),
            note=f"KID {kid(few, real):.4f} against {against_every:.4f}, {len(real)} real tumor slices, "
            f"features of {extractor.extractor.name}",
        ),
    ]
