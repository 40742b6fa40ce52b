"""The tables of docs/bundle_reference.md against the configs that they describe."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
from typing import Any

import pytest
from monai.bundle import ConfigParser

from mcf_bundle.generation.gate_rules import GateRules
from mcf_bundle.generation.pairing import PairingRules
from mcf_bundle.generation.variation import VariationRules
from tests.bundles.config_files import ROOT, read

BUNDLES = ROOT / "bundles"
PAGE = (ROOT / "docs" / "bundle_reference.md").read_text()
NO_IDS = {"imports", "bundle_root", "initialize", "run", "finalize"}
"""Keys that are MONAI's or find the bundle; nobody sets them."""

RULES: dict[str, Any] = {"gate_rules": GateRules(), "pairing": PairingRules()}
PHRASES = {
    "cuda if there is one, else cpu": "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
    "8 on a GPU, else 4": "$8 if torch.device(@device).type == 'cuda' else 4",
    "true on a GPU, else false": "$torch.device(@device).type == 'cuda'",
    "bfloat16 where the device computes in it, else float32": {
        "_target_": "mcf_bundle.networks.precision.fast_precision",
        "device": "@device",
    },
    "1 with `neighbors`, else 0": "$1 if @neighbors else 0",
    "`context` with `neighbors`, `mask` with `mask`": "$['context'] * @neighbors + ['mask'] * @mask",
}


SECTIONS = [
    *("inference.json", "train.json", "train_classifier.json", "evaluate_images.json"),
    *("tumor_segmentation/train.json", "tumor_segmentation/inference.json"),
    *("tumor_classification/train.json", "tumor_classification/inference.json"),
]
"""Titles of the sections on a config that stands alone."""

EVALUATIONS = ["evaluate.json", "tumor_segmentation/evaluate.json", "tumor_classification/evaluate.json"]


def config_of(title: str) -> dict[str, Any]:
    """Return the config that a section describes: a bundle's, of mcf_diffusion where none is named."""
    bundle, _, name = title.rpartition("/")
    return read(BUNDLES / (bundle or "mcf_diffusion") / "configs" / name)


def section(title: str) -> str:
    """Return the text below a heading, up to the next one of its level."""
    return re.split(r"^## ", PAGE.split(f"\n## {title}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def rows_of(text: str) -> dict[str, str]:
    """Return the default cell by id, of the tables that have one; a row may hold several ids."""
    found: dict[str, str] = {}
    for table in re.findall(r"^\| id \| Default \|.*\n\|[ |-]+\n((?:\|.*\n)+)", text, re.MULTILINE):
        for line in table.splitlines():
            ids, default = line.split(" | ")[:2]
            names = re.findall("`(.+?)`", ids)
            defaults = default.split(", ") if len(names) > 1 else [default]
            found |= dict(zip(names, defaults, strict=True))
    return found


def value_of(cell: str) -> Any:
    """Return the value that a cell of defaults stands for."""
    if cell in PHRASES:
        return PHRASES[cell]
    if of_two := re.fullmatch("the bundle's `(.+).pt`, or `.+/model(.+).pt` with `(.+)` false", cell):
        file, ending, name = of_two.groups()
        return f"$str(@bundle_root) + '/{file}%s.pt' % ('' if @{name} else '{ending}')"
    if of_bundle := re.fullmatch("the bundle's `(.+)`", cell):
        return f"$str(@bundle_root) + '/{of_bundle[1]}'"
    text = cell.strip("`")
    try:
        return json.loads(text)
    except ValueError:
        return text


def objects_of(text: str) -> set[str]:
    """Return the ids of the objects that a section lists in words."""
    listed = re.search(r"^Further objects, for overlays: ((?:.|\n)+?)\.$", text, re.MULTILINE)
    return set(re.findall("`(.+?)`", listed[1])) if listed else set()


def documented(name: str) -> tuple[dict[str, Any], set[str]]:
    """Return the defaults and the objects that the page has for a config."""
    text = section(name)
    defaults = {key: value_of(cell) for key, cell in rows_of(text).items()}
    if name == "train_classifier.json":
        train, objects = documented("train.json")
        without = re.search(
            r"^The ids and objects of `train.json` without ((?:.|\n)+?), with", text, re.MULTILINE
        )
        assert without
        left_out = set(re.findall("`(.+?)`", without[1]))
        assert left_out <= train.keys(), "what it lacks is an id of train.json"
        kept = {key: value for key, value in train.items() if key not in left_out}
        return kept | defaults, objects | {"auc_report"}
    return defaults, objects_of(text) | {key for key in RULES if name == "inference.json"}


@pytest.mark.parametrize("name", SECTIONS)
def test_the_page_lists_every_id_of_a_config_and_no_other(name: str) -> None:
    defaults, objects = documented(name)
    listed = {key for key in defaults if "#" not in key} | objects
    listed |= {"pool_rules"} if name == "inference.json" else set()
    assert listed == config_of(name).keys() - NO_IDS


@pytest.mark.parametrize("name", EVALUATIONS)
def test_the_page_lists_what_evaluate_adds_to_train(name: str) -> None:
    added = config_of(name).keys() - config_of(name.replace("evaluate", "train")).keys()
    added = {key for key in added if not key.startswith("+")}
    assert documented(name)[0].keys() == {key for key in added if "#" not in key} - {"trained"}


@pytest.mark.parametrize("name", [*SECTIONS, *EVALUATIONS])
def test_the_page_s_defaults_are_the_config_s(name: str) -> None:
    config = ConfigParser(config_of(name))
    defaults = documented(name)[0]
    own = {key: value for key, value in defaults.items() if "#" not in key}
    assert own == {key: config[key] for key in own}


def test_the_page_s_defaults_of_rules_are_those_of_their_classes() -> None:
    listed = {key: value for key, value in documented("inference.json")[0].items() if "#" in key}
    for key, value in listed.items():
        rules, *names = key.split("#")
        found = functools.reduce(getattr, names, RULES[rules])
        assert value == (list(found) if isinstance(found, tuple) else found), key
    fields = {f"gate_rules#{field.name}" for field in dataclasses.fields(GateRules)}
    fields |= {f"pairing#variation#{field.name}" for field in dataclasses.fields(VariationRules)}
    assert fields <= listed.keys()
