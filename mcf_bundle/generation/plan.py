"""The plan: one row an image, with everything that the image depends on."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from mcf_bundle.data.pool import Donor, Host
from mcf_bundle.generation.warp import Transform
from mcf_bundle.generation.wording import in_words

FORMAT = 1
"""Version of the plan's layout."""


@dataclass(frozen=True)
class SliceId:
    """A slice of a patient.

    Attributes:
        patient: name.
        slice: number in the file name.
        level: axial level, 0 at the bottom of the head, 1 at the vertex.
    """

    patient: str
    slice: int
    level: float

    @classmethod
    def of(cls, member: Host | Donor) -> SliceId:
        """Return the identity of a host or donor; levels to four digits."""
        return cls(member.patient, member.slice_number, round(member.level, 4))


@dataclass(frozen=True)
class Candidate:
    """One way to make a row's image: a host, a donor, how it is laid over the host, and the noise.

    Attributes:
        host: the middle slice of the host's triplet.
        donor: whose tumor.
        transform: see `Transform`.
        seed: seed of the noise, in [0, 2**63).
    """

    host: SliceId
    donor: SliceId
    transform: Transform
    seed: int


@dataclass(frozen=True)
class PlanRow:
    """One image to be made.

    Attributes:
        row: position in the plan, from 0.
        name: name of the generated patient if the first choice is kept; a spare of another institution
            changes it.
        candidates: what is tried, in order: the first choice, then its spares.
        settings: every parameter of sampler and blending.
    """

    row: int
    name: str
    candidates: tuple[Candidate, ...]
    settings: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values in the layout of plan.jsonl."""
        first, *spares = ({**asdict(c), "transform": c.transform.to_dict()} for c in self.candidates)
        return {
            "row": self.row,
            "name": self.name,
            **first,
            "settings": dict(self.settings),
            "spares": spares,
        }


@dataclass(frozen=True)
class Plan:
    """All images to be made.

    Attributes:
        header: what holds for all rows: seeds, split, compute settings, hashes of the networks.
        rows: in order.
        tries: outcome of the search for pairs: how many were accepted, and refused by which rule.
    """

    header: Mapping[str, Any]
    rows: tuple[PlanRow, ...]
    tries: Mapping[str, int] = field(default_factory=dict)

    @property
    def plan_id(self) -> str:
        """SHA-256 of header and rows, hexadecimal: equal plans give equal images."""
        content = [dict(self.header), *(row.to_dict() for row in self.rows)]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def to_jsonl(self) -> str:
        """Serialize: a header line, then a line a row."""
        header = {"plan_id": self.plan_id, "format": FORMAT, **self.header, "tries": dict(self.tries)}
        lines = [header, *(row.to_dict() for row in self.rows)]
        return "".join(json.dumps(line) + "\n" for line in lines)


def reuse(rows: Sequence[PlanRow]) -> dict[str, Counter[str]]:
    """Count how often each slice and patient is host or donor of a first choice."""
    hosts = [row.candidates[0].host for row in rows]
    firsts = [row.candidates[0].donor for row in rows]
    return {
        "host slices": Counter(f"{host.patient} {host.slice}" for host in hosts),
        "donor slices": Counter(f"{donor.patient} {donor.slice}" for donor in firsts),
        "host patients": Counter(host.patient for host in hosts),
        "donor patients": Counter(donor.patient for donor in firsts),
    }


def most_per_host_patient(rows: Sequence[PlanRow]) -> int:
    """Return the largest number of first choices on one host patient; 0 without rows."""
    return max(reuse(rows)["host patients"].values(), default=0)


def summarize_plan(plan: Plan) -> list[str]:
    """Describe a plan in a few lines: size, reuse and how the search went."""
    lines = [f"{len(plan.rows)} images planned"]
    for name, counts in reuse(plan.rows).items():
        if counts:
            lines.append(f"  {len(counts)} {name}, each used {_times(counts.values())}")
    if plan.rows:
        most, count = most_per_host_patient(plan.rows), len(plan.rows)
        lines.append(f"  at most {most} of {count} images ({100 * most / count:.1f} %) on one host patient")
    total = sum(plan.tries.values())
    accepted = plan.tries.get("accepted", 0)
    refused = ", ".join(
        f"{in_words(reason)} {count}" for reason, count in _by_count(plan.tries) if reason != "accepted"
    )
    lines.append(f"  {total} pairs tried, {accepted} accepted; refused: {refused or 'none'}")
    return lines


def _by_count(counts: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    return iter(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _times(counts: Collection[int]) -> str:
    """Say how often, in words: once, 3 times, 1 to 3 times."""
    least, most = min(counts), max(counts)
    if least < most:
        return f"{least} to {most} times"
    return "once" if most == 1 else f"{most} times"
