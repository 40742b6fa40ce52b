"""Search for host and donor pairs: hosts, donors and their patients used evenly, no pair twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcf_bundle.arguments import (
    check_count,
    check_fields,
    check_instance,
    check_share,
    check_whole,
)
from mcf_bundle.data.case import Case
from mcf_bundle.data.pool import Donor, Host
from mcf_bundle.errors import PlanError
from mcf_bundle.generation.composite import check_composite, compose
from mcf_bundle.generation.contrast import ContrastLimits
from mcf_bundle.generation.placement import PlacementRules, Rejection, accept_placement, fit_transform
from mcf_bundle.generation.plan import Candidate, PlanRow, SliceId, most_per_host_patient
from mcf_bundle.generation.variation import NO_VARIATION, Variation, VariationRules
from mcf_bundle.generation.warp import Transform
from mcf_bundle.generation.writer import case_name

PairKey = tuple[Host, Donor, bool, int]
"""A pair, whether the donor is mirrored, and the round of variation."""


@dataclass(frozen=True)
class PairingRules:
    """How pairs are searched.

    Attributes:
        placement: where a tumor may lie.
        contrast: how the composite's tumor must stand out.
        variation: how far a donor's tumor is varied.
        spares: further donors for a row's host, tried in order where the gate rejects an image.
        other_hosts: further hosts, each with one donor, tried after those; some hosts suit no donor.
        max_tries: donors tried for one host before it is passed over.
        rounds: when all pairs are used, they are used again with another variation, so many times.
        max_patient_share: a larger share of images on one host patient's head is warned of; one or two
            images never are. It changes no plan.

    Raises:
        ArgumentError: a field has another type or lies outside its range.
    """

    placement: PlacementRules = field(default_factory=PlacementRules)
    contrast: ContrastLimits = field(default_factory=ContrastLimits)
    variation: VariationRules = field(default_factory=VariationRules)
    spares: int = 2
    other_hosts: int = 2
    max_tries: int = 80
    rounds: int = 8
    max_patient_share: float = 0.10

    def __post_init__(self) -> None:
        check_fields(
            self,
            {
                "placement": partial(check_instance, kind=PlacementRules),
                "contrast": partial(check_instance, kind=ContrastLimits),
                "variation": partial(check_instance, kind=VariationRules),
                "spares": check_whole,
                "other_hosts": check_whole,
                "max_tries": check_count,
                "rounds": check_whole,
                "max_patient_share": check_share,
            },
        )

    def describe(self) -> dict[str, Any]:
        """Return what decides the plan, as plain values: all but the share that is only warned of."""
        return {name: value for name, value in asdict(self).items() if name != "max_patient_share"}


def share_warnings(rows: Sequence[PlanRow], max_patient_share: float) -> tuple[str, ...]:
    """Say so if too many of the rows' images have the head of one patient, see `PairingRules`."""
    most = most_per_host_patient(rows)
    if most <= 2 or most <= max_patient_share * len(rows):
        return ()
    return (
        f"{most} of {len(rows)} images ({100 * most / len(rows):.0f} %) have the head of one host patient, "
        f"more than {100 * max_patient_share:g} %: ask for fewer, add patients, or relax the hosts' rules.",
    )


class PairSearch:
    """Find pairs for a number of rows; the same arguments give the same rows.

    Args:
        cases: the training patients, by name.
        hosts: slices that may receive a tumor.
        donors: slices that may lend one.
        seed: seed of the order, the mirroring and the noise.
        rules: how pairs are searched.
        settings: parameters of blending and sampler, stored in every row; pairs are judged
            by the harmonized composite of `replace`, whatever the run's blend.
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
        self.host_of = {SliceId.of(host): host for host in self.hosts}
        self.host_uses, self.donor_uses = _Uses(self.hosts), _Uses(self.donors)
        self.near: dict[Host, NDArray[np.intp]] = {}
        self.rounds: Counter[Host] = Counter()
        self.seen: set[PairKey] = set()
        self.paired: set[Host] = set()
        self.outcomes: dict[PairKey, Transform | str] = {}
        self.tries: Counter[str] = Counter()

    def find(self, count: int) -> list[PlanRow]:
        """Find pairs for `count` rows: first choices for all, then spares from what is left.

        Raises:
            PlanError: if there are fewer pairs that fit.
        """
        firsts: list[Candidate] = []
        exhausted: set[int] = set()
        while len(firsts) < count:
            order = self._hosts_by_use(exhausted)
            if not order:
                raise PlanError(
                    "num_images",
                    f"only {len(firsts)} of {count} rows found a pair that fits ({self._refusals()})",
                    "ask for fewer images, add patients, or relax the placement rules",
                )
            first = self._candidate(self.hosts[order[0]], self._generator(1, len(firsts)))
            if first is None:
                exhausted.add(order[0])
                continue
            self.host_uses.add(first.host)
            self.donor_uses.add(first.donor)
            firsts.append(first)
        return [self._row(first, row) for row, first in enumerate(firsts)]

    def _generator(self, *stream: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, *stream])

    def _row(self, first: Candidate, row: int) -> PlanRow:
        host = self.host_of[first.host]
        spares = self._spares(host, {first.donor}, self._generator(2, row))
        name = case_name(self.cases[host.patient].volume.institution, row)
        return PlanRow(row, name, (first, *spares), self.settings)

    def _spares(self, host: Host, tried: set[SliceId], generator: np.random.Generator) -> list[Candidate]:
        """Return other donors for the row's host, then pairs of other hosts' patients."""
        spares: list[Candidate] = []
        while len(spares) < self.rules.spares:
            spare = self._candidate(host, generator, without=tried)
            if spare is None:
                break
            spares.append(spare)
            tried.add(spare.donor)
        patients = {host.patient}
        for position in self._hosts_by_use(set()):
            if len(patients) > self.rules.other_hosts:
                break
            other = self.hosts[position]
            spare = None if other.patient in patients else self._candidate(other, generator)
            if spare is not None:
                spares.append(spare)
                patients.add(other.patient)
                self.host_uses.add(spare.host)
        return spares

    def _hosts_by_use(self, exhausted: set[int]) -> list[int]:
        """Order hosts by their uses, see `_Uses`, then as drawn."""
        order = self.host_uses.order(np.arange(len(self.hosts)), self.host_rank)
        return [position for position in order.tolist() if position not in exhausted]

    def _candidate(
        self, host: Host, generator: np.random.Generator, without: Collection[SliceId] = ()
    ) -> Candidate | None:
        """Return the host's pair with the least used donor that fits and was not paired so before.

        A host whose pairs are all used goes on to its next round of variations.
        """
        found = self._in_round(host, generator, without)
        while found is None and host in self.paired and self.rounds[host] < self.rules.rounds:
            self.rounds[host] += 1
            found = self._in_round(host, generator, without)
        return found

    def _in_round(
        self, host: Host, generator: np.random.Generator, without: Collection[SliceId]
    ) -> Candidate | None:
        """Look for a pair in the host's present round."""
        near = self._near_donors(host)
        order = self.donor_uses.order(near, generator.permutation(len(near)))
        for position in order[: self.rules.max_tries].tolist():
            donor, drawn = self.donors[position], bool(generator.integers(2))
            seed = int(generator.integers(2**63))
            if SliceId.of(donor) in without:
                continue
            for mirrored in (drawn, not drawn):
                key = (host, donor, mirrored, self.rounds[host])
                transform = None if key in self.seen else self._try(key)
                if transform is not None:
                    self.seen.add(key)
                    self.paired.add(host)
                    return Candidate(SliceId.of(host), SliceId.of(donor), transform, seed)
        return None

    def _near_donors(self, host: Host) -> NDArray[np.intp]:
        """Return the donors at the host's level, of other patients with the same missing sequences."""
        if host not in self.near:
            missing = self.cases[host.patient].missing
            distance = np.abs(self.donor_levels - host.level)
            near = [
                position
                for position in np.flatnonzero(distance <= self.rules.placement.level_tolerance).tolist()
                if self.donors[position].patient != host.patient
                and self.cases[self.donors[position].patient].missing == missing
            ]
            self.near[host] = np.array(near, np.intp)
        return self.near[host]

    def _try(self, key: PairKey) -> Transform | None:
        """Return the transform of a pair that passes placement and contrast, else None."""
        if key not in self.outcomes:
            self.outcomes[key] = self._judge(*key)
            outcome = self.outcomes[key]
            self.tries["accepted" if isinstance(outcome, Transform) else outcome] += 1
        outcome = self.outcomes[key]
        return outcome if isinstance(outcome, Transform) else None

    def _judge(self, host: Host, donor: Donor, mirrored: bool, round_: int) -> Transform | str:
        """Return the transform, or the name of the first rule that the pair breaks."""
        host_case, donor_case = self.cases[host.patient], self.cases[donor.patient]
        rules = self.rules.placement
        transform = fit_transform(
            host_case,
            host.index,
            donor_case,
            donor.index,
            mirrored=mirrored,
            rules=rules,
            variation=self._variation(host, donor, mirrored, round_),
        )
        if isinstance(transform, Rejection):
            return transform.reason
        refused = accept_placement(host_case, host.index, donor_case, transform, rules=rules)
        if refused is not None:
            return refused.reason
        composite = compose(host_case, host.index, donor_case, transform, rules=rules)
        check = check_composite(composite, host_case, host.index, limits=self.rules.contrast)
        return transform if check.passed else check.reasons[0]

    def _variation(self, host: Host, donor: Donor, mirrored: bool, round_: int) -> Variation:
        """Draw how the tumor is varied, by pair and round; the first is left alone if the rules say so."""
        if not (round_ or self.rules.variation.first_use):
            return NO_VARIATION
        pair = self.host_uses.position[SliceId.of(host)], self.donor_uses.position[SliceId.of(donor)]
        return self.rules.variation.draw(self._generator(3, round_, *pair, int(mirrored)))

    def _refusals(self) -> str:
        refused = [f"{reason} {count}" for reason, count in self.tries.most_common() if reason != "accepted"]
        return "refused: " + (
            ", ".join(refused) or "no donor of another patient with the same sequences at the hosts' levels"
        )


class _Uses:
    """How often hosts or donors and their patients were used.

    By slices alone a patient with many of them would lend most heads, by patients alone one slice would come
    back again and again. The sum is a middle way: of patients with 1 and with 9 slices the second is used
    less than twice as often (n patient and n / s slice uses are n (1 + 1 / s) together).

    Args:
        members: the hosts, or the donors.
    """

    def __init__(self, members: Sequence[Host | Donor]) -> None:
        self.position = {SliceId.of(member): number for number, member in enumerate(members)}
        numbers: dict[str, int] = {}
        owners = [numbers.setdefault(member.patient, len(numbers)) for member in members]
        self.owner = np.array(owners, np.intp)
        self.by_slice = np.zeros(len(members), np.int64)
        self.by_patient = np.zeros(len(numbers), np.int64)

    def add(self, chosen: SliceId) -> None:
        """Count a use of a slice and of its patient."""
        number = self.position[chosen]
        self.by_slice[number] += 1
        self.by_patient[self.owner[number]] += 1

    def order(self, positions: NDArray[np.intp], rank: NDArray[np.int64]) -> NDArray[np.intp]:
        """Order members by the uses of slice and patient together, then of the slice, then by rank.

        Args:
            positions: (N,), which members.
            rank: (N,), of each.
        """
        by_slice = self.by_slice[positions]
        together = by_slice + self.by_patient[self.owner[positions]]
        return positions[np.lexsort((rank, by_slice, together))]
