"""Every config of every bundle, and every overlay, against the rules; each rule against a broken sample."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser, verify_net_in_out

import mcf_bundle
from mcf_bundle.networks.presets import DENOISER_PRESETS
from tests.bundles import config_rules as rules

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted([*ROOT.glob("bundles/*/configs/*.json"), *ROOT.glob("configs/**/*.json")])
CONFIG_FOLDERS = sorted(ROOT.glob("bundles/*/configs"))
METADATA = sorted(ROOT.glob("bundles/*/configs/metadata.json"))
CONFIGS = [path for path in FILES if path not in METADATA]

OVERLAYS = {
    "presets/smoke.json": ("train.json", "train_classifier.json"),
    "presets/fast.json": ("train.json", "train_classifier.json"),
    "presets/paper.json": ("train.json",),
    "presets/paper_classifier.json": ("train_classifier.json",),
}
"""Bundle configs that an overlay is listed after."""

BUNDLE_OVERLAYS = {"train_gate.json": "train_classifier.json"}
"""Configs inside a bundle that are listed after another one."""

GENERATION_IDS = (
    *("dataset_dir", "output_dir", "num_images", "seed", "split_seed", "skip_bad_patients", "overwrite"),
    *("batch_size", "compute_batch", "steps", "start_step", "guidance_scale", "fusion", "blend"),
    *("ckpt", "classifier_ckpt", "device", "provenance", "dry_run"),
)


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def is_overlay(path: Path) -> bool:
    return path.name in BUNDLE_OVERLAYS or path.is_relative_to(ROOT / "configs")


def bases_of(overlay: Path) -> list[Path]:
    if overlay.name in BUNDLE_OVERLAYS:
        return [overlay.with_name(BUNDLE_OVERLAYS[overlay.name])]
    names = OVERLAYS.get(overlay.relative_to(ROOT / "configs").as_posix(), ())
    return [folder / name for folder in CONFIG_FOLDERS for name in names if (folder / name).exists()]


def runs() -> list[Any]:
    """Every list of files that `python -m monai.bundle run --config_file` may be given."""
    alone = [[path] for path in CONFIGS if not is_overlay(path)]
    overlaid = [[base, path] for path in CONFIGS if is_overlay(path) for base in bases_of(path)]
    last = [path for path in CONFIGS if path.name in BUNDLE_OVERLAYS]
    overlaid += [
        [*run, path] for path in last for run in overlaid if bases_of(path) == run[:1] and path not in run
    ]
    return [pytest.param(run, id="+".join(map(name_of, run))) for run in (*alone, *overlaid)]


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


files = pytest.mark.parametrize("path", FILES, ids=name_of)
configs = pytest.mark.parametrize("path", CONFIGS, ids=name_of)
merged_configs = pytest.mark.parametrize("run", runs())
metadata_files = pytest.mark.parametrize("path", METADATA, ids=name_of)

TEXT_RULES = (rules.duplicated_keys, rules.not_pretty)
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
    assert METADATA
    assert any(is_overlay(path) for path in CONFIGS)


@files
def test_no_key_stands_twice(path: Path) -> None:
    assert not rules.duplicated_keys(path.read_text())


@pytest.mark.parametrize("path", [path for path in FILES if "bundles" in path.parts], ids=name_of)
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


@pytest.mark.parametrize("overlay", [path for path in CONFIGS if is_overlay(path)], ids=name_of)
def test_an_overlay_s_keys_exist_in_every_config_that_it_is_for(overlay: Path) -> None:
    assert bases_of(overlay), "name the overlay in OVERLAYS"
    for base in bases_of(overlay):
        assert not rules.unknown_overlay_keys(read(overlay), read(base)), base


def test_two_bundles_share_no_large_subtree() -> None:
    for one, other in combinations(CONFIGS, 2):
        if one.parent != other.parent:
            assert not rules.repeated_subtrees(read(one), read(other)), (one, other)


# --- The rules on broken samples -------------------------------------------------------------------

ADAM = {"_target_": "torch.optim.Adam", "params": []}


@pytest.mark.parametrize(
    ("rule", "sample", "fragment"),
    [
        (rules.duplicated_keys, '{"a": {"seed": 0, "seed": 1}}', "seed"),
        (rules.not_pretty, '{\n  "seed": 0\n}\n', "line 2"),
        (rules.not_pretty, '{\n    "seed": 0\n}', "line 3"),
        (rules.not_pretty, '{\n    "shape": [1, 2]\n}\n', "line 2"),
    ],
)
def test_a_broken_file_is_caught(rule: Callable[[str], list[str]], sample: str, fragment: str) -> None:
    assert any(fragment in problem for problem in rule(sample))


@pytest.mark.parametrize(
    ("rule", "sample", "fragment"),
    [
        (rules.long_expressions, {"a": ["$" + "1 + " * 20 + "1"]}, "1 + 1"),
        (rules.imports_with_references, {"a": "$__import__('os') or import os; @b"}, "import"),
        (rules.scripts_imports, {"imports": ["$import scripts"]}, "scripts"),
        (rules.scripts_imports, {"imports": ["$from scripts import x"]}, "scripts"),
        (rules.scripts_imports, {"a": {"_target_": "scripts.network.Net"}}, "scripts"),
        (rules.absolute_paths, {"dataset_dir": "/data/lgg"}, "/data"),
        (rules.absolute_paths, {"dataset_dir": "~/lgg"}, "~"),
        (rules.absolute_paths, {"dataset_dir": "C:\\lgg"}, "C:"),
        (rules.absolute_paths, {"ckpt": "$@a + '/home/someone/model.pt'"}, "someone"),
        (rules.unresolved_targets, {"unused": {"_target_": "torch.optim.Adamm"}}, "Adamm"),
        (rules.unresolved_targets, {"a": [{"_target_": "NoSuchTransformd"}]}, "NoSuchTransformd"),
        (rules.unbound_arguments, {"unused": {**ADAM, "learning_rate": 1}}, "learning_rate"),
        (rules.unbound_arguments, {"a": {"_target_": "torch.optim.Adam", "lr": 1}}, "params"),
        (rules.dead_ids, {"seed": 0, "run": ["$print(1)"]}, "seed"),
        (rules.dead_ids, {"a": "@b", "b": "@a", "run": []}, "a"),
        (rules.dead_ids, {"train": {"spare": 1, "x": 2}, "run": ["$@train#x"]}, "train#spare"),
        (rules.unknown_references, {"run": ["$@generation.run()"]}, "@generation"),
        (rules.unknown_references, {"a": {"b": 1}, "run": ["@a#c"]}, "@a#c"),
    ],
)
def test_a_broken_config_is_caught(
    rule: Callable[[rules.Config], list[str]], sample: dict[str, Any], fragment: str
) -> None:
    assert any(fragment in problem for problem in rule(sample))


@pytest.mark.parametrize(
    ("rule", "sample"),
    [
        (rules.absolute_paths, {"ckpt": "$str(@bundle_root) + '/models/model.pt'", "a": "https://x.org/y"}),
        (rules.scripts_imports, {"description": "no scripts are needed", "a": {"_target_": "my_scripts.x"}}),
        (rules.unbound_arguments, {"a": {**ADAM, "_disabled_": True, "_desc_": "unused"}}),
        (rules.unbound_arguments, {"a": {"_target_": "torch.optim.Adam", "lr": 1, "_mode_": "partial"}}),
        (rules.dead_ids, {"a": {"_target_": "x", "b": "@c"}, "c": 1, "run": ["$@a.b"]}),
        (rules.dead_ids, {"train": {"x": {"y": 1}}, "run": ["@train::x::y"]}),
    ],
)
def test_a_good_config_passes(rule: Callable[[rules.Config], list[str]], sample: dict[str, Any]) -> None:
    assert not rule(sample)


def test_an_overlay_key_that_its_base_lacks_is_caught() -> None:
    base = {"max_epochs": 1, "train": {"trainer": {"max_epochs": 1}}}
    overlay = {"max_epoch": 2, "train#trainer#max_epochs": 2, "+train::trainer": {}, "train#trainr": {}}
    assert rules.unknown_overlay_keys(overlay, base) == ["max_epoch", "train#trainr"]


def test_a_copied_subtree_is_caught() -> None:
    large = {str(number): number for number in range(13)}
    small = {str(number): number for number in range(12)}
    assert rules.repeated_subtrees({"a": [large], "b": small}, {"c": {"d": large}, "e": small}) == ["c#d"]


# --- What the configs say --------------------------------------------------------------------------


@pytest.mark.parametrize("name", GENERATION_IDS)
def test_every_documented_id_of_the_generation_has_an_effect(name: str) -> None:
    config = read(ROOT / "bundles/mcf_diffusion/configs/inference.json")
    assert name in rules.reachable_ids(config, {"run"})


@pytest.mark.parametrize("path", [path for path in CONFIGS if not is_overlay(path)], ids=name_of)
def test_folder_and_device_have_an_effect_in_every_config(path: Path) -> None:
    assert {"dataset_dir", "device"} <= rules.reachable_ids(read(path), {"run"})


def test_training_and_generation_agree_on_the_networks() -> None:
    folder = ROOT / "bundles/mcf_diffusion/configs"
    train, classifier, inference = (
        read(folder / f"{name}.json") for name in ("train", "train_classifier", "inference")
    )
    assert train["network_def"] == inference["network_def"]
    assert classifier["network_def"] == inference["classifier_def"] == inference["gate_def"]
    for key in ("schedule", "preset", "split_seed"):
        assert train[key] == classifier[key] == inference[key]
    assert inference["start_step"] <= min(train["max_step"], classifier["max_step"])


@pytest.mark.parametrize("preset", sorted(DENOISER_PRESETS))
def test_every_preset_is_an_overlay_that_names_it(preset: str) -> None:
    assert read(ROOT / f"configs/presets/{preset}.json")["preset"] == preset


# --- Metadata --------------------------------------------------------------------------------------


NAMES_IN_METADATA = {"monai": "monai", "torch": "pytorch", "numpy": "numpy"}


@metadata_files
def test_metadata_has_what_the_model_zoo_s_schema_requires(path: Path) -> None:
    assert not rules.metadata_problems(read(path))


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


@metadata_files
def test_metadata_describes_the_network(path: Path) -> None:
    verify_net_in_out("network_def", str(path), str(path.with_name("inference.json")), device="cpu")


@metadata_files
def test_metadata_s_channels_are_those_of_every_preset(path: Path) -> None:
    """Metadata's sides fit the default preset; sides of 32 n, which the reader asks for, fit all."""
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


def _without(key: str) -> Callable[[dict[str, Any]], None]:
    return lambda metadata: metadata.pop(key)


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (_without("schema"), "lacks schema"),
        (_without("required_packages_version"), "lacks required_packages_version"),
        (lambda m: m.update(version="9.9.9"), "the version has no changelog entry"),
        (lambda m: m["network_data_format"]["inputs"].pop("image"), "the first of inputs is not image"),
        (lambda m: m["network_data_format"]["outputs"]["pred"].pop("dtype"), "outputs pred lacks dtype"),
        (
            lambda m: m["network_data_format"]["outputs"]["pred"].update(channel_def={"noise": "0"}),
            "channel_def of pred does not count its channels from 0",
        ),
    ],
)
def test_broken_metadata_is_caught(damage: Callable[[dict[str, Any]], Any], problem: str) -> None:
    metadata = read(METADATA[0])
    damage(metadata)
    assert problem in rules.metadata_problems(metadata)
