"""What a ranking refuses before its first image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mcf_bundle.errors import ArgumentError, CheckpointError
from mcf_bundle.networks.checkpoint import save_checkpoint
from mcf_bundle.study.ranking import rank_settings
from mcf_bundle.study.ranking_checks import check_checkpoints
from mcf_bundle.study.ranking_config import RankingConfig


def ranking_of(**variants: dict[str, object]) -> RankingConfig:
    """A ranking whose networks, as far as the variants name none, are of patients A and B."""
    return RankingConfig(name="small", variants=variants, images=6)


def write_checkpoint(path: Path, patients: list[str], chosen: list[str] | None = None) -> str:
    save_checkpoint(
        path, {}, preset="fast", kind="gate", patients=patients, validation_patients=chosen or ["V"], info={}
    )
    return str(path)


@pytest.fixture
def networks(tmp_path: Path) -> dict[str, object]:
    """Ids of three networks of the same patients."""
    ids = ("ckpt", "classifier_ckpt", "gate_ckpt")
    return {name: write_checkpoint(tmp_path / f"{name}.pt", ["A", "B"]) for name in ids}


def test_settings_whose_networks_know_the_same_patients_pass(networks: dict[str, object]) -> None:
    check_checkpoints(replace(ranking_of(a={}, b={"guidance_scale": 0.0}), inference=networks))


@pytest.mark.parametrize(("patients", "chosen"), [(["A", "C"], ["V"]), (["A", "B"], ["W"])])
def test_settings_that_split_the_patients_differently_are_refused(
    networks: dict[str, object], tmp_path: Path, patients: list[str], chosen: list[str]
) -> None:
    other = write_checkpoint(tmp_path / "other.pt", patients, chosen)
    config = replace(ranking_of(a={}, b={"ckpt": other}), inference=networks)
    with pytest.raises(
        ArgumentError, match=r"checkpoints of a and b know different patients.*give a datalist"
    ):
        check_checkpoints(config)
    check_checkpoints(replace(config, inference={**networks, "datalist": "a list.json"}))


@pytest.mark.parametrize("name", ["ckpt", "gate_ckpt", "classifier_ckpt"])
def test_a_missing_checkpoint_stops_a_ranking_before_its_first_image(
    networks: dict[str, object], tmp_path: Path, phantom_cohort: Path, name: str
) -> None:
    config = replace(ranking_of(a={}, last={name: str(tmp_path / "typo.pt")}), inference=networks)
    with pytest.raises(CheckpointError, match=r"typo\.pt: no such checkpoint"):
        rank_settings(config, phantom_cohort, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_that_is_no_path_is_refused_by_its_id(networks: dict[str, object]) -> None:
    with pytest.raises(ArgumentError, match="gate_ckpt"):
        check_checkpoints(replace(ranking_of(a={"gate_ckpt": None}), inference=networks))


def test_an_unguided_setting_needs_no_classifier(networks: dict[str, object], tmp_path: Path) -> None:
    unguided = {"guidance_scale": 0.0, "classifier_ckpt": str(tmp_path / "none.pt")}
    check_checkpoints(replace(ranking_of(a={}, b=unguided), inference=networks))


def test_bad_measures_stop_a_ranking_before_its_first_image(
    networks: dict[str, object], tmp_path: Path, phantom_cohort: Path
) -> None:
    config = replace(ranking_of(a={}), inference=networks, measures={"extractor": "gatee"})
    with pytest.raises(ArgumentError, match="gatee"):
        rank_settings(config, phantom_cohort, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("key", ["generation#split_seed", "+seed", "generation::datalist"])
def test_what_all_settings_share_is_refused_at_any_depth(key: str) -> None:
    with pytest.raises(ArgumentError, match="is the same in all settings"):
        ranking_of(a={key: 3})
