from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from mcf_bundle.data.case import Case
from mcf_bundle.data.triplet_dataset import to_network_range
from mcf_bundle.generation.materials import (
    Materials,
    hash_inputs,
    own_tumor,
    prepare_materials,
    slice_position,
    to_batch,
)
from mcf_bundle.generation.placement_rules import PlacementRules
from tests.generation.disc_rows import MIDDLE, SETTINGS, disc_cases, plan_row, slice_id
from tests.generation.discs import disc

CPU = torch.device("cpu")


def materials(cases: dict[str, Case], blend: str = "replace", seed: int = 5) -> Materials:
    row = replace(plan_row(cases, [seed]), settings=SETTINGS | {"blend": blend})
    return prepare_materials(row, row.candidates[0], cases, PlacementRules())


def test_the_same_row_gives_the_same_arrays() -> None:
    first, again = (materials(disc_cases()) for _ in range(2))
    for name in ("host", "contribution", "mask"):
        assert getattr(first.composite, name).tobytes() == getattr(again.composite, name).tobytes()
    assert first.editable.tobytes() == again.editable.tobytes()


def test_the_host_triplet_is_that_of_the_row() -> None:
    cases = disc_cases()
    made = materials(cases)
    assert (made.host.patient, made.host_index) == ("h0", MIDDLE)
    np.testing.assert_array_equal(made.composite.host, cases["h0"].normalized([2, 3, 4]))


@pytest.mark.parametrize("blend", ["replace", "add"])
def test_host_plus_contribution_is_the_composite_in_the_networks_range(blend: str) -> None:
    made = materials(disc_cases(), blend)
    batch = to_batch([made], CPU)
    composite = to_network_range(made.composite.image[1])
    np.testing.assert_allclose((batch.host + batch.contribution)[0].numpy(), composite, atol=1e-6)
    assert batch.contribution.abs().max() > 0


def test_a_real_tumor_stands_as_its_own_composite() -> None:
    cases = disc_cases()
    donor = next(case for case in cases.values() if case.volume.mask[MIDDLE].any())
    row = plan_row(cases, [5])
    made = own_tumor(row, row.candidates[0], donor, MIDDLE)
    assert not made.composite.contribution.any()
    np.testing.assert_array_equal(made.composite.host, donor.normalized([MIDDLE - 1, MIDDLE, MIDDLE + 1]))
    np.testing.assert_array_equal(made.composite.mask[1], donor.volume.mask[MIDDLE])
    assert made.editable[donor.volume.mask[MIDDLE] > 0].all()
    assert not made.editable.all()


def test_blends_differ() -> None:
    replaced, added = (materials(disc_cases(), blend).composite for blend in ("replace", "add"))
    assert not np.allclose(replaced.contribution, added.contribution)


def test_the_neighbors_are_the_previous_slice_then_the_next_with_their_tumor() -> None:
    cases = disc_cases()
    cases["h0"].volume.image[2, :, 20:30, 20:30] += 10  # so that the two differ
    made = materials(cases)
    context = to_batch([made], CPU).context[0].numpy()
    np.testing.assert_allclose(context[:3], to_network_range(made.composite.image[0]), atol=1e-6)
    np.testing.assert_allclose(context[3:], to_network_range(made.composite.image[2]), atol=1e-6)
    assert not np.array_equal(context[:3], context[3:])


def test_a_batch_stacks_its_candidates_in_order() -> None:
    cases = disc_cases()
    batch = to_batch([materials(cases, seed=seed) for seed in (3, 1, 2)], CPU)
    shapes = {
        name: tuple(getattr(batch, name).shape) for name in ("host", "contribution", "context", "editable")
    }
    assert shapes == {
        "host": (3, 3, 64, 64),
        "contribution": (3, 3, 64, 64),
        "context": (3, 6, 64, 64),
        "editable": (3, 1, 64, 64),
    }
    assert batch.editable.dtype == torch.bool
    assert {batch.host.dtype, batch.contribution.dtype, batch.context.dtype} == {torch.float32}
    assert list(batch.seeds) == [3, 1, 2]


@pytest.mark.parametrize("hole", [0.0, 2.0, 4.0])
@pytest.mark.parametrize("blend", ["replace", "add"])
def test_all_that_is_painted_is_editable(blend: str, hole: float) -> None:
    cases = disc_cases()
    if hole:
        cases["d0"].volume.mask[:, disc(64, 27.0, 40.0, hole)] = False
    made = materials(cases, blend)
    painted = made.composite.contribution[1].any(axis=0)
    assert not (painted & ~made.editable).any()
    assert not (made.composite.mask[1] & ~made.editable).any()


def one_host_pixel(cases: dict[str, Case]) -> None:
    cases["h0"].volume.image[MIDDLE + 1, 2, 30, 30] += 1


def one_donor_pixel(cases: dict[str, Case]) -> None:
    cases["d0"].volume.image[MIDDLE - 1, 0, 30, 30] += 1


def one_pixel_of_the_donors_mask(cases: dict[str, Case]) -> None:
    cases["d0"].volume.mask[MIDDLE, 27, 40] ^= True


@pytest.mark.parametrize("change", [one_host_pixel, one_donor_pixel, one_pixel_of_the_donors_mask])
def test_the_hash_of_the_input_changes_with_one_pixel(change: Callable[[dict[str, Case]], None]) -> None:
    cases = disc_cases()
    made = materials(cases)
    before = hash_inputs(made, cases["d0"])
    assert hash_inputs(made, cases["d0"]) == before
    assert len(before) == 64
    change(cases)
    assert hash_inputs(made, cases["d0"]) != before


def test_the_hash_of_the_input_ignores_slices_that_take_no_part() -> None:
    cases = disc_cases()
    made = materials(cases)
    before = hash_inputs(made, cases["d0"])
    for name in ("h0", "d0"):
        cases[name].volume.image[0] += 1
    assert hash_inputs(made, cases["d0"]) == before


def test_a_slice_is_found_by_its_number() -> None:
    case = disc_cases()["h0"]
    shifted = replace(case, volume=replace(case.volume, slice_numbers=tuple(range(11, 18))))
    assert slice_position(shifted, slice_id(shifted, 4)) == 4
    assert slice_id(shifted, 4).slice == 15
