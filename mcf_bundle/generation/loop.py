"""Run a plan: compose, sample, gate, write; rejected rows try their spares."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from mcf_bundle.data.case import Case
from mcf_bundle.data.triplet_dataset import from_network_range
from mcf_bundle.errors import GateError
from mcf_bundle.generation.background import ReadAhead, WriteBehind
from mcf_bundle.generation.block_size import BlockSize
from mcf_bundle.generation.gate import (
    GateLimits,
    GateResult,
    change_outside,
    probability_rise,
    slice_figures,
)
from mcf_bundle.generation.gate_rules import GateRules
from mcf_bundle.generation.materials import Materials, prepare_materials, to_batch
from mcf_bundle.generation.nearest import SliceGallery
from mcf_bundle.generation.placement_rules import PlacementRules
from mcf_bundle.generation.plan import Plan, PlanRow
from mcf_bundle.processes import gather, is_first, process_count, share_of_process

GATE_AT_FAULT = 0.5
"""Share of real validation tumors that a gate rejects above which its message names the gate itself."""

FIGURE_DIGITS = 5
"""Decimals of the gate's figures in the manifest."""


@dataclass(frozen=True, eq=False)
class Generated:
    """An image that came out of the sampler.

    Attributes:
        materials: what it was made from.
        image: (3, H, W), float32, normalized.
        gate: what the gate says of it.
        compute_batch: the fewest images of a network call that made or judged its block.
    """

    materials: Materials
    image: NDArray[np.float32]
    gate: GateResult
    compute_batch: int


@dataclass(frozen=True, eq=False)
class Machinery:
    """The parts that turn candidates into images; all of them deterministic.

    Attributes:
        sample: from a batch of the sampler to (B, 3, H, W), float32, network range.
        tumor_probability: the gate's classifier, from images (3, H, W), normalized, to probabilities in [0,
            1].
        limits: the gate's limits.
        gallery: the training slices.
        cases: the training patients, by name.
        block: images in each network call; short blocks are filled with repeats.
        batch_size: rows that are read ahead of the networks; changes no byte.
        device: where the networks are.
        rules: what counts as tissue where a tumor is painted; those of the plan.
        gate_rules: which share of rejections stops a run.
    """

    sample: Callable[..., torch.Tensor]
    tumor_probability: Callable[[Sequence[NDArray[np.float32]]], list[float]]
    limits: GateLimits
    gallery: SliceGallery
    cases: Mapping[str, Case]
    block: BlockSize
    batch_size: int
    device: torch.device
    rules: PlacementRules = field(default_factory=PlacementRules)
    gate_rules: GateRules = field(default_factory=GateRules)


@dataclass
class Outcome:
    """What became of a plan.

    Attributes:
        written: number of images kept.
        rejected: by row, the results of the candidates that the gate rejected, in order.
        missing: rows without an image: all their candidates were rejected, or the run was stopped.
    """

    written: int = 0
    rejected: dict[int, list[GateResult]] = field(default_factory=dict)
    missing: list[int] = field(default_factory=list)

    @property
    def reasons(self) -> Counter[str]:
        """How often each figure was a reason to reject."""
        return Counter(
            reason for results in self.rejected.values() for item in results for reason in item.reasons
        )


def run_plan(
    plan: Plan,
    machinery: Machinery,
    keep: Callable[[Generated, Sequence[GateResult]], None],
    outcome: Outcome | None = None,
    *,
    done: Mapping[int, Sequence[GateResult]] | None = None,
) -> Outcome:
    """Make every row of a plan.

    Rows are tried in order with their first candidate, then the rejected ones with their first spare, in the
    order of their rejection, and so on. Rows are read ahead of the networks, and files written behind them.
    What is left of a block at the end takes the rows' next spares in advance; those of rows that pass first
    count for nothing.

    An image depends on its row, the networks and the compute settings only: every network call sees a block
    of one shape. So several processes take turns at the blocks and count together: they write the images of
    one process, and stop where it stops.

    Args:
        plan: what is to be made.
        machinery: the parts.
        keep: called with each image that passes and the results of the row's earlier candidates, in the order
            made; in the process that made it.
        outcome: filled as the run goes on; give one to have it when the run is stopped.
        done: rows whose images are there already, with the results of their earlier candidates.

    Raises:
        ArgumentError: if the device's memory runs out, see `BlockSize`.
        GateError: if a larger share of the images is rejected than the gate's rules allow, 60 % by default.
    """
    outcome = Outcome() if outcome is None else outcome
    done = done or {}
    rows = {row.row: row for row in plan.rows}
    outcome.written = len(done)
    outcome.rejected = {row: list(earlier) for row, earlier in done.items() if earlier}
    outcome.missing = [row for row in rows if row not in done]
    queue = deque(Attempt(row, 0) for row in outcome.missing)
    with (
        tqdm(
            total=len(rows), initial=len(done), desc="images", unit="image", disable=not is_first()
        ) as progress,
        WriteBehind(keep, limit=machinery.block.full) as keep_later,
    ):
        for attempt, result, made in _judged(queue, rows, machinery):
            earlier = outcome.rejected.get(attempt.row, [])
            if result.passed:
                if made is not None:
                    keep_later(made, tuple(earlier))
                outcome.written += 1
                outcome.missing.remove(attempt.row)
                progress.update()
                continue
            outcome.rejected[attempt.row] = [*earlier, result]
            _check_rejections(outcome, machinery)
            if attempt.candidate + 1 < len(rows[attempt.row].candidates):
                queue.append(Attempt(attempt.row, attempt.candidate + 1))
    return outcome


class Attempt(NamedTuple):
    """A candidate of a row, both by number."""

    row: int
    candidate: int


def _judged(
    queue: deque[Attempt], rows: Mapping[int, PlanRow], machinery: Machinery
) -> Iterator[tuple[Attempt, GateResult, Generated | None]]:
    """Take attempts from the queue and yield each with its result, and its image if this process made it.

    What the caller appends is tried in its turn. However many processes there are, attempts leave the queue
    in one and the same order.
    """
    block, processes = machinery.block.full, process_count()

    def prepare(attempt: Attempt) -> Materials:
        row = rows[attempt.row]
        return prepare_materials(row, row.candidates[attempt.candidate], machinery.cases, machinery.rules)

    results: dict[Attempt, GateResult] = {}
    images: dict[Attempt, Generated] = {}
    with ReadAhead(prepare) as reader:
        while queue:
            if queue[0] not in results:
                turn = with_spares(islice(queue, block * processes), rows, block * processes)
                coming = list(islice(queue, len(turn), len(turn) + machinery.batch_size * processes))
                own = share_of_process(turn, block)
                reader.start([*own, *share_of_process(coming, block)])
                made = _run_block([reader.take(attempt) for attempt in own], machinery) if own else []
                images = dict(zip(own, made, strict=True))
                # The blocks of the processes, one each, are the turn.
                judged = chain(*gather([item.gate for item in made]))
                results = dict(zip(turn, judged, strict=True))
            attempt = queue.popleft()
            yield attempt, results[attempt], images.get(attempt)


def with_spares(attempts: Iterable[Attempt], rows: Mapping[int, PlanRow], size: int) -> list[Attempt]:
    """Fill up attempts to `size` with the next spares of the same rows, in turn.

    It is the order in which the spares come if every attempt before them is rejected.

    Args:
        attempts: at most `size`.
        rows: by number.
        size: of the result, or less where the spares run out.
    """
    filled = list(attempts)
    for row, candidate in filled:  # which grows meanwhile
        if len(filled) == size:
            break
        if candidate + 1 < len(rows[row].candidates):
            filled.append(Attempt(row, candidate + 1))
    return filled


def _run_block(block: Sequence[Materials], machinery: Machinery) -> list[Generated]:
    """Sample and judge one block, in several calls where the memory does not suffice for one."""

    def sample(part: Sequence[Materials], size: int) -> list[NDArray[np.float32]]:
        return sample_block(part, machinery.sample, compute_batch=size, device=machinery.device)

    images = machinery.block.split(block, sample)
    of_images = machinery.tumor_probability(images)
    of_hosts = machinery.tumor_probability([item.composite.host[1] for item in block])
    smallest = machinery.block.size  # read last: the gate's classifier shares the block and may halve it
    return [
        Generated(item, image, _judge(item, image, of_image, of_host, machinery), smallest)
        for item, image, of_image, of_host in zip(block, images, of_images, of_hosts, strict=True)
    ]


def sample_block(
    block: Sequence[Materials],
    sample: Callable[..., torch.Tensor],
    *,
    compute_batch: int,
    device: torch.device,
) -> list[NDArray[np.float32]]:
    """Sample one block, filled with repeats to the fixed shape.

    Args:
        block: from 1 to `compute_batch` candidates.
        sample: see `Machinery`.
        compute_batch: images in each network call.
        device: where the networks are.

    Returns:
        An image a candidate, (3, H, W), float32, normalized.
    """
    filled = [*block, *[block[-1]] * (compute_batch - len(block))]
    raw = sample(to_batch(filled, device)).cpu().numpy()
    return [_finish(item, pixels) for item, pixels in zip(block, raw, strict=False)]


def _finish(item: Materials, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return normalized intensities; channels that were never acquired stay copies of FLAIR."""
    image = from_network_range(pixels)
    flair = image[1]
    return np.stack(
        [flair if missing else channel for missing, channel in zip(item.host.missing, image, strict=True)]
    )


def _judge(
    item: Materials,
    image: NDArray[np.float32],
    probability: float,
    host_probability: float,
    machinery: Machinery,
) -> GateResult:
    figures = slice_figures(
        image,
        item.composite.mask[1],
        item.host.brain[item.host_index],
        missing=item.host.missing,
        gallery=machinery.gallery,
        left_out=(item.candidate.host.patient, item.candidate.donor.patient),
    )
    figures["tumor_probability"] = probability
    figures |= probability_rise(probability, host_probability)
    figures["change_outside"] = change_outside(image, item.composite.host[1], item.editable)
    figures = {name: round(value, FIGURE_DIGITS) for name, value in figures.items()}
    return GateResult(figures, machinery.limits.broken(figures))


def _check_rejections(outcome: Outcome, machinery: Machinery) -> None:
    rules, limits = machinery.gate_rules, machinery.limits
    rejected = sum(map(len, outcome.rejected.values()))
    tried = outcome.written + rejected
    if tried >= rules.min_tried and rejected > rules.max_rejected * tried:
        reasons = ", ".join(f"{reason} {count}" for reason, count in outcome.reasons.most_common())
        problem = f"rejected {rejected} of {tried} images ({reasons})"
        remedy = "check start_step, guidance_scale and the checkpoint, or train on your own data"
        if limits.rejects_validation > GATE_AT_FAULT:
            problem += f", and {100 * limits.rejects_validation:.0f} % of the real validation tumors"
            remedy += ", the gate on more patients with tumors; or widen its limits (gate_rules)"
        raise GateError("gate", problem, remedy)
