"""The weights that come with the bundles: what their files hold, and that they fit their networks."""

from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser
from torch import nn

from mcf_bundle.networks.checkpoint import load_network, read_checkpoint
from mcf_bundle.networks.classification_ensemble import KIND
from mcf_bundle.networks.exportable import ExportableNetwork
from tests.bundles.bundle_rules import served_weights, weight_mismatches
from tests.bundles.config_rules import nodes_of

ROOT = Path(__file__).resolve().parents[2]
LARGEST_FILE_BYTES = 25_000_000
"""What the model zoo takes without an entry in large_files.yml."""

LOADERS = (".load_trained", ".load_classifiers")

CONFIGS = {path.parents[1]: path for path in sorted(ROOT.glob("bundles/*/configs/inference.json"))}


def roles(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what loads weights in a config, by the id of the file that it loads."""
    nodes = [node for _, node in nodes_of(config) if isinstance(node, dict)]
    loaders = [node for node in nodes if str(node.get("_target_", "")).endswith(LOADERS)]
    return {node["ckpt"].removeprefix("@"): node for node in loaders}


SHIPPED = [
    (bundle, key, {}) for bundle, path in CONFIGS.items() for key in roles(json.loads(path.read_text()))
]
SHIPPED += [(ROOT / "bundles/mcf_diffusion", "ckpt", {"mask": False})]


class Shipped:
    """One checkpoint as inference.json names it, with the network that it is loaded into."""

    def __init__(self, bundle: Path, key: str, settings: dict[str, Any]) -> None:
        config = {**json.loads(CONFIGS[bundle].read_text()), **settings}
        loader = roles(config)[key]
        parser = ConfigParser({**config, "bundle_root": str(bundle)})
        self.path = Path(parser.get_parsed_content(key))
        self.network: nn.Module = parser.get_parsed_content(loader["network"].removeprefix("@"))
        preset = loader.get("preset", "")
        self.preset = (
            parser.get_parsed_content(preset[1:]) if preset.startswith("@") else self.network.architecture
        )
        self.kind = loader.get("kind", KIND)
        self.has_steps = isinstance(self.network, ExportableNetwork)


@pytest.fixture(
    scope="module", params=SHIPPED, ids=lambda item: "-".join((item[0].name, *item[1:2], *item[2]))
)
def shipped(request: pytest.FixtureRequest) -> Shipped:
    return Shipped(*request.param)


@pytest.fixture(scope="module")
def content(shipped: Shipped) -> dict[str, Any]:
    """What the file holds; reading it runs no code of the file."""
    return torch.load(shipped.path, map_location="cpu", weights_only=True)


def test_every_file_in_models_is_named_by_the_config() -> None:
    for bundle in CONFIGS:
        named = {Shipped(*item).path for item in SHIPPED if item[0] == bundle}
        assert named == set((bundle / "models").iterdir())


def test_the_file_is_smaller_than_the_model_zoo_s_limit(shipped: Shipped) -> None:
    assert shipped.path.stat().st_size < LARGEST_FILE_BYTES


def test_the_file_holds_float16_weights_and_no_training_state(content: dict[str, Any]) -> None:
    assert content.keys() == {"model", "meta"}
    assert content["meta"].keys() - {"record"} == {
        *("format", "preset", "kind", "patients", "validation_patients", "info")
    }
    for key, value in content["model"].items():
        counts = key.endswith("num_batches_tracked")
        assert value.dtype == (torch.int64 if counts else torch.float16), key
        assert value.isfinite().all(), key


def test_the_weights_are_exactly_the_network_s(shipped: Shipped, content: dict[str, Any]) -> None:
    assert not weight_mismatches(content, shipped.network.state_dict())


def test_the_file_that_monai_label_serves_is_the_network_def_s() -> None:
    """It is loaded without being strict: another network's weights would leave random ones."""
    for bundle in CONFIGS:
        served = Shipped(bundle, "ckpt", {})
        assert roles(json.loads(CONFIGS[bundle].read_text()))["ckpt"]["network"] == "@network_def"
        assert served_weights(list((bundle / "models").iterdir())) == served.path


def test_the_checkpoint_loads_as_its_preset_and_kind(shipped: Shipped) -> None:
    checkpoint = load_network(shipped.network, shipped.path, preset=shipped.preset, kind=shipped.kind)
    assert (checkpoint.preset, checkpoint.kind) == (shipped.preset, shipped.kind)


def test_patients_are_stored_as_hashes_only(shipped: Shipped, content: dict[str, Any]) -> None:
    meta = content["meta"]
    for patients in (meta["patients"], meta["validation_patients"]):
        assert patients == sorted(set(patients)) != []
        assert all(re.fullmatch("[0-9a-f]{64}", patient) for patient in patients)
    assert not set(meta["patients"]) & set(meta["validation_patients"])
    assert b"TCGA" not in shipped.path.read_bytes()


def test_the_story_is_told_in_plain_values(shipped: Shipped, content: dict[str, Any]) -> None:
    info = content["meta"]["info"]
    leaves = [value for _, value in nodes_of(info) if not isinstance(value, dict | list)]
    assert all(value is None or isinstance(value, str | int | float | bool) for value in leaves)
    assert {"epoch", "seed", "split_seed", *(["max_step"] if shipped.has_steps else [])} <= info.keys()
    assert not any(isinstance(value, str) and "/" in value for value in leaves)


def test_the_network_knows_the_steps_that_generation_shows_it(
    shipped: Shipped, content: dict[str, Any]
) -> None:
    if not shipped.has_steps:
        pytest.skip("it sees no noise")
    config = json.loads(CONFIGS[shipped.path.parents[1]].read_text())
    largest = 0 if shipped.kind == "gate" else config["start_step"]
    assert content["meta"]["info"]["max_step"] >= largest


def test_the_network_has_learned_something(shipped: Shipped, content: dict[str, Any]) -> None:
    """A fresh denoiser gives 0 everywhere, a fresh classifier has the weights of its seed."""
    load_network(shipped.network, shipped.path, preset=shipped.preset, kind=shipped.kind)
    first = next(shipped.network.parameters())
    channels = shipped.network.in_channels if shipped.has_steps else first.shape[1]
    x = torch.randn(1, channels, 64, 64, generator=torch.Generator().manual_seed(0))
    inputs = (x, torch.tensor([299])) if shipped.has_steps else (x,)
    with torch.no_grad():
        output = shipped.network.eval()(*inputs)
    assert output.isfinite().all()
    if shipped.kind == "denoiser":
        assert output.std() > 0.5
        assert torch.corrcoef(torch.stack([output.flatten(), x[:, : output.shape[1]].flatten()]))[0, 1] > 0.5
    else:
        assert output.std() > 0.01


def test_networks_of_one_architecture_have_different_weights() -> None:
    """The gate judges what guidance made, so it is another network than the guidance classifier."""
    for bundle in CONFIGS:
        found = {str(item[1:]): Shipped(*item).path for item in SHIPPED if item[0] == bundle}
        read = {key: read_checkpoint(path) for key, path in found.items()}
        for (one, first), (other, second) in combinations(read.items(), 2):
            assert first.sha256 != second.sha256, (one, other)
            shared = [key for key in first.weights if key in second.weights and key.endswith("weight")]
            for key in shared:
                matrix = first.weights[key].shape == second.weights[key].shape and first.weights[key].ndim > 1
                assert not matrix or not torch.equal(first.weights[key], second.weights[key]), key


def test_all_checkpoints_of_a_bundle_saw_the_same_patients() -> None:
    """One split by patient holds for all networks: what one may not judge, none may have seen."""
    for bundle in CONFIGS:
        read = [read_checkpoint(Shipped(*item).path) for item in SHIPPED if item[0] == bundle]
        assert len({item.patients for item in read}) == 1
        assert len({item.validation_patients for item in read}) == 1
