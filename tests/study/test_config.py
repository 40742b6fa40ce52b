from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mcf_bundle.cli import study as cli
from mcf_bundle.errors import ArgumentError, DataError
from mcf_bundle.resources import config_path
from mcf_bundle.study.config import SCALES, StudyConfig
from mcf_bundle.study.config_file import merge, read_config
from mcf_bundle.study.execution import check_ids

Content = dict[str, Any]
FOLDER: Content = {"kind": "folder", "path": "gan/{split}"}


def content() -> Content:
    """A study with one model, two arms and two sets."""
    return {
        "name": "small",
        "folds": 2,
        "validation_share": 0.25,
        "split_seed": 0,
        "seeds": [0],
        "fractions": [1.0],
        "arms": {
            "plain": {"augmentation": "none", "tumor_share": None},
            "mcf": {"augmentation": "strong", "tumor_share": 0.5, "synthetic": "mcf", "synthetic_share": 0.5},
        },
        "sets": {"mcf": {"kind": "generated"}, "control": {"kind": "shuffled_masks", "of": "mcf"}},
        "models": {
            "unet": {"bundle": "tumor_segmentation", "overrides": {"epoch_length": 2, "max_epochs": 3}}
        },
        "generator": {},
        "primary": {"model": "unet", "arm": "mcf", "against": "plain", "metric": "dice"},
        "scales": {"smoke": {}, "cpu": {"seeds": [1, 2]}},
    }


def write(folder: Path, study: Content) -> Path:
    path = folder / "study.json"
    path.write_text(json.dumps(study))
    return path


def read(folder: Path, study: Content, scale: str = "smoke") -> StudyConfig:
    return read_config(write(folder, study), scale)


@pytest.mark.parametrize("scale", SCALES)
def test_the_shipped_study_is_valid_at_every_scale(scale: str) -> None:
    config = read_config(config_path("studies/lgg"), scale)
    check_ids(config)
    assert {"real_only", "strong", "strong_composites", "strong_mcf", "strong_shuffled"} <= config.arms.keys()
    assert {"unet", "resnet18"} <= config.models.keys()
    others = {name: arm.tumor_share for name, arm in config.arms.items() if name != "real_only"}
    assert set(others.values()) == {0.5}, "the share of tumor is the same in every arm but the natural one"


@pytest.mark.parametrize("scale", ["smoke", "cpu"])
def test_the_shipped_study_of_what_moves_mcf_is_valid(scale: str) -> None:
    config = read_config(config_path("studies/lgg_moved"), scale)
    check_ids(config)
    assert {arm.augmentation for arm in config.arms.values()} == {"strong"}
    assert config.primary.against == "strong_composites"


def test_the_command_line_knows_the_scales_by_their_names() -> None:
    assert cli.SCALES == SCALES


def test_a_scale_changes_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    smoke, cpu = (read(tmp_path, content(), scale) for scale in ("smoke", "cpu"))
    differing = {key for key, value in cpu.as_json().items() if value != smoke.as_json()[key]}
    assert differing == {"scale", "seeds"}


def test_a_scale_chooses_arms_in_its_own_order_and_drops_unused_sets(tmp_path: Path) -> None:
    study = content()
    study["arms"]["control"] = {"augmentation": "none", "tumor_share": 0.5, "synthetic": "control"}
    study["scales"]["smoke"] = {"choose": {"arms": ["mcf", "plain"]}}
    config = read(tmp_path, study)
    assert list(config.arms) == ["mcf", "plain"]
    assert list(config.sets) == ["mcf"]
    assert list(read(tmp_path, study, "cpu").sets) == ["mcf", "control"]


def test_a_set_that_another_is_made_of_is_kept(tmp_path: Path) -> None:
    study = content()
    study["arms"]["mcf"]["synthetic"] = "control"
    assert list(read(tmp_path, study).sets) == ["mcf", "control"]


def test_merging_leaves_the_base_alone() -> None:
    base = {"a": {"b": 1}}
    assert merge(base, {"a": {"c": [2]}, "d": None}) == {"a": {"b": 1, "c": [2]}, "d": None}
    assert base == {"a": {"b": 1}}


def test_the_hash_depends_on_every_value_and_not_on_the_order_of_settings(tmp_path: Path) -> None:
    study = content()
    before = read(tmp_path, study).hash
    assert read(tmp_path, dict(reversed(study.items()))).hash == before
    study["models"]["unet"]["overrides"]["epoch_length"] = 4
    assert read(tmp_path, study).hash != before


def test_judging_changes_no_result_and_so_not_the_hash(tmp_path: Path) -> None:
    study = content()
    before = read(tmp_path, study)
    after = read(tmp_path, {**study, "judge": ["mcf"]})
    assert (after.hash, after.identity) == (before.hash, before.identity)
    assert after.as_json()["judge"] == ["mcf"]


def test_a_set_that_no_arm_uses_is_kept_where_it_is_judged(tmp_path: Path) -> None:
    study = {**content(), "judge": ["own"]}
    study["sets"]["own"] = {"kind": "generated"}
    assert list(read(tmp_path, study).sets) == ["mcf", "own"]


def test_a_folder_of_another_generator_takes_the_place_of_a_set(tmp_path: Path) -> None:
    study = content()
    study["sets"]["gan"], study["arms"]["mcf"]["synthetic"] = FOLDER, "gan"
    config = read(tmp_path, study)
    assert config.as_json()["sets"]["gan"]["path"] == FOLDER["path"]
    study["sets"]["control"]["of"] = "gan"
    with pytest.raises(ArgumentError, match=r"control.of: 'gan' does not exist; choose one of mcf"):
        read(tmp_path, study)


def test_a_path_belongs_to_the_content_of_sets_that_have_one_alone(tmp_path: Path) -> None:
    assert "path" not in read(tmp_path, content()).as_json()["sets"]["mcf"]


@pytest.mark.parametrize(
    ("judge", "complaint"),
    [
        (["gan"], "judge: 'gan' does not exist; choose one of mcf, control"),
        (["control"], "judge: 'control' does not exist; choose one of mcf"),
        (["mcf", "mcf"], "judge: 'mcf' stands there twice"),
        ("mcf", "judge: expected a list"),
    ],
)
def test_what_cannot_be_judged_is_refused(tmp_path: Path, judge: Any, complaint: str) -> None:
    with pytest.raises(ArgumentError, match=complaint):
        read(tmp_path, {**content(), "judge": judge})


def change(path: str, value: Any) -> Callable[[Content], None]:
    """Return what sets the value at a path; `...` removes it."""

    def apply(study: Content) -> None:
        *parents, last = path.split(".")
        node = study
        for name in parents:
            node = node[name]
        if value is ...:
            del node[last]
        else:
            node[last] = value

    return apply


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        ("fold", 3, r"study.json:: 'fold' does not exist; choose one of name, folds"),
        ("seeds", ..., "study.json:: seeds is missing"),
        ("seeds", [0, 0], "seeds: 0 stands there twice"),
        ("seeds", [], r"seeds: expected a list, got \[\]"),
        ("folds", 1, "folds: expected a whole number of 2 or more, got 1"),
        ("folds", [["A", "B"], ["B"]], "folds: folds 0 and 1 overlap: both test B; test each patient in one"),
        ("folds", [["A"]], "folds: 1 fold is no cross-validation"),
        ("fractions", [0.0], "fractions: expected a number > 0 and <= 1, got 0.0"),
        ("left_out", "tumors", "left_out: every fraction is 1, so no patient would be without tumors"),
        ("validation_share", 1, "validation_share: expected a number > 0 and < 1, got 1"),
        ("institutions", ["CS", 3], "institutions: expected text, got 3"),
        ("arms.mcf.augmentation", "weak", "arms.mcf.augmentation: 'weak' does not exist; choose one of none"),
        ("arms.mcf.synthetic", "gan", r"arms.mcf.synthetic: 'gan' does not exist; choose one of mcf"),
        ("arms.mcf.tumor_share", 2, "arms.mcf.tumor_share: expected a number >= 0 and <= 1, got 2"),
        ("arms.mcf.max_epochs", 9, "arms.mcf: 'max_epochs' does not exist"),
        ("arms.plain.synthetic_share", 0.5, "arms.plain.synthetic_share: there is no synthetic set"),
        ("arms.a/b", {}, "arms.a/b: is no name"),
        ("arms.none", [], r"arms.none: expected an object, got \[\]"),
        ("sets.mcf.kind", "gan", "sets.mcf.kind: 'gan' does not exist; choose one of generated, composites"),
        ("sets.mcf.of", "control", "sets.mcf.of: a set of kind 'generated' is of no other"),
        ("sets.control.of", "gan", "sets.control.of: 'gan' does not exist; choose one of mcf"),
        ("sets.control.of", ..., "sets.control.of: the generated set is missing"),
        ("sets.control.overrides", {"steps": 2}, "sets.control.overrides: 'steps' does not exist"),
        ("sets.mcf.overrides", {"datalist": "x"}, "sets.mcf.overrides.datalist: is what the study sets"),
        ("sets.mcf.path", "gan/{split}", "sets.mcf.path: a set of kind 'generated' is made by the study"),
        ("sets.gan", {"kind": "folder"}, "sets.gan.path: expected text, got None"),
        ("sets.gan", {**FOLDER, "path": "gan"}, "sets.gan.path: 'gan' is the same for all splits"),
        ("sets.gan", {**FOLDER, "of": "mcf"}, "sets.gan.of: a set of kind 'folder' is of no other"),
        ("sets.gan", {**FOLDER, "overrides": {"seed": 1}}, "'seed' does not exist; there is none"),
        ("sets.gan", {**FOLDER, "denoiser": {"crop": 8}}, "sets.gan.denoiser: folder trains no denoiser"),
        ("models.unet.overrides.pretrained", "a.pt", "pretrained: weights from elsewhere may know patients"),
        ("models.unet.overrides", {"start#pretrained": "a.pt"}, "start#pretrained: weights from elsewhere"),
        ("generator.denoiser", {"init_ckpt": "a.pt"}, "init_ckpt: a generator of a study knows the training"),
        ("models.unet.overrides", {"+train::sampler::seed": 1}, "sampler::seed: is what the study sets"),
        ("models.unet.bundle", "nnunet", "models.unet.bundle: 'nnunet' does not exist; choose one of tumor_"),
        ("models.unet.overrides.epoch_length", ..., "epoch_length is missing: every arm takes the same"),
        (
            "models.unet.overrides.patience",
            3,
            "models.unet.overrides.patience: is what the study sets itself",
        ),
        ("models", {}, "models: expected an object by name"),
        ("generator.gate", {"kind": "gate"}, "generator.gate.kind: is what the study sets itself"),
        ("primary.arm", "gan", "primary.arm: 'gan' does not exist; choose one of plain, mcf"),
        ("primary.against", "mcf", "primary.against: 'mcf' is compared with itself"),
        ("primary.metric", "auc", "primary.metric: 'auc' does not exist; choose one of dice"),
        ("scales.huge", {}, "scales: 'huge' does not exist; choose one of smoke, cpu, paper"),
        ("scales.cpu", {"choose": {"arms": ["gan"]}}, r"scales.cpu.choose.arms: 'gan' does not exist"),
        ("scales.cpu", {"choose": {"seeds": [1]}}, "scales.cpu.choose: 'seeds' does not exist"),
        ("scales.cpu", {"seeds": "all"}, "seeds: expected a list, got 'all'"),
    ],
)
def test_what_is_wrong_is_named_with_its_place_and_what_exists(
    tmp_path: Path, path: str, value: Any, complaint: str
) -> None:
    study = content()
    change(path, value)(study)
    with pytest.raises(ArgumentError, match=complaint):
        read(tmp_path, study)


def test_a_scale_that_the_study_lacks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="--scale: 'paper' does not exist; choose one of smoke, cpu"):
        read(tmp_path, content(), "paper")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("{", "is not JSON"), ("[]", "holds no JSON object"), ('{"a": 1, "a": 2}', "holds the key 'a' twice")],
)
def test_a_file_that_is_no_study_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "study.json"
    path.write_text(text)
    with pytest.raises(DataError, match=complaint):
        read_config(path, "smoke")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_config(tmp_path / "nothing.json", "smoke")


IDLE: Content = {"overrides": {"ckpt": "a.pt"}, "denoiser": {"max_epochs": 2}}
"""A denoiser that is to be trained beside the checkpoint of one."""


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        ("models.unet.overrides.learning_rat", 1, "models.unet.overrides: .*nearest is --learning_rate"),
        ("generator.denoiser", {"presett": "x"}, "generator.denoiser: .*nearest is --preset"),
        ("sets.mcf.overrides", {"guidance": 1}, "sets.mcf.overrides: there is no id 'guidance'"),
        ("sets.mcf.overrides", {"gate_ckpt": None}, "sets.mcf.gate_ckpt: is null; name a file"),
        ("sets.mcf", {"kind": "generated", **IDLE}, "sets.mcf.denoiser: a checkpoint is given too"),
    ],
)
def test_an_id_that_no_bundle_has_is_refused(tmp_path: Path, path: str, value: Any, complaint: str) -> None:
    study = content()
    study["sets"]["mcf"]["overrides"] = {}
    change(path, value)(study)
    with pytest.raises(ArgumentError, match=complaint):
        check_ids(read(tmp_path, study))
