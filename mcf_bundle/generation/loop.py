"""Run a plan: compose, sample, gate, write; rejected rows try their spares."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from mcf_bundle.data.case import Case
from mcf_bundle.data.triplet_dataset import from_network_range
from mcf_bundle.errors import GateError
from mcf_bundle.generation.background import ReadAhead, WriteBehind
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

FIGURE_DIGITS = 5
"""Decimals of the gate's figures in the manifest."""


@dataclass(frozen=True, eq=False)
class Generated:
    """An image that came out of the sampler.

    Attributes:
        materials: what it was made from.
        image: (3, H, W), float32, normalized.
        gate: what the gate says of it.
    """

    materials: Materials
    image: NDArray[np.float32]
    gate: GateResult


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
        compute_batch: images in each network call; short blocks are filled with repeats.
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
    compute_batch: int
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
) -> Outcome:
    """Make every row of a plan.

    Rows are tried in order with their first candidate, then the rejected ones with their first spare, in the
    order of their rejection, and so on. Rows are read ahead of the networks, and files written behind them.

    An image depends on its row, the networks and the compute settings only: every network call sees a block
    of one shape. So several processes take turns at the blocks and count together: they write the images of
    one process, and stop where it stops.

    Args:
        plan: what is to be made.
        machinery: the parts.
        keep: called with each image that passes and the results of the row's earlier candidates, in the order
            made; in the process that made it.
        outcome: filled as the run goes on; give one to have it when the run is stopped.

    Raises:
        GateError: if a larger share of the images is rejected than the gate's rules allow, 60 % by default.
    """
    outcome = Outcome() if outcome is None else outcome
    outcome.missing = [row.row for row in plan.rows]
    queue = deque((row, 0) for row in plan.rows)
    with (
        tqdm(total=len(plan.rows), desc="images", unit="image", disable=not is_first()) as progress,
        WriteBehind(keep, limit=machinery.compute_batch) as keep_later,
    ):
        for row, result, made in _judged(queue, machinery):
            earlier = outcome.rejected.get(row.row, [])
            if result.passed:
                if made is not None:
                    keep_later(made, tuple(earlier))
                outcome.written += 1
                outcome.missing.remove(row.row)
                progress.update()
                continue
            outcome.rejected[row.row] = [*earlier, result]
            _check_rejections(outcome, machinery.gate_rules)
            if len(earlier) + 1 < len(row.candidates):
                queue.append((row, len(earlier) + 1))
    return outcome


def _judged(
    queue: deque[tuple[PlanRow, int]], machinery: Machinery
) -> Iterator[tuple[PlanRow, GateResult, Generated | None]]:
    """Yield every row of the queue with its result, in order, and with its image if this process made it.

    What the caller appends joins the next block. However many processes there are, rows leave the queue in
    one and the same order.
    """
    block = machinery.compute_batch

    def prepare(item: tuple[int, int]) -> Materials:
        row, number = rows[item[0]], item[1]
        return prepare_materials(row, row.candidates[number], machinery.cases, machinery.rules)

    rows = {row.row: row for row, _ in queue}
    with ReadAhead(prepare) as reader:
        while queue:
            turn = [queue.popleft() for _ in range(min(len(queue), block * process_count()))]
            own = [(row.row, number) for row, number in share_of_process(turn, block)]
            coming = share_of_process(list(islice(queue, machinery.batch_size * process_count())), block)
            reader.start([*own, *((row.row, number) for row, number in coming)])
            made = _run_block([reader.take(item) for item in own], machinery) if own else []
            images = {item.materials.row.row: item for item in made}
            # The blocks of the processes, one each, are the next rows of the queue.
            results = chain(*gather([item.gate for item in made]))
            for (row, _), result in zip(turn, results, strict=True):
                yield row, result, images.get(row.row)


def _run_block(block: Sequence[Materials], machinery: Machinery) -> list[Generated]:
    """Sample and judge one block, filled with repeats to the fixed shape."""
    filled = [*block, *[block[-1]] * (machinery.compute_batch - len(block))]
    raw = machinery.sample(to_batch(filled, machinery.device)).cpu().numpy()
    images = [_finish(item, pixels) for item, pixels in zip(block, raw, strict=False)]
    probabilities = zip(
        machinery.tumor_probability(images),
        machinery.tumor_probability([item.composite.host[1] for item in block]),
        strict=True,
    )
    return [
        Generated(item, image, _judge(item, image, of_image, of_host, machinery))
        for item, image, (of_image, of_host) in zip(block, images, probabilities, strict=True)
    ]


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


def _check_rejections(outcome: Outcome, rules: GateRules) -> None:
    rejected = sum(map(len, outcome.rejected.values()))
    tried = outcome.written + rejected
    if tried >= rules.min_tried and rejected > rules.max_rejected * tried:
        reasons = ", ".join(f"{reason} {count}" for reason, count in outcome.reasons.most_common())
        raise GateError(
            "gate",
            f"rejected {rejected} of {tried} images ({reasons})",
            "check start_step, guidance_scale and the checkpoint, or train on your own data",
        )
