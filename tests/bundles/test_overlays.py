"""Every overlay after every config that it is for: what changes, and what docs/configs.md says of it."""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser

from mcf_bundle.resources import config_path
from tests.bundles.config_files import OVERLAYS, ROOT, ConfigFiles, read
from tests.bundles.config_rules import has_id, nodes_of

FILES = ConfigFiles()
PAGE = (ROOT / "docs" / "configs.md").read_text()
PAIRS = [
    pytest.param(base, overlay, id=f"{FILES.name_of(base)}+{FILES.name_of(overlay)}")
    for overlay in FILES.overlays
    for base in FILES.bases_of(overlay)
]


def merge(*files: Path) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # MONAI only warns of a '+' key that has nothing to join
        return ConfigParser.load_config_files([str(path) for path in files])


def leaves(config: dict[str, Any]) -> dict[str, Any]:
    return {path: node for path, node in nodes_of(config) if not isinstance(node, dict | list)}


def overlay_named(name: str, base: str = "train.json") -> ConfigParser:
    files = ROOT / "bundles/mcf_diffusion/configs" / base, ROOT / "configs" / f"{name}.json"
    return ConfigParser(merge(*files))


@pytest.mark.parametrize(("base", "overlay"), PAIRS)
def test_an_overlay_changes_its_own_ids_and_nothing_else(base: Path, overlay: Path) -> None:
    before, after = leaves(read(base)), leaves(merge(base, overlay))
    own = [key.removeprefix("+").replace("::", "#") for key in read(overlay)]
    changed = {path for path in before | after if before.get(path, ...) != after.get(path, ...)}
    strange = [path for path in changed if not any(f"{path}#".startswith(f"{key}#") for key in own)]
    assert not strange


@pytest.mark.parametrize(("base", "overlay"), PAIRS)
def test_every_key_of_an_overlay_arrives(base: Path, overlay: Path) -> None:
    merged, parser = merge(base, overlay), ConfigParser(merge(base, overlay))
    for key, value in read(overlay).items():
        name = key.removeprefix("+")
        assert has_id(merged, name)
        if not key.startswith("+"):
            assert parser[name] == value
        elif isinstance(value, list):
            assert parser[name][-len(value) :] == value
            assert parser[name][: -len(value)] == ConfigParser(read(base))[name]
        else:
            assert value.items() <= parser[name].items()


@pytest.mark.parametrize("overlay", FILES.overlays, ids=FILES.name_of)
def test_an_overlay_is_found_and_documented_by_its_name(overlay: Path) -> None:
    name = overlay.relative_to(ROOT / "configs").as_posix()
    assert config_path(name) == overlay
    assert name in OVERLAYS
    assert f"| `{name.removesuffix('.json')}` |" in PAGE


@pytest.mark.parametrize("name", sorted(OVERLAYS))
def test_an_overlay_that_is_named_exists(name: str) -> None:
    assert (ROOT / "configs" / name) in FILES.overlays


# --- What the page promises ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("preset", "parameters"), [("smoke", 171_196), ("fast", 7_846_620), ("paper", 12_277_315)]
)
def test_a_preset_chooses_the_network(preset: str, parameters: int) -> None:
    network = overlay_named(f"presets/{preset}").get_parsed_content("network_def")
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


@pytest.mark.parametrize(("hardware", "device"), [("cpu", "cpu"), ("gpu", "cuda")])
@pytest.mark.parametrize("base", ["train.json", "train_classifier.json", "inference.json"])
def test_hardware_chooses_the_device_whatever_there_is(
    monkeypatch: pytest.MonkeyPatch, base: str, hardware: str, device: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: hardware == "cpu")
    assert (
        torch.device(overlay_named(f"hardware/{hardware}", base).get_parsed_content("device")).type == device
    )


def test_the_phantom_s_folder_is_the_demo_s() -> None:
    folder = overlay_named("datasets/phantom", "inference.json")["dataset_dir"]
    makefile = (ROOT / "Makefile").read_text()
    demo = re.search(r"^DEMO := (\S+)$", makefile, re.MULTILINE)
    assert demo
    assert f"--dataset_dir $(DEMO){folder.removeprefix(demo[1])} " in makefile


def test_the_dataset_of_the_paper_is_the_default() -> None:
    for base in FILES.bases_of(ROOT / "configs/datasets/lgg.json"):
        assert overlay_named("datasets/lgg", base.name)["dataset_dir"] == read(base)["dataset_dir"]


# --- The page's worked example ---------------------------------------------------------------------


def blocks() -> list[dict[str, Any]]:
    """The page's JSON blocks, in order: base.json, overlay.json, and what they give."""
    found = re.findall(r"^```json\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return [json.loads(block) for block in found]


def test_the_page_s_example_merges_as_it_says(tmp_path: Path) -> None:
    base, overlay, result = blocks()
    for name, content in (("base", base), ("overlay", overlay)):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    assert merge(tmp_path / "base.json", tmp_path / "overlay.json") == result


TABLE = re.findall(r"^\| `(\{.*?\})` \| `(\{.*?\})` \|", PAGE, re.MULTILINE)


@pytest.mark.parametrize(("overlay", "result"), TABLE, ids=[overlay for overlay, _ in TABLE])
def test_each_way_to_merge_gives_what_the_page_says(tmp_path: Path, overlay: str, result: str) -> None:
    base = blocks()[0]
    (tmp_path / "base.json").write_text(json.dumps(base))
    (tmp_path / "overlay.json").write_text(overlay)
    merged = merge(tmp_path / "base.json", tmp_path / "overlay.json")
    changed = {key: value for key, value in merged.items() if base.get(key, ...) != value}
    assert changed == json.loads(result)
    assert base.keys() <= merged.keys()


def test_the_page_shows_every_way_to_merge() -> None:
    keys = [key for overlay, _ in TABLE for key in json.loads(overlay)]
    assert any(key.startswith("+") for key in keys)
    assert any("::" in key for key in keys)
    assert any("#" in key for key in keys)
    assert any(key.isidentifier() for key in keys)


def test_the_page_s_base_is_an_excerpt_of_a_bundle_s_config() -> None:
    config = read(ROOT / "bundles/mcf_diffusion/configs/train.json")
    base = blocks()[0]
    assert {key: config[key] for key in base} == base
