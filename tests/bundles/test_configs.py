"""Every config of every bundle, and every overlay, against the rules."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser

import mcf_bundle
from mcf_bundle.networks.presets import DENOISER_PRESETS
from tests.bundles import config_rules as rules
from tests.bundles.bundle_rules import (
    metadata_problems,
    network_disagreements,
    undocumented_metrics,
)
from tests.bundles.config_files import ROOT, ConfigFiles, read

FILES = ConfigFiles()
IN_BUNDLES = [path for path in FILES.files if path not in FILES.overlays]

GENERATION_IDS = (
    *("dataset_dir", "output_dir", "num_images", "seed", "split_seed", "skip_bad_patients", "overwrite"),
    *("batch_size", "compute_batch", "steps", "start_step", "guidance_scale", "fusion", "blend"),
    *("ckpt", "classifier_ckpt", "device", "provenance", "dry_run"),
)


OF_ONE_TRAINING = (
    # What is learned, how well it is judged, and by what.
    *("kind", "ckpt_dir", "network_def#_target_", "loss_function", "loss", "validate#key_metric"),
    *(
        "start#kind",
        "weights#kind",
        "weights#metric",
        "weights#lower_is_better",
        "validate#evaluator#metric_cmp_fn",
    ),
    *("auc_steps", "auc_report", "imports#3", "run#1", "initialize#4", "grid_step", "validate#handlers#4"),
    *("train#handlers#6#identity#kind", "initialize#3#kind"),
    # Which slices, and how many of them.
    *("max_epochs", "epoch_length", "batch_size", "val_interval", "train#dataset", "validate#dataset"),
    *("tumor_share", "train#sampler#class_shares", "weights#info#tumor_share"),
    *("crop", "train#prepare_batch#crop", "weights#info#crop", "initialize#3#crop"),
    "initialize#3#size_divisor",
    # A classifier sees one slice without neighbors, answers with a label, and its noise has a smallest step;
    # the gate's has no step at all, so that `max_step` is no count.
    *(
        "neighbors",
        "network_def#neighbors",
        "mask",
        "network_def#mask",
        "context_slices",
        "condition_keys",
        "min_step",
    ),
    *("weights#info#min_step", "weights#info#loss"),
    *(f"{part}#prepare_batch#condition_keys" for part in ("train", "validate")),
    *(f"{part}#prepare_batch#target" for part in ("train", "validate")),
    *(f"{part}#prepare_batch#min_step" for part in ("train", "validate")),
    *("initialize#3#max_step", "initialize#3#counts#max_step"),
)
"""Ids below which train.json and train_classifier.json may differ."""


def named(run: list[Path]) -> Any:
    return pytest.param(run, id="+".join(map(FILES.name_of, run)))


def of_bundle(folder: Path) -> dict[str, dict[str, Any]]:
    """Content of a bundle's configs by name."""
    return {path.name: read(path) for path in FILES.configs if path.parent == folder / "configs"}


files = pytest.mark.parametrize("path", FILES.files, ids=FILES.name_of)
bases = pytest.mark.parametrize("path", FILES.bases, ids=FILES.name_of)
bundles = pytest.mark.parametrize("folder", FILES.bundles, ids=FILES.name_of)
merged_configs = pytest.mark.parametrize("run", [named(run) for run in FILES.runs()])
metadata_files = pytest.mark.parametrize("path", FILES.metadata, ids=FILES.name_of)

STRING_RULES = (
    rules.long_expressions,
    rules.imports_with_references,
    rules.scripts_imports,
    rules.absolute_paths,
)
WHOLE_RULES = (
    rules.unresolved_targets,
    rules.unbound_arguments,
    rules.dead_ids,
    rules.unknown_references,
)


def label(rule: Callable) -> str:
    return rule.__name__


# --- The rules on our configs ----------------------------------------------------------------------


def test_there_are_bundles_and_overlays() -> None:
    assert FILES.metadata
    assert FILES.overlays
    assert FILES.bundle_overlays


@files
def test_no_key_stands_twice(path: Path) -> None:
    assert not rules.duplicated_keys(path.read_text())


@pytest.mark.parametrize("path", IN_BUNDLES, ids=FILES.name_of)
def test_a_bundle_s_json_has_the_model_zoo_s_format(path: Path) -> None:
    assert not rules.not_pretty(path.read_text())


@files
def test_a_file_ends_with_one_newline(path: Path) -> None:
    assert path.read_text().endswith("}\n")


@files
@pytest.mark.parametrize("rule", STRING_RULES, ids=label)
def test_strings_obey_the_rules(path: Path, rule: Callable) -> None:
    assert not rule(read(path))


@merged_configs
@pytest.mark.parametrize("rule", WHOLE_RULES, ids=label)
def test_a_config_with_its_overlay_obeys_the_rules(run: list[Path], rule: Callable) -> None:
    assert not rule(ConfigParser.load_config_files([str(path) for path in run]))


@pytest.mark.parametrize("overlay", FILES.overlays, ids=FILES.name_of)
def test_an_overlay_s_keys_exist_in_every_config_that_it_is_for(overlay: Path) -> None:
    """A bundle's own overlay may add ids; they are judged with the config that it is listed after."""
    assert FILES.bases_of(overlay), "name the overlay in OVERLAYS"
    for base in FILES.bases_of(overlay):
        assert not rules.unknown_overlay_keys(read(overlay), read(base)), base


def test_two_bundles_share_no_large_subtree() -> None:
    for one, other in combinations(FILES.configs, 2):
        if one.parent != other.parent:
            assert not rules.repeated_subtrees(read(one), read(other)), (one, other)


@bundles
def test_a_bundle_s_configs_agree_on_the_networks(folder: Path) -> None:
    configs = of_bundle(folder)
    assert {"train.json", "inference.json"} <= configs.keys()
    assert not network_disagreements(configs)


@bundles
def test_the_model_card_states_the_metadata_s_metrics(folder: Path) -> None:
    card = (folder / "docs" / "README.md").read_text()
    assert not undocumented_metrics(read(folder / "configs" / "metadata.json"), card)


# --- What the configs say --------------------------------------------------------------------------


@pytest.mark.parametrize("name", GENERATION_IDS)
def test_every_documented_id_of_the_generation_has_an_effect(name: str) -> None:
    config = read(ROOT / "bundles/mcf_diffusion/configs/inference.json")
    assert name in rules.reachable_ids(config, {"run"})


@bases
def test_folder_and_device_have_an_effect_in_every_config(path: Path) -> None:
    assert {"dataset_dir", "device"} <= rules.reachable_ids(read(path), {"run"})


def test_training_and_generation_agree_on_steps_and_split() -> None:
    folder = ROOT / "bundles/mcf_diffusion/configs"
    train, classifier, inference = (
        read(folder / f"{name}.json") for name in ("train", "train_classifier", "inference")
    )
    for key in ("schedule", "preset", "split_seed"):
        assert train[key] == classifier[key] == inference[key]
    assert inference["start_step"] <= min(train["max_step"], classifier["max_step"])


def test_the_two_trainings_differ_where_they_are_meant_to_and_nowhere_else() -> None:
    one, other = (
        {
            path: node
            for path, node in rules.nodes_of(read(ROOT / f"bundles/mcf_diffusion/configs/{name}.json"))
            if not isinstance(node, dict | list)
        }
        for name in ("train", "train_classifier")
    )
    different = {path for path in one | other if one.get(path, ...) != other.get(path, ...)}

    def within(path: str, name: str) -> bool:
        return f"{path}#".startswith(f"{name}#")

    assert not {path for path in different if not any(within(path, name) for name in OF_ONE_TRAINING)}
    assert all(any(within(path, name) for path in different) for name in OF_ONE_TRAINING), "none is outdated"


@pytest.mark.parametrize("preset", sorted(DENOISER_PRESETS))
def test_every_preset_is_an_overlay_that_names_it(preset: str) -> None:
    assert read(ROOT / f"configs/presets/{preset}.json")["preset"] == preset


# --- Metadata --------------------------------------------------------------------------------------


NAMES_IN_METADATA = {"monai": "monai", "torch": "pytorch", "numpy": "numpy"}


@metadata_files
def test_metadata_has_what_the_zoo_s_schema_cannot_ask_for(path: Path) -> None:
    assert not metadata_problems(read(path))


@metadata_files
def test_metadata_names_the_tested_versions(path: Path) -> None:
    pins = dict(
        line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line
    )
    metadata = read(path)
    named = {name: metadata[f"{key}_version"] for name, key in NAMES_IN_METADATA.items()}
    named |= metadata["required_packages_version"]
    assert named.pop("mcf_bundle") == mcf_bundle.__version__
    assert named == {name: pins[name] for name in named}


def test_metadata_s_channels_are_those_of_every_preset() -> None:
    """Metadata's sides fit the default preset; sides of 32 n, which the reader asks for, fit all."""
    path = ROOT / "bundles/mcf_diffusion/configs/metadata.json"
    tensors = read(path)["network_data_format"]
    parser = ConfigParser(ConfigParser.load_config_file(str(path.with_name("inference.json"))))
    for preset in sorted(DENOISER_PRESETS):
        parser["preset"] = preset
        parser.parse(True)
        with torch.no_grad():
            output = parser.get_parsed_content("network_def")(
                torch.zeros(1, tensors["inputs"]["image"]["num_channels"], 32, 32)
            )
        assert output.shape == (1, tensors["outputs"]["pred"]["num_channels"], 32, 32)
