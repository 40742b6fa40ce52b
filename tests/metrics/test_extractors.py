"""Extractors by name: the default needs no download, the others are refused without their file and hash."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mcf_bundle.errors import ArgumentError, CheckpointError
from mcf_bundle.metrics.extractors import BLOCK, EXTRACTORS, LoadedExtractor, get_extractor, load_extractor
from mcf_bundle.metrics.inception_v3 import InceptionFeatures
from mcf_bundle.metrics.radimagenet import RadImageNetFeatures
from mcf_bundle.networks.checkpoint import hash_file, load_trained, read_checkpoint, save_checkpoint
from mcf_bundle.networks.presets import make_classifier
from mcf_bundle.resources import bundle_root

GATE = bundle_root("mcf_diffusion") / "models" / "model_gate.pt"


@pytest.fixture(scope="module")
def gate() -> LoadedExtractor:
    return load_extractor()


def network_images(n: int, side: int = 64, seed: int = 0) -> Any:
    return np.random.default_rng(seed).uniform(-1, 1, (n, 3, side, side)).astype(np.float32)


@pytest.mark.usefixtures("no_network")
def test_the_default_is_the_shipped_gate_up_to_its_head(gate: LoadedExtractor) -> None:
    images = 2 * network_images(BLOCK)  # real tissue reaches out of the range, and the gate judges it so
    features, logits = gate(images)
    preset = read_checkpoint(GATE).preset
    loaded = load_trained(
        make_classifier(preset), GATE, preset=preset, kind="gate", device=torch.device("cpu")
    )
    assert loaded is not None
    with torch.no_grad():
        expected = loaded.network(torch.from_numpy(images), torch.zeros(1, dtype=torch.long))
        torch.testing.assert_close(torch.from_numpy(logits), expected)
        loaded.network.head = torch.nn.Identity()
        pooled = loaded.network(torch.from_numpy(images), torch.zeros(1, dtype=torch.long)).numpy()
    length = np.sqrt(pooled.shape[1])
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), length, rtol=1e-5)
    np.testing.assert_allclose(
        features * np.linalg.norm(pooled, axis=1)[:, None] / length, pooled, atol=1e-4 * np.abs(pooled).max()
    )
    assert features.dtype == np.float32
    assert features.shape == (BLOCK, gate.extractor.dimension)
    assert gate.extractor.sha256 == hash_file(GATE)
    assert str(gate.extractor).startswith(f"gate ({features.shape[1]} features, float32, weights ")


def test_a_feature_is_the_same_bytes_whatever_stands_beside_it(gate: LoadedExtractor) -> None:
    images = network_images(BLOCK + 3)
    together, reversed_order = gate(images)[0], gate(images[::-1])[0][::-1]
    alone = np.concatenate([gate(image[None])[0] for image in images])
    assert together.tobytes() == alone.tobytes() == reversed_order.tobytes()


@pytest.mark.parametrize(
    ("images", "problem"),
    [
        (network_images(1)[:, :1], "expected 3 channels, got 1"),
        (network_images(1, side=60), r"sides \(60, 60\) are no multiples of"),
        (network_images(1) * 255, "expected intensities from -1 to 1"),
        (network_images(1)[0], "expected float32"),
    ],
)
def test_other_images_are_refused(gate: LoadedExtractor, images: Any, problem: str) -> None:
    with pytest.raises(ArgumentError, match=f"images: {problem}"):
        gate(images)


def test_an_unknown_extractor_is_refused_with_those_that_exist() -> None:
    with pytest.raises(
        ArgumentError, match="extractor: there is no extractor 'vgg'; choose one of gate, "
    ) as e:
        load_extractor("vgg")
    assert all(name in str(e.value) for name in EXTRACTORS)


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("name", [name for name, extractor in EXTRACTORS.items() if extractor.url])
def test_weights_that_are_not_there_are_refused_with_the_way_to_get_them(name: str, tmp_path: Path) -> None:
    way = f"get .*license: .*python -m mcf_bundle.metrics.download_weights {name} FOLDER"
    with pytest.raises(CheckpointError, match=f"^{name}: needs a local file of weights.*{way}"):
        load_extractor(name)
    with pytest.raises(CheckpointError, match=f"gone.pth: no such file of weights; {way}"):
        load_extractor(name, tmp_path / "gone.pth")


def test_another_file_than_the_pinned_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"something else")
    with pytest.raises(CheckpointError, match=r"has the SHA-256 [0-9a-f]{64}, expected 6726825d"):
        load_extractor("inception_v3_2048", path)
    with pytest.raises(CheckpointError, match=f"expected {'0' * 64}"):
        load_extractor("gate", sha256="0" * 64)


def test_without_a_published_hash_the_user_has_to_give_one(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"something")
    with pytest.raises(ArgumentError, match=f"sha256: no checksum .* is published.*{hash_file(path)}"):
        load_extractor("radimagenet_resnet50", path)


@pytest.mark.parametrize(
    ("name", "module", "classes"),
    [("inception_v3_64", InceptionFeatures(64), 1008), ("radimagenet_resnet50", RadImageNetFeatures(), None)],
)
def test_weights_from_a_local_file_are_used(
    name: str, module: Any, classes: int | None, tmp_path: Path
) -> None:
    # Random weights in the layout of the real file stand for it.
    path = tmp_path / "weights.pth"
    torch.save(module.network.state_dict(), path)
    loaded = load_extractor(name, path, sha256=hash_file(path))
    image = network_images(1, side=48)
    features, logits = loaded(image)
    with torch.no_grad():
        expected = module(torch.from_numpy(np.repeat(image, BLOCK, 0)))[0][:1]
    torch.testing.assert_close(torch.from_numpy(features), expected)
    assert features.shape == (1, get_extractor(name).dimension)
    assert (None if logits is None else logits.shape[1]) == classes
    assert loaded.extractor == replace(get_extractor(name), sha256=hash_file(path))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({"conv1.weight": torch.zeros(1)}, "cannot be used as weights"),
        (b"no weights at all", "cannot be read"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(content: Any, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(CheckpointError, match=problem):
        load_extractor("inception_v3_192", path, sha256=hash_file(path))


def test_the_guidance_classifier_is_no_gate(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    weights = make_classifier("smoke").state_dict()
    save_checkpoint(path, weights, preset="smoke", kind="classifier", patients=[], info={})
    with pytest.raises(CheckpointError, match="holds a classifier of preset 'smoke', not a gate"):
        load_extractor("gate", path)
