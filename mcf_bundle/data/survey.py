"""Measure the anatomy of all patients once."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mcf_bundle.data.anatomy import brain_region, head_mask
from mcf_bundle.data.case import Case
from mcf_bundle.data.level import LevelTemplate, fit_level_template, locate
from mcf_bundle.data.midline import find_midline
from mcf_bundle.data.missing_sequences import find_missing_sequences
from mcf_bundle.data.normalization import estimate_intensity_scale
from mcf_bundle.data.volume import Volume
from mcf_bundle.progress import progress_bar


@dataclass(frozen=True, eq=False)
class Survey:
    """Patients with their anatomy, and the template that their levels refer to.

    Attributes:
        cases: one a volume, in the order of the volumes.
        template: mean stack of the training patients.
    """

    cases: tuple[Case, ...]
    template: LevelTemplate

    def restricted(self, listed: Mapping[str, Container[int]]) -> Survey:
        """Return the survey with cases that know which of their slices take part.

        Args:
            listed: numbers of these slices by patient; of patients whom it does not name all do.
        """
        return replace(self, cases=tuple(_restricted(case, listed.get(case.patient)) for case in self.cases))


def survey_volumes(
    volumes: Sequence[Volume],
    template: LevelTemplate | None = None,
    *,
    min_correlation: float = 0.80,
    max_disagreement: float = 0.15,
) -> Survey:
    """Find head, brain, midline, missing sequences, intensity scale and levels of some patients.

    Args:
        volumes: the patients; training patients only where no template is given.
        template: mean stack of the training patients; fitted to `volumes` if None.
        min_correlation: see `locate`.
        max_disagreement: see `locate`.

    Returns:
        A case for every volume, and the template; no cases for no volumes.
    """
    heads = []
    with progress_bar(len(volumes), "finding heads") as bar:
        for volume in volumes:
            heads.append(head_mask(volume.flair))
            bar.update()
    if template is None:
        template = fit_level_template([(v.flair, head) for v, head in zip(volumes, heads, strict=True)])
    limits = {"min_correlation": min_correlation, "max_disagreement": max_disagreement}
    cases = []
    with progress_bar(len(volumes), "measuring") as bar:
        for volume, head in zip(volumes, heads, strict=True):
            cases.append(_case(volume, head, template, limits))
            bar.update()
    return Survey(tuple(cases), template)


def _case(volume: Volume, head: NDArray[np.bool_], template: LevelTemplate, limits: dict[str, float]) -> Case:
    estimate = locate(volume.flair, head, template, **limits)
    return Case(
        volume=volume,
        scale=estimate_intensity_scale(volume.image),
        missing=find_missing_sequences(volume.image),
        head=head,
        brain=brain_region(volume.flair, head),
        level=estimate.level,
        level_step=estimate.step,
        level_is_reliable=estimate.is_reliable,
        midline=find_midline(volume.flair, head),
    )


def _restricted(case: Case, listed: Container[int] | None) -> Case:
    if listed is None:
        return case
    numbers = case.volume.slice_numbers
    unlisted = frozenset(index for index, number in enumerate(numbers) if number not in listed)
    return replace(case, unlisted=unlisted) if unlisted else case
