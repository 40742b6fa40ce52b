from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torchvision import models

from mcf_bundle.errors import ArgumentError, CheckpointError
from mcf_bundle.networks.checkpoint import save_checkpoint
from mcf_bundle.networks.classification_ensemble import KIND, ClassifierEnsemble, load_classifiers
from mcf_bundle.networks.classification_inferer import SlicewiseClassifierInferer
from mcf_bundle.networks.classification_networks import (
    CLASSIFICATION_NETWORKS,
    load_pretrained,
    make_classification_network,
)

CPU = torch.device("cpu")
names = pytest.mark.parametrize("name", sorted(CLASSIFICATION_NETWORKS))
families = pytest.mark.parametrize("name", ["resnet18", "densenet121", "shufflenet"])


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def stored(folder: Path, name: str) -> Path:
    """Save weights of torchvision's network of 1000 classes, as its files hold them."""
    torch.manual_seed(1)
    weights = CLASSIFICATION_NETWORKS[name].make(weights=None).state_dict()
    path = folder / f"{name}.pth"
    torch.save(dict(weights), path)
    return path


# --- Networks --------------------------------------------------------------------------------------


@names
def test_a_training_step_moves_every_layer(name: str) -> None:
    torch.manual_seed(0)
    network = make_classification_network(name, size=64).train()
    before = [parameter.detach().clone() for parameter in network.parameters()]
    loss = nn.functional.cross_entropy(network(noise(4, 3, 64, 64)), torch.tensor([0, 1, 0, 1]))
    loss.backward()
    torch.optim.AdamW(network.parameters()).step()
    assert loss.isfinite()
    for parameter, old in zip(network.parameters(), before, strict=True):
        assert parameter.isfinite().all()
        assert not torch.equal(parameter, old)


@names
def test_inference_gives_two_logits_a_slice_and_scripts(name: str) -> None:
    channels = 9 if name == "resnet34" else 3
    network = make_classification_network(name, in_channels=channels, size=64).eval()
    x = noise(2, channels, 64, 96)
    with torch.no_grad():
        logits = network(x)
        scripted = torch.jit.script(network)(x)
    assert logits.shape == (2, 2)
    torch.testing.assert_close(scripted, logits)


def test_a_network_of_a_size_sees_a_larger_slice_as_its_area_mean_and_a_narrow_one_padded() -> None:
    network = make_classification_network("shufflenet", size=64).eval()
    large = noise(2, 3, 128, 128)
    small = large.unflatten(3, (64, 2)).unflatten(2, (64, 2)).mean((3, 5))
    narrow = noise(1, 3, 64, 32)
    padded = torch.full((1, 3, 64, 64), -1.0)
    padded[..., 16:48] = narrow
    with torch.no_grad():
        torch.testing.assert_close(network(large), network(small))
        torch.testing.assert_close(network(narrow), network(padded))


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        (
            "resnet50",
            {},
            "network_name: 'resnet50' does not exist; "
            "choose one of resnet18, resnet34, resnet152, densenet121, shufflenet",
        ),
        ("resnet18", {"in_channels": 4}, "in_channels: expected 3 for each slice, got 4"),
        ("resnet18", {"size": 0}, "size: "),
    ],
)
def test_an_unknown_network_is_refused(name: str, settings: dict[str, int], message: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        make_classification_network(name, **settings)
    assert str(caught.value).startswith(message)


# --- Weights from a file ---------------------------------------------------------------------------


@families
def test_pretrained_features_are_torchvision_s(name: str, tmp_path: Path) -> None:
    path, architecture = stored(tmp_path, name), CLASSIFICATION_NETWORKS[name]
    network = load_pretrained(make_classification_network(name), path).network.eval()
    whole = architecture.make(weights=None)
    whole.load_state_dict(torch.load(path))
    for item in (whole.eval(), network):
        setattr(item, architecture.last, nn.Identity())
    x = noise(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(network(x), whole(x))


@families
def test_three_equal_slices_give_what_one_gave(name: str, tmp_path: Path) -> None:
    path, last = stored(tmp_path, name), CLASSIFICATION_NETWORKS[name].last
    one, three = (
        load_pretrained(make_classification_network(name, in_channels=channels), path).network.eval()
        for channels in (3, 9)
    )
    for item in (one, three):
        setattr(item, last, nn.Identity())
    x = noise(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(three(x.repeat(1, 3, 1, 1)), one(x), rtol=1e-3, atol=1e-4)
        assert not torch.allclose(three(noise(1, 9, 64, 64)), one(x), rtol=1e-2)


def test_torchvision_s_old_names_of_densenet_are_read(tmp_path: Path) -> None:
    """Its file has 'denselayer1.norm.1.weight' where the network has 'denselayer1.norm1.weight'."""
    weights = torch.load(stored(tmp_path, "densenet121"))
    old = {
        key.replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): value for key, value in weights.items()
    }
    assert old.keys() != weights.keys()
    torch.save(old, tmp_path / "old.pth")
    new, again = (
        load_pretrained(make_classification_network("densenet121"), tmp_path / file).state_dict()
        for file in ("densenet121.pth", "old.pth")
    )
    assert all(torch.equal(new[key], again[key]) for key in new if "classifier" not in key)


def test_no_file_changes_nothing() -> None:
    network = make_classification_network("shufflenet")
    before = {key: value.clone() for key, value in network.state_dict().items()}
    assert load_pretrained(network, None) is network
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@pytest.mark.usefixtures("no_network")
@families
def test_a_missing_file_is_an_error_that_says_where_to_get_it(name: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such file of weights") as caught:
        load_pretrained(make_classification_network(name), tmp_path / "weights.pth")
    assert models.get_model_weights(CLASSIFICATION_NETWORKS[name].torchvision_name).DEFAULT.url in str(
        caught.value
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no weights", "cannot be read"),
        ({"model": {}, "meta": {}}, "is a checkpoint of this project, whose patients would be forgotten"),
        ([1, 2], "holds no weights by name"),
        ({"conv1.weight": torch.zeros(64, 3, 7, 7)}, r"does not fit resnet18 \(Missing key"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(content: object, message: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(CheckpointError, match=message):
        load_pretrained(make_classification_network("resnet18"), path)


# --- Ensembles -------------------------------------------------------------------------------------


def checkpoint(folder: Path, seed: int, *, size: int | None = 32, kind: str = KIND) -> Path:
    torch.manual_seed(seed)
    network = make_classification_network("shufflenet", size=size)
    path = folder / f"fold_{seed}.pt"
    save_checkpoint(
        path,
        network.state_dict(),
        preset=network.architecture,
        kind=kind,
        patients=[f"patient_{seed}"],
        info={},
        dtype=torch.float32,
    )
    return path


def test_an_ensemble_s_probability_is_the_mean_of_its_members(tmp_path: Path) -> None:
    paths = [checkpoint(tmp_path, seed) for seed in range(3)]
    network, x = make_classification_network("shufflenet", size=32), noise(4, 3, 32, 32)
    alone = [load_classifiers(network, path, device=CPU).network(x).softmax(1) for path in paths]
    together = load_classifiers(network, [str(path) for path in paths], device=CPU)
    torch.testing.assert_close(together.network(x).softmax(1), torch.stack(alone).mean(0))
    assert not torch.allclose(alone[0], alone[1])
    assert [len(item.patients) for item in together.checkpoints] == [1, 1, 1]
    assert not any(parameter.requires_grad for parameter in together.network.parameters())


def test_certain_members_average_without_overflow() -> None:
    """Logits of +-1000 have probabilities of exactly 0 and 1."""
    members = [nn.Linear(1, 2), nn.Linear(1, 2)]
    for member, sign in zip(members, (1, -1), strict=True):
        member.weight.data.zero_()
        member.bias.data = torch.tensor([-1000.0 * sign, 1000.0 * sign])
    logits = ClassifierEnsemble(members)(torch.zeros(1, 1))
    assert logits.tolist() == [[pytest.approx(-math.log(2)), pytest.approx(-math.log(2))]]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "gate"}, "holds a gate"),
        ({"size": 64}, r"holds shufflenet-3-64 \(network, channels, size\), not shufflenet-3-32"),
    ],
)
def test_a_member_of_another_kind_or_size_is_refused(
    settings: dict[str, object], message: str, tmp_path: Path
) -> None:
    paths = [checkpoint(tmp_path, 0), checkpoint(tmp_path, 1, **settings)]
    with pytest.raises(CheckpointError, match=message):
        load_classifiers(make_classification_network("shufflenet", size=32), paths, device=CPU)


@pytest.mark.parametrize("count", [0, 2])
def test_an_ensemble_has_each_member_once(count: int, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="ckpt: "):
        load_classifiers(
            make_classification_network("shufflenet", size=32), [checkpoint(tmp_path, 0)] * count, device=CPU
        )


# --- Volumes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("slices", [1, 3])
def test_a_volume_is_called_slice_by_slice_with_its_neighbors(slices: int) -> None:
    network = make_classification_network("shufflenet", in_channels=3 * slices, size=32).eval()
    volume = noise(2, 3, 32, 32, 5)
    inferer = SlicewiseClassifierInferer(slices, batch_size=3)
    with torch.no_grad():
        logits = inferer(volume, network)
        order = [1, 0, 2] if slices == 3 else [1]
        triplet = torch.cat([volume[..., index] for index in order], dim=1)
        torch.testing.assert_close(logits[..., 1], network(triplet))
        torch.testing.assert_close(inferer(triplet, network), network(triplet))
    assert logits.shape == (2, 2, 5)
