"""Each rule for configs and bundles against a sample that is broken, and against one that only looks so."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.bundles import bundle_rules
from tests.bundles import config_rules as rules
from tests.bundles.config_files import ConfigFiles, read

ADAM = {"_target_": "torch.optim.Adam", "params": []}


# --- One config ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "sample", "fragment"),
    [
        (rules.duplicated_keys, '{"a": {"seed": 0, "seed": 1}}', "seed"),
        (rules.duplicated_keys, '{"a#seed": 0, "a::seed": 1}', "a#seed"),
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
        (rules.scripts_imports, {"imports": ["$import scripts as s"]}, "scripts"),
        (rules.scripts_imports, {"imports": ["$import os, scripts"]}, "scripts"),
        (rules.scripts_imports, {"imports": ["$from scripts import x"]}, "scripts"),
        (rules.scripts_imports, {"a": "$__import__('scripts').network"}, "scripts"),
        (rules.scripts_imports, {"a": {"_target_": "scripts.network.Net"}}, "scripts"),
        (rules.absolute_paths, {"dataset_dir": "/data/lgg"}, "/data"),
        (rules.absolute_paths, {"dataset_dir": "~/lgg"}, "~"),
        (rules.absolute_paths, {"dataset_dir": "C:\\lgg"}, "C:"),
        (rules.absolute_paths, {"dataset_dir": "\\\\server\\lgg"}, "server"),
        (rules.absolute_paths, {"dataset_dir": "file:///lgg"}, "file:"),
        (rules.absolute_paths, {"description": "as in /home/someone/lgg"}, "someone"),
        (rules.absolute_paths, {"dataset_dir": "$Path.home() / 'lgg'"}, "home"),
        (rules.absolute_paths, {"dataset_dir": "$os.environ['HOME'] + '/lgg'"}, "HOME"),
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
        (rules.absolute_paths, {"a": "https://x.org/home/y", "b": "runs/home/z", "c": "homes and users"}),
        (rules.scripts_imports, {"description": "no scripts are needed", "a": {"_target_": "my_scripts.x"}}),
        (rules.scripts_imports, {"a": "$@bundle_root + '/scripts/run.sh'"}),
        (rules.unbound_arguments, {"a": {**ADAM, "_disabled_": True, "_desc_": "unused"}}),
        (rules.unbound_arguments, {"a": {"_target_": "torch.optim.Adam", "lr": 1, "_mode_": "partial"}}),
        (rules.dead_ids, {"a": {"_target_": "x", "b": "@c"}, "c": 1, "run": ["$@a.b"]}),
        (rules.dead_ids, {"train": {"x": {"y": 1}}, "run": ["@train::x::y"]}),
    ],
)
def test_a_good_config_passes(rule: Callable[[rules.Config], list[str]], sample: dict[str, Any]) -> None:
    assert not rule(sample)


# --- Two configs -----------------------------------------------------------------------------------


def test_an_overlay_key_that_its_base_lacks_is_caught() -> None:
    base = {"max_epochs": 1, "train": {"trainer": {"max_epochs": 1}, "optimizer": ADAM}}
    good = {"+train::trainer": {}, "train#trainer#max_epochs": 2, "train#optimizer#lr": 1, "+initialize": []}
    bad = {"max_epoch": 2, "train#trainr": {}, "train#optimizer#learning_rate": 1, "train#trainer#lr": 1}
    assert rules.unknown_overlay_keys(good | bad, base) == list(bad)


def test_a_copied_subtree_is_caught() -> None:
    large = {str(number): number for number in range(13)}
    small = {str(number): number for number in range(12)}
    assert rules.repeated_subtrees({"a": [large], "b": small}, {"c": {"d": large}, "e": small}) == ["c#d"]


def test_a_copied_file_is_caught_even_if_its_parts_are_small() -> None:
    config = {key: {str(number): number for number in range(7)} for key in "ab"}
    assert rules.repeated_subtrees(config, dict(reversed(config.items()))) == [""]


# --- A bundle --------------------------------------------------------------------------------------


def net(**arguments: Any) -> dict[str, Any]:
    return {"_target_": "monai.networks.nets.UNet", **arguments}


AGREEING = {
    "train.json": {"preset": "fast", "network_def": net(channels="@preset")},
    "train_judge.json": {"network_def": net(channels=[8])},
    "inference.json": {
        "network_def": net(channels="@name"),
        "name": "fast",
        "judge_def": net(channels="@widths"),
        "widths": [8],
    },
    "metadata.json": {"network_def": net()},
}


@pytest.mark.parametrize(
    ("file", "change", "problem"),
    [
        ("inference.json", {"name": "paper"}, "inference.json: network_def is used and not trained"),
        ("train.json", {"preset": "paper"}, "train.json: network_def is trained and not used"),
        ("train_judge.json", {"network_def": net(channels=[4])}, "inference.json: judge_def is used and not"),
        (
            "inference.json",
            {"network_def": net(channels="@widths"), "judge_def": net(channels="@name")},
            "network_def differs between train.json and inference.json",
        ),
        ("inference.json", {"widths": "$[4 * 2]"}, "inference.json: judge_def is used and not trained"),
    ],
    ids=["inference's value", "training's value", "the second network", "swapped", "an expression"],
)
def test_networks_that_differ_are_caught(file: str, change: dict[str, Any], problem: str) -> None:
    assert not bundle_rules.network_disagreements(AGREEING)
    changed = {**AGREEING, file: {**AGREEING[file], **change}}
    assert any(found.startswith(problem) for found in bundle_rules.network_disagreements(changed))


def test_what_an_expression_refers_to_is_part_of_the_network() -> None:
    one, other = (
        {"network_def": net(channels="$[@n, 2 * @n]"), "n": number, "run": []} for number in (8, 16)
    )
    assert not bundle_rules.network_disagreements({"train.json": one, "inference.json": one})
    assert bundle_rules.network_disagreements({"train.json": one, "inference.json": other})


LINEAR = torch.nn.Linear(2, 3).state_dict()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (torch.nn.Linear(2, 4).state_dict(), "weight is (4, 2), the network's (3, 2)"),
        ({"weight": LINEAR["weight"]}, "lacks bias"),
        ({**LINEAR, "scale": torch.ones(1)}, "scale is unknown to the network"),
        ({f"module.{key}": value for key, value in LINEAR.items()}, "lacks weight"),
        ({"model": {"net": LINEAR}}, "lacks weight"),
    ],
    ids=["shape", "missing", "unknown", "of DistributedDataParallel", "too deep"],
)
def test_weights_of_another_network_are_caught(content: dict[str, Any], problem: str) -> None:
    assert problem in bundle_rules.weight_mismatches(content, LINEAR)


@pytest.mark.parametrize("content", [LINEAR, {"model": LINEAR, "meta": {}}])
def test_weights_of_the_network_pass(content: dict[str, Any]) -> None:
    assert not bundle_rules.weight_mismatches(content, LINEAR)


def test_the_shortest_name_is_served() -> None:
    names = ("model_classifier.pt", "model.pt", "a.txt", "model_gate.pt")
    assert bundle_rules.served_weights([Path(name) for name in names]) == Path("model.pt")
    assert bundle_rules.served_weights([Path("a.txt")]) is None


CARD = """
The denoiser was trained for 84 epochs.
| denoiser | epoch 84 | validation loss 0.0483 on 84 slices |
| gate classifier | epoch 6 | AUC .967 without noise, 1.5e-3 |
"""


@pytest.mark.parametrize(
    ("metrics", "missing"),
    [
        ({"denoiser_loss": 0.0483, "gate": {"auc": 0.967}}, []),
        ({"gate": 0.0015}, []),
        ({"denoiser_loss": 0.0484}, ["denoiser_loss = 0.0484"]),
        ({"denoiser_loss": 0.967}, ["denoiser_loss = 0.967"]),
        ({"gate": {"dice": 0.967}}, ["gate dice = 0.967"]),
        ({"gate_auc": 0.67}, ["gate_auc = 0.67"]),
        ({}, []),
    ],
)
def test_metrics_that_the_card_does_not_state_are_caught(metrics: dict[str, Any], missing: list[str]) -> None:
    found = bundle_rules.undocumented_metrics({"eval_metrics": metrics}, CARD)
    assert found == [f"{item} does not stand in the model card" for item in missing]


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda m: m.update(version="9.9.9"), "the version has no changelog entry"),
        (lambda m: m["network_data_format"]["inputs"].pop("image"), "the first of inputs is not image"),
        (
            lambda m: m["network_data_format"]["outputs"]["pred"].pop("channel_def"),
            "channel_def of pred does not count its channels from 0",
        ),
        (
            lambda m: m["network_data_format"]["outputs"]["pred"].update(channel_def={"noise": "0"}),
            "channel_def of pred does not count its channels from 0",
        ),
    ],
)
def test_broken_metadata_is_caught(damage: Callable[[dict[str, Any]], Any], problem: str) -> None:
    metadata = read(ConfigFiles().metadata[0])
    damage(metadata)
    assert problem in bundle_rules.metadata_problems(metadata)


# --- Which files are looked at ---------------------------------------------------------------------


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Two bundles, of which one has an overlay of its own, and three overlays for them."""
    contents = {
        "bundles/one/configs": ("train.json", "train_classifier.json", "train_gate.json", "metadata.json"),
        "bundles/two/configs": ("train.json", "inference.json", "evaluate.json", "metadata.json"),
        "configs/presets": ("smoke.json", "unknown.json"),
        "configs/hardware": ("cpu.json",),
    }
    for folder, names in contents.items():
        (tmp_path / folder).mkdir(parents=True)
        for name in names:
            (tmp_path / folder / name).write_text(json.dumps({}))
    return tmp_path


def test_a_new_bundle_is_tested_with_every_overlay_that_is_for_it(checkout: Path) -> None:
    overlays = {"presets/smoke.json": ("one/train*.json",), "hardware/cpu.json": ("*/*.json",)}
    files = ConfigFiles(checkout, overlays)

    def short(path: Path) -> str:
        return path.stem if path in files.overlays else f"{path.parents[1].name}/{path.stem}"

    assert sorted([*map(short, run)] for run in files.runs()) == [
        ["one/train"],
        ["one/train", "cpu"],
        ["one/train", "smoke"],
        ["one/train_classifier"],
        ["one/train_classifier", "cpu"],
        ["one/train_classifier", "cpu", "one/train_gate"],
        ["one/train_classifier", "one/train_gate"],
        ["one/train_classifier", "smoke"],
        ["one/train_classifier", "smoke", "one/train_gate"],
        ["two/inference"],
        ["two/inference", "cpu"],
        ["two/train"],
        ["two/train", "cpu"],
        ["two/train", "cpu", "two/evaluate"],
        ["two/train", "two/evaluate"],
    ]
    assert not files.bases_of(checkout / "configs/presets/unknown.json")
    assert len(files.bundles) == len(files.metadata) == 2
