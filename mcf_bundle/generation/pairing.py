"""Search for host and donor pairs: every host, donor and patient used evenly, no pair twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mcf_bundle.data.case import Case
from mcf_bundle.data.pool import Donor, Host
from mcf_bundle.errors import PlanError
from mcf_bundle.generation.composite import check_composite, compose
from mcf_bundle.generation.contrast import ContrastLimits
from mcf_bundle.generation.placement import PlacementRules, Rejection, accept_placement, fit_transform
from mcf_bundle.generation.plan import Candidate, PlanRow, SliceId
from mcf_bundle.generation.warp import Transform
from mcf_bundle.generation.writer import case_name


@dataclass(frozen=True)
class PairingRules:
    """How pairs are searched.

    Attributes:
        placement: where a tumor may lie.
        contrast: how the composite's tumor must stand out.
        spares: further donors per row, tried in order where the gate rejects an image.
        max_tries: donors tried for one row before the host is passed over.
    """

    placement: PlacementRules = field(default_factory=PlacementRules)
    contrast: ContrastLimits = field(default_factory=ContrastLimits)
    spares: int = 3
    max_tries: int = 80


class PairSearch:
    """Find pairs for a number of rows; the same arguments give the same rows.

    Args:
        cases: the training patients, by name.
        hosts: slices that may receive a tumor.
        donors: slices that may lend one.
        seed: seed of the order, the mirroring and the noise.
        rules: how pairs are searched.
        settings: parameters of blending and sampler, stored in every row; pairs do not depend on them.
    """

    def __init__(
        self,
        cases: Mapping[str, Case],
        hosts: Sequence[Host],
        donors: Sequence[Donor],
        *,
        seed: int,
        rules: PairingRules,
        settings: Mapping[str, Any],
    ) -> None:
        self.cases, self.hosts, self.donors = cases, list(hosts), list(donors)
        self.seed, self.rules, self.settings = seed, rules, settings
        self.donor_levels = np.array([donor.level for donor in donors])
        generator = np.random.default_rng([seed, 0])
        self.host_rank = generator.permutation(len(self.hosts))
        self.used: Counter[tuple[str, str, int]] = Counter()
        self.seen: set[tuple[str, int, str, int, bool]] = set()
        self.tries: Counter[str] = Counter()

    def find(self, count: int) -> list[PlanRow]:
        """Find pairs for `count` rows.

        Raises:
            PlanError: if no host is left with a donor that fits.
        """
        rows: list[PlanRow] = []
        exhausted: set[int] = set()
        while len(rows) < count:
            position = self._next_host(exhausted)
            if position is None:
                raise PlanError(
                    "num_images",
                    f"only {len(rows)} of {count} rows found a donor that fits ({self._refusals()})",
                    "ask for fewer images, add patients, or relax the placement rules",
                )
            host = self.hosts[position]
            candidates = self._candidates(host, len(rows))
            if not candidates:
                exhausted.add(position)
                continue
            rows.append(self._row(host, candidates, len(rows)))
        return rows

    def _row(self, host: Host, candidates: list[Candidate], row: int) -> PlanRow:
        donor = candidates[0].donor
        self.used.update(
            [
                ("host", host.patient, host.slice_number),
                ("host", host.patient, -1),
                ("donor", donor.patient, donor.slice),
                ("donor", donor.patient, -1),
            ]
        )
        name = case_name(self.cases[host.patient].volume.institution, row)
        return PlanRow(row, name, SliceId.of(host), tuple(candidates), self.settings)

    def _next_host(self, exhausted: set[int]) -> int | None:
        """Return the host that was used least, then the one whose patient was, then the one drawn first."""
        left = [position for position in range(len(self.hosts)) if position not in exhausted]

        def use(position: int) -> tuple[int, int, int]:
            host = self.hosts[position]
            by_slice = self.used["host", host.patient, host.slice_number]
            return by_slice, self.used["host", host.patient, -1], int(self.host_rank[position])

        return min(left, key=use, default=None)

    def _candidates(self, host: Host, row: int) -> list[Candidate]:
        """Return the row's first choice and spares, each from another donor slice; none if nothing fits."""
        generator = np.random.default_rng([self.seed, 1, row])
        near = np.flatnonzero(np.abs(self.donor_levels - host.level) <= self.rules.placement.level_tolerance)
        rank = {
            int(position): int(place)
            for position, place in zip(near, generator.permutation(len(near)), strict=True)
        }

        def use(position: int) -> tuple[int, int, int]:
            donor = self.donors[position]
            by_slice = self.used["donor", donor.patient, donor.slice_number]
            return by_slice, self.used["donor", donor.patient, -1], rank[position]

        candidates: list[Candidate] = []
        for position in sorted(rank, key=use)[: self.rules.max_tries]:
            donor, mirrored = self.donors[position], bool(generator.integers(2))
            seed = int(generator.integers(2**63))
            key = (host.patient, host.index, donor.patient, donor.index, mirrored)
            if key in self.seen:
                continue
            transform = self._try(host, donor, mirrored)
            if transform is None:
                continue
            self.seen.add(key)
            candidates.append(Candidate(SliceId.of(donor), transform, seed))
            if len(candidates) > self.rules.spares:
                break
        return candidates

    def _try(self, host: Host, donor: Donor, mirrored: bool) -> Transform | None:
        """Return the transform of a pair that passes placement and contrast, else None; count the outcome."""
        host_case, donor_case = self.cases[host.patient], self.cases[donor.patient]
        rules = self.rules.placement
        transform = fit_transform(
            host_case, host.index, donor_case, donor.index, mirrored=mirrored, rules=rules
        )
        if isinstance(transform, Rejection):
            self.tries[transform.reason] += 1
            return None
        refused = accept_placement(host_case, host.index, donor_case, transform, rules=rules)
        if refused is not None:
            self.tries[refused.reason] += 1
            return None
        composite = compose(host_case, host.index, donor_case, transform, rules=rules)
        check = check_composite(composite, host_case, host.index, limits=self.rules.contrast)
        self.tries["accepted" if check.passed else check.reasons[0]] += 1
        return transform if check.passed else None

    def _refusals(self) -> str:
        refused = [f"{reason} {count}" for reason, count in self.tries.most_common() if reason != "accepted"]
        return "refused: " + (", ".join(refused) or "no donor at the hosts' levels")
