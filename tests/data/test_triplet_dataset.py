from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from mcf_bundle.data.normalization import IntensityScale
from mcf_bundle.data.triplet_dataset import SliceRef, TripletDataset, from_network_range, to_network_range
from mcf_bundle.data.triplets import context_indices, triplet_indices
from mcf_bundle.data.volume import Label, Volume

SLICES = 5
SCALE = IntensityScale(background=(0.0, 0.0, 0.0), span=(10.0, 10.0, 10.0))


@pytest.fixture
def volume() -> Volume:
    """Slice i holds the gray levels 10 i, 10 i + 1 and 10 i + 2 in its three channels; slice 3 has tumor."""
    levels = 10 * np.arange(SLICES)[:, None] + np.arange(3)
    image = np.broadcast_to(levels[:, :, None, None], (SLICES, 3, 4, 6)).astype(np.uint8)
    mask = np.zeros((SLICES, 4, 6), bool)
    mask[3, 1, 2] = True
    return Volume("P_A_1", "A", tuple(range(1, SLICES + 1)), image, mask)


def dataset(volume: Volume, scale: IntensityScale = SCALE) -> TripletDataset:
    return TripletDataset([SliceRef(volume, scale, index) for index in range(SLICES)])


def expected(index: int) -> list[float]:
    """Values of the three channels of a slice in the network range: gray level / span * 2 - 1."""
    return [(10 * index + channel) / 10 * 2 - 1 for channel in range(3)]


@pytest.mark.parametrize(
    ("index", "previous", "following"),
    [(2, 1, 3), (1, 0, 2), (0, 0, 1), (SLICES - 1, SLICES - 2, SLICES - 1)],
)
def test_a_sample_holds_its_slice_and_then_both_neighbors(
    volume: Volume, index: int, previous: int, following: int
) -> None:
    """The first and the last slice stand in for the neighbor that they lack."""
    sample = dataset(volume)[index]
    assert sample["image"].shape == (3, 4, 6)
    assert sample["context"].shape == (6, 4, 6)
    assert sample["image"][:, 0, 0].tolist() == pytest.approx(expected(index))
    assert sample["context"][:, 0, 0].tolist() == pytest.approx(expected(previous) + expected(following))


def test_a_lone_slice_is_its_own_neighbor_on_both_sides() -> None:
    assert triplet_indices(0, 1) == (0, 0, 0)


def test_a_sample_without_neighbors_has_an_empty_context(volume: Volume) -> None:
    items = [SliceRef(volume, SCALE, 2)]
    alone, whole = TripletDataset(items, context_slices=0)[0], TripletDataset(items)[0]
    assert alone["context"].shape == (0, *whole["image"].shape[1:])
    assert torch.equal(alone["image"], whole["image"])


def test_labels_and_masks_are_those_of_the_middle_slice(volume: Volume) -> None:
    data = dataset(volume)
    assert data.labels == [int(sample["label"]) for sample in (data[i] for i in range(len(data)))]
    assert data.labels == [Label.HEALTHY, Label.HEALTHY, Label.HEALTHY, Label.TUMOR, Label.HEALTHY]
    assert data[3]["mask"].shape == (1, 4, 6)
    assert data[3]["mask"].nonzero().tolist() == [[0, 1, 2]]
    assert not data[2]["mask"].any()


def test_tensors_have_the_types_that_a_network_wants(volume: Volume) -> None:
    sample = dataset(volume)[0]
    assert {key: value.dtype for key, value in sample.items() if isinstance(value, torch.Tensor)} == {
        "image": torch.float32,
        "context": torch.float32,
        "label": torch.int64,
        "mask": torch.float32,
    }


def test_a_batch_names_the_patient_and_the_stored_number_of_each_slice(volume: Volume) -> None:
    late = replace(volume, patient="P_B_2", slice_numbers=(4, 5, 7, 8, 9))
    items = [SliceRef(volume, SCALE, 1), SliceRef(late, SCALE, 2)]
    (batch,) = DataLoader(TripletDataset(items), batch_size=2)
    assert batch["patient"] == ["P_A_1", "P_B_2"]
    assert batch["slice"].tolist() == [2, 7]
    assert batch["image"].shape == (2, 3, 4, 6)


def test_background_is_minus_one_and_bright_tissue_one_in_every_channel(volume: Volume) -> None:
    image = volume.image.copy()
    image[0] = np.array([61, 0, 5])[:, None, None]
    image[1] = np.array([161, 200, 55])[:, None, None]
    scale = IntensityScale(background=(61.0, 0.0, 5.0), span=(100.0, 200.0, 50.0))
    sample = TripletDataset([SliceRef(Volume("P", "A", (1, 2, 3, 4, 5), image, volume.mask), scale, 0)])[0]
    assert sample["image"].unique().tolist() == [-1.0]
    assert sample["context"][:3].unique().tolist() == [-1.0]
    assert sample["context"][3:].unique().tolist() == [1.0]


def test_reading_a_sample_leaves_the_stored_slices(volume: Volume) -> None:
    before = volume.image.copy()
    sample = dataset(volume)[1]
    sample["image"].add_(1)
    sample["context"].add_(1)
    assert (volume.image == before).all()


def test_the_network_range_is_undone_exactly() -> None:
    image = np.linspace(-0.25, 1.5, 15, dtype=np.float32)
    assert to_network_range(np.float32([0, 1])).tolist() == [-1, 1]
    np.testing.assert_allclose(from_network_range(to_network_range(image)), image, atol=1e-6)


def test_gray_levels_survive_normalization_and_back() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16).repeat(3, 0)
    scale = IntensityScale(background=(0.0, 61.0, 3.0), span=(255.0, 131.5, 47.0))
    back = scale.denormalize(from_network_range(to_network_range(scale.normalize(levels))))
    assert (back == levels).all()


def test_neighbors_stand_nearest_first_and_the_ends_stand_in_for_what_is_beyond() -> None:
    assert context_indices(5, 20, 2) == [4, 6, 3, 7]
    assert context_indices(0, 20, 2) == [0, 1, 0, 2]
    assert context_indices(5, 20, 0) == []
