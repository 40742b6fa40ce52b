"""The loop over a plan, with a sampler and a gate in plain Python that obey the seeds of the plan.

An image carries its candidate's seed in one pixel; the gate reads it there, keeps even and rejects odd ones.
"""

from __future__ import annotations

import gc
import json
import pickle
import weakref
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mcf_bundle.data.case import Case
from mcf_bundle.data.datalist import Datalist
from mcf_bundle.diffusion.sampler import FusionBatch
from mcf_bundle.errors import GateError
from mcf_bundle.generation.block_size import BlockSize
from mcf_bundle.generation.gate import GateLimits, GateResult
from mcf_bundle.generation.gate_rules import GateRules
from mcf_bundle.generation.loop import (
    FIGURE_DIGITS,
    Attempt,
    Generated,
    Machinery,
    Outcome,
    run_plan,
    with_spares,
)
from mcf_bundle.generation.nearest import SliceGallery
from mcf_bundle.generation.placement_rules import PlacementRules
from mcf_bundle.generation.plan import Plan
from mcf_bundle.generation.run_output import Provenance, RunOutput
from mcf_bundle.generation.run_report import PoolCounts, RunFacts
from tests.generation.disc_rows import MIDDLE, disc_cases, plan_row
from tests.generation.team import Team

SCALE = 1000.0
HOST_PROBABILITY = 0.1
DEFAULT_RULES = GateRules()
ODD_REJECTED = GateLimits({"tumor_probability": (0.5, np.inf)})


@pytest.fixture(scope="module")
def cases() -> dict[str, Case]:
    return disc_cases()


def plan_of(cases: dict[str, Case], seeds: Sequence[Sequence[int]]) -> Plan:
    """Plan one row a list, with one candidate a seed."""
    return Plan(
        {"seed": 0, "device": "cpu", "provenance": "full"},
        tuple(plan_row(cases, row, row=number) for number, row in enumerate(seeds)),
    )


def seed_of(image: np.ndarray) -> int:
    return round(float(image[0, 0, 0]) * SCALE)


@dataclass
class Run:
    """What a run saw and gave.

    Attributes:
        blocks: seeds of each call of the sampler.
        judged: number of images in each call of the gate's classifier.
        kept: row, seed in the image and number of earlier candidates of each image kept, in order.
        made: the same images.
        outcome: what became of the plan.
    """

    blocks: list[list[int]] = field(default_factory=list)
    judged: list[int] = field(default_factory=list)
    kept: list[tuple[int, int, int]] = field(default_factory=list)
    made: list[Generated] = field(default_factory=list)
    outcome: Outcome = field(default_factory=Outcome)

    def sample(self, batch: FusionBatch) -> torch.Tensor:
        self.blocks.append(list(batch.seeds))
        image = batch.host + batch.contribution
        image[:, 0, 0, 0] = torch.tensor(batch.seeds) / SCALE * 2 - 1
        return image

    def judge(self, images: Sequence[np.ndarray]) -> list[float]:
        self.judged.append(len(images))
        seeds = map(seed_of, images)
        return [float(seed % 2 == 0) if seed else HOST_PROBABILITY for seed in seeds]

    def keep(self, made: Generated, earlier: Sequence[GateResult]) -> None:
        self.kept.append((made.materials.row.row, seed_of(made.image), len(earlier)))
        self.made.append(made)


def run(
    cases: dict[str, Case],
    seeds: Sequence[Sequence[int]],
    *,
    compute_batch: int = 4,
    batch_size: int = 4,
    limits: GateLimits = ODD_REJECTED,
    gate_rules: GateRules = DEFAULT_RULES,
    found: Run | None = None,
) -> Run:
    found = Run() if found is None else found
    machinery = Machinery(
        sample=found.sample,
        tumor_probability=found.judge,
        limits=limits,
        gallery=SliceGallery([]),
        cases=cases,
        block=BlockSize(compute_batch),
        batch_size=batch_size,
        device=torch.device("cpu"),
        gate_rules=gate_rules,
    )
    run_plan(plan_of(cases, seeds), machinery, found.keep, found.outcome)
    return found


def test_images_that_pass_are_kept_in_the_order_of_the_plan(cases: dict[str, Case]) -> None:
    found = run(cases, [[2], [4], [6], [8], [10]])
    assert found.kept == [(0, 2, 0), (1, 4, 0), (2, 6, 0), (3, 8, 0), (4, 10, 0)]
    assert found.outcome == Outcome(written=5)


def test_rejected_rows_try_their_own_spares_in_order(cases: dict[str, Case]) -> None:
    found = run(cases, [[1, 3, 6], [2, 12], [5, 8]])
    assert found.kept == [(1, 2, 0), (2, 8, 1), (0, 6, 2)]
    # The first block has room for one spare of the first row; the second one for the last spare of each.
    assert [sorted(set(block)) for block in found.blocks] == [[1, 2, 3, 5], [6, 8]]
    assert {row: len(results) for row, results in found.outcome.rejected.items()} == {0: 2, 2: 1}
    assert found.outcome.written == 3
    assert found.outcome.missing == []


def test_the_candidate_of_an_image_is_the_one_it_was_made_from(cases: dict[str, Case]) -> None:
    found = run(cases, [[1, 4], [2]])
    assert [made.materials.candidate.seed for made in found.made] == [seed for _, seed, _ in found.kept]


def test_rows_whose_spares_run_out_are_listed_with_their_reasons(cases: dict[str, Case]) -> None:
    found = run(cases, [[1, 3], [2], [5], [4]])
    assert found.outcome.missing == [0, 2]
    assert found.outcome.written == 2
    assert list(found.outcome.rejected) == [0, 2]
    assert found.outcome.reasons == {"tumor_probability": 3}
    assert all(
        result.reasons == ("tumor_probability",) and result.figures["tumor_probability"] == 0.0
        for results in found.outcome.rejected.values()
        for result in results
    )


def test_an_empty_plan_makes_nothing(cases: dict[str, Case]) -> None:
    found = run(cases, [])
    assert found.outcome == Outcome()
    assert found.blocks == []


@pytest.mark.parametrize("batch_size", [1, 3, 4, 5, 100])
@pytest.mark.parametrize("compute_batch", [1, 4, 8])
def test_networks_see_blocks_of_one_size_whatever_is_read_at_a_time(
    cases: dict[str, Case], compute_batch: int, batch_size: int
) -> None:
    seeds = [[2], [1, 3, 8], [4], [5, 10], [6], [12], [7]]
    found = run(cases, seeds, compute_batch=compute_batch, batch_size=batch_size)
    reference = run(cases, seeds, compute_batch=compute_batch, batch_size=1)
    assert {len(block) for block in found.blocks} == {compute_batch}
    assert found.blocks == reference.blocks
    assert (
        found.kept == reference.kept == [(0, 2, 0), (2, 4, 0), (4, 6, 0), (5, 12, 0), (3, 10, 1), (1, 8, 2)]
    )
    assert found.outcome == reference.outcome


def test_a_block_that_the_gate_s_classifier_halves_is_marked_by_the_smaller_size(
    cases: dict[str, Case],
) -> None:
    """The figures of the gate round by the classifier's calls; the sampler's calls were larger."""
    found, block = Run(), BlockSize(4, on_oom="halve")

    def judge(part: Sequence[np.ndarray], size: int) -> list[float]:
        if size > 2 and len(found.blocks) == 2:
            raise torch.OutOfMemoryError
        return found.judge(part)

    machinery = Machinery(
        sample=found.sample,
        tumor_probability=lambda images: block.split(images, judge),
        limits=ODD_REJECTED,
        gallery=SliceGallery([]),
        cases=cases,
        block=block,
        batch_size=4,
        device=torch.device("cpu"),
    )
    run_plan(plan_of(cases, [[2 * row + 2] for row in range(12)]), machinery, found.keep)
    assert [len(seeds) for seeds in found.blocks] == [4, 4, 2, 2]
    assert [made.compute_batch for made in found.made] == [4] * 4 + [2] * 8


def test_a_short_block_is_filled_with_repeats_whose_results_are_dropped(cases: dict[str, Case]) -> None:
    found = run(cases, [[2], [4], [6], [8], [10], [12]])
    assert found.blocks == [[2, 4, 6, 8], [10, 12, 12, 12]]
    assert found.judged == [4, 4, 2, 2]  # each block's images, then their hosts
    assert len(found.kept) == 6


def test_a_short_block_takes_spares_in_advance_and_forgets_those_of_rows_that_pass(
    cases: dict[str, Case],
) -> None:
    found = run(cases, [[1, 8, 10], [2, 12]], compute_batch=5)
    assert found.blocks == [[1, 2, 8, 12, 10]]
    assert found.kept == [(1, 2, 0), (0, 8, 1)]
    assert {row: len(results) for row, results in found.outcome.rejected.items()} == {0: 1}


def test_spares_come_in_turn_until_they_or_the_room_run_out(cases: dict[str, Case]) -> None:
    rows = {row.row: row for row in plan_of(cases, [[1, 2, 3], [4], [5, 6]]).rows}
    attempts = [Attempt(2, 0), Attempt(0, 0), Attempt(1, 0)]
    assert with_spares(attempts, rows, 5) == [*attempts, (2, 1), (0, 1)]
    assert with_spares(attempts, rows, 9) == [*attempts, (2, 1), (0, 1), (0, 2)]
    assert with_spares(attempts, rows, 3) == attempts


def rejecting(share: str) -> list[list[int]]:
    """Rows without spares; o is rejected, e is kept."""
    return [[1] if letter == "o" else [2] for letter in share]


def test_more_than_sixty_percent_rejected_stop_the_run_and_name_the_reasons(cases: dict[str, Case]) -> None:
    with pytest.raises(
        GateError, match=r"gate: rejected 10 of 16 images \(tumor_probability 10\); check start_step"
    ):
        run(cases, rejecting("eeeeee" + "o" * 10))


def test_a_gate_that_rejects_real_tumors_of_other_patients_too_is_named(cases: dict[str, Case]) -> None:
    limits = replace(ODD_REJECTED, rejects_validation=0.906, counts=(59, 32))
    words = r"rejected 10 of 16 .*, and 91 % of the real validation tumors; check start_step.* the gate on"
    with pytest.raises(GateError, match=words):
        run(cases, rejecting("eeeeee" + "o" * 10), limits=limits)


@pytest.mark.parametrize("share", ["eeooo" * 3 + "eeooo", "o" * 15, "e" * 8 + "o" * 12])
def test_up_to_sixty_percent_or_few_images_do_not(cases: dict[str, Case], share: str) -> None:
    outcome = run(cases, rejecting(share)).outcome
    assert outcome.written == share.count("e")
    assert len(outcome.missing) == share.count("o")


@pytest.mark.parametrize(
    ("max_rejected", "min_tried", "stops"),
    [(0.49, 4, True), (0.5, 4, False), (0.49, 9, False), (0.0, 8, True)],
)
def test_the_rules_say_which_share_of_how_many_images_stops_a_run(
    cases: dict[str, Case], max_rejected: float, min_tried: int, stops: bool
) -> None:
    rules = GateRules(max_rejected=max_rejected, min_tried=min_tried)
    with pytest.raises(GateError) if stops else nullcontext():
        run(cases, rejecting("eoeoeoeo"), gate_rules=rules)


def test_spares_count_as_images_that_were_tried(cases: dict[str, Case]) -> None:
    with pytest.raises(GateError, match="rejected 12 of 16 images"):
        run(cases, [[2]] * 4 + [[1, 3, 5, 7]] * 4)


def test_a_stopped_run_has_handed_on_its_images_and_says_what_is_missing(cases: dict[str, Case]) -> None:
    found = Run()
    machinery = Machinery(
        found.sample, found.judge, ODD_REJECTED, SliceGallery([]), cases, BlockSize(4), 4, torch.device("cpu")
    )
    with pytest.raises(GateError):
        run_plan(plan_of(cases, rejecting("ee" + "o" * 20)), machinery, found.keep, found.outcome)
    assert [row for row, *_ in found.kept] == [0, 1]
    assert found.outcome.written == 2
    assert found.outcome.missing == list(range(2, 22))
    assert found.outcome.reasons == {"tumor_probability": 14}


# --- Several processes ------------------------------------------------------------------------------


def share_plan(
    monkeypatch: pytest.MonkeyPatch, processes: int, cases: dict[str, Case], seeds: Any, **settings: Any
) -> tuple[list[Run], list[str]]:
    """Run a plan in some processes; return what each one saw, and the error that ended it."""
    runs = [Run() for _ in range(processes)]
    with monkeypatch.context() as patch:
        ended = Team(processes, patch).run(lambda rank: run(cases, seeds, found=runs[rank], **settings))
    return runs, [str(item) if isinstance(item, Exception) else "" for item in ended]


@pytest.mark.parametrize("processes", [2, 3, 5])
@pytest.mark.parametrize(("compute_batch", "batch_size"), [(1, 1), (2, 3), (4, 100)])
@pytest.mark.parametrize(
    ("count", "max_rejected"), [(11, 1.0), (11, 0.3), (2, 1.0), (0, 1.0)], ids=["all", "stop", "few", "none"]
)
def test_several_processes_write_stop_and_miss_what_one_does(
    cases: dict[str, Case],
    monkeypatch: pytest.MonkeyPatch,
    processes: int,
    compute_batch: int,
    batch_size: int,
    count: int,
    max_rejected: float,
) -> None:
    # Row by row all lengths of rejections up to three, of three candidates; row 3 and its like end without.
    seeds = [[2 * row * 3 + 2 * n + (n < row % 4) + 2 for n in range(3)] for row in range(count)]
    settings = {
        "compute_batch": compute_batch,
        "batch_size": batch_size,
        "gate_rules": GateRules(max_rejected=max_rejected, min_tried=4),
    }
    (one,), (error,) = share_plan(monkeypatch, 1, cases, seeds, **settings)
    runs, errors = share_plan(monkeypatch, processes, cases, seeds, **settings)
    assert bool(error) is (max_rejected == 0.3)
    assert errors == [error] * processes
    assert [item.outcome for item in runs] == [one.outcome] * processes
    assert sorted(kept for item in runs for kept in item.kept) == sorted(one.kept)
    assert {len(block) for item in runs for block in item.blocks} <= {compute_batch}
    if not error:
        used = {seed for item in runs for block in item.blocks for seed in block}
        assert used >= {seed for _, seed, _ in one.kept}


# --- Images and records -----------------------------------------------------------------------------


def test_every_image_has_all_figures_rounded_for_the_manifest(cases: dict[str, Case]) -> None:
    (made,) = run(cases, [[2]]).made
    assert made.gate.figures.keys() == {
        "flair_contrast",
        "flair_rim",
        "pre_rim",
        "post_rim",
        "mask_in_brain",
        "nearest_correlation",
        "tumor_probability",
        "probability_rise",
        "change_outside",
    }
    assert all(round(value, FIGURE_DIGITS) == value for value in made.gate.figures.values())
    assert made.gate.figures["mask_in_brain"] == 1.0
    assert made.gate.figures["probability_rise"] == 1.0 - HOST_PROBABILITY
    assert made.gate.figures["nearest_correlation"] == -1.0


def test_a_change_outside_the_tumor_is_measured(cases: dict[str, Case]) -> None:
    class Brightening(Run):
        def sample(self, batch: FusionBatch) -> torch.Tensor:
            return super().sample(batch) + 0.2 * ~batch.editable

    found = Brightening()
    machinery = Machinery(
        found.sample,
        found.judge,
        GateLimits({"change_outside": (-np.inf, 0.03)}),
        SliceGallery([]),
        cases,
        BlockSize(2),
        2,
        torch.device("cpu"),
    )
    outcome = run_plan(plan_of(cases, [[2]]), machinery, found.keep)
    assert outcome.missing == [0]
    # 0.2 in the networks' range is 0.1 of normalized intensity; discs stay below 1, so nothing is cut off.
    assert outcome.rejected[0][0].figures["change_outside"] == pytest.approx(0.1, abs=1e-3)


def test_channels_that_were_never_acquired_stay_copies_of_flair() -> None:
    found = run(disc_cases(missing=(True, False, True)), [[2]], limits=GateLimits({}))
    image = found.made[0].image
    np.testing.assert_array_equal(image[0], image[1])
    np.testing.assert_array_equal(image[2], image[1])
    assert "pre_rim" not in found.made[0].gate.figures


def test_images_come_back_in_normalized_intensity(cases: dict[str, Case]) -> None:
    (made,) = run(cases, [[2]]).made
    expected = made.materials.composite.image[1].copy()
    expected[0, 0, 0] = 2 / SCALE
    np.testing.assert_allclose(made.image, expected, atol=1e-6)


def open_output(output_dir: Path, cases: dict[str, Case], plan: Plan) -> RunOutput:
    datalist = Datalist("patient", 0, (), {})
    output = RunOutput(output_dir, plan, cases, datalist, Provenance("full", str, {}), PlacementRules())
    output.begin()
    return output


def test_nothing_of_a_written_image_stays_in_memory(cases: dict[str, Case], tmp_path: Path) -> None:
    found = run(cases, [[2]])
    output = open_output(tmp_path, cases, plan_of(cases, [[2]]))
    left = [weakref.ref(found.made[0].image), weakref.ref(found.made[0].materials.composite.image)]
    size = len(pickle.dumps(vars(output)))
    output.keep(found.made.pop(), ())
    gc.collect()
    assert [item() for item in left] == [None, None]
    assert len(pickle.dumps(vars(output))) == size


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 1, 0, 2)])
def test_records_stand_in_the_order_of_the_rows(
    cases: dict[str, Case], tmp_path: Path, order: tuple[int, ...]
) -> None:
    found = run(cases, [[2], [4], [6], [8]])
    plan = plan_of(cases, [[2], [4], [6], [8]])
    output = open_output(tmp_path, cases, plan)
    for position in order:
        output.keep(found.made[position], ())
    empty = PoolCounts(0, 0, {})
    facts = RunFacts(ODD_REJECTED, empty, empty, (), {}, {}, {}, str, 8)
    output.finish(replace(found.outcome), facts)
    manifest = [json.loads(line) for line in (tmp_path / "manifest.jsonl").read_text().splitlines()]
    assert [record["row"] for record in manifest] == [0, 1, 2, 3]
    assert [record["seed"] for record in manifest] == [2, 4, 6, 8]
    entries = json.loads((tmp_path / "datalist.json").read_text())["entries"]
    assert [entry["patient"] for entry in entries] == [f"SYN_XX_{row:06d}" for row in range(4)]


def test_the_row_keeps_its_host(cases: dict[str, Case]) -> None:
    (made,) = run(cases, [[2]]).made
    assert made.materials.host.patient == "h0"
    assert made.materials.host_index == MIDDLE
