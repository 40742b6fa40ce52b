from __future__ import annotations

from dataclasses import replace

import pytest

from mcf_bundle.study.config import Arm, Generator, Model, StudyConfig, SyntheticSet
from mcf_bundle.study.runs import Cost, JudgeRun, ModelRun, NetworkRun, Run, SetRun, estimate, left, list_runs
from tests.study.studies import make_config

CONFIG = make_config(seeds=[3, 4], fractions=[0.5, 1.0], institutions=["PA"])


def ids(config: StudyConfig) -> list[str]:
    return [run.id for run in list_runs(config)]


def test_a_run_stands_after_everything_that_it_needs_and_once() -> None:
    seen: list[str] = []
    for run in list_runs(CONFIG):
        assert set(run.needs) <= set(seen)
        seen.append(run.id)
    assert len(seen) == len(set(seen))


def test_there_is_a_run_for_every_combination() -> None:
    found = [run for run in list_runs(CONFIG) if isinstance(run, ModelRun)]
    keys = {(run.model, run.arm, run.split.name, run.seed) for run in found}
    names = ["f0-p100", "f1-p100", "f0-p50", "f1-p50", "iPA-p100"]
    assert keys == {
        (model, arm, name, seed)
        for model in ("unet", "resnet18")
        for arm in ("strong", "composites")
        for name in names
        for seed in (3, 4)
    }
    assert len(found) == len(keys)


def test_every_fold_and_fraction_has_a_generator_of_its_own() -> None:
    networks = [run for run in list_runs(CONFIG) if isinstance(run, NetworkRun)]
    assert len(networks) == 3 * 5
    for run in list_runs(CONFIG):
        assert all(needed.endswith(f"/{run.split.name}") for needed in run.needs)


def test_ids_are_readable_and_in_the_order_of_complete_comparisons() -> None:
    assert ids(make_config())[:9] == [
        "segmentation/unet/strong/f0-p100/s0",
        "generator/denoiser/f0-p100",
        "generator/classifier/f0-p100",
        "generator/gate/f0-p100",
        "sets/mcf/f0-p100",
        "sets/composites/f0-p100",
        "segmentation/unet/composites/f0-p100/s0",
        "classification/resnet18/strong/f0-p100/s0",
        "classification/resnet18/composites/f0-p100/s0",
    ]


def test_all_data_come_before_fractions_a_seed_before_the_next_and_a_fold_before_the_next() -> None:
    models = [run for run in list_runs(CONFIG) if isinstance(run, ModelRun)]
    places = [(run.split.name, run.seed) for run in models]
    order = list(dict.fromkeys(places))
    assert order[:4] == [("f0-p100", 3), ("f1-p100", 3), ("f0-p100", 4), ("f1-p100", 4)]
    assert order[4:6] == [("f0-p50", 3), ("f1-p50", 3)]
    assert order[-2:] == [("iPA-p100", 3), ("iPA-p100", 4)]
    assert len(order) == 10, "the arms and models of a fold and seed stand together"


def test_a_derived_set_brings_the_set_that_it_is_made_of_with_its_networks() -> None:
    (run,) = (run for run in list_runs(make_config()) if run.id == "sets/composites/f0-p100")
    assert isinstance(run, SetRun)
    assert run.needs == ("sets/mcf/f0-p100",)
    assert run.networks["denoiser"] == "generator/denoiser/f0-p100"


def test_a_set_with_a_denoiser_of_its_own_shares_the_other_networks() -> None:
    config = make_config(
        arms={
            "strong": Arm("strong", 0.5, "mcf"),
            "composites": Arm("strong", 0.5, "alone"),
        },
        sets={
            "mcf": SyntheticSet("generated"),
            "alone": SyntheticSet("generated", denoiser={"neighbors": False}),
        },
    )
    networks = [run.id for run in list_runs(config) if isinstance(run, NetworkRun)]
    assert networks[:4] == [
        "generator/denoiser/f0-p100",
        "generator/classifier/f0-p100",
        "generator/gate/f0-p100",
        "generator/denoiser-alone/f0-p100",
    ]


def test_a_folder_of_another_generator_is_looked_through_and_nothing_is_trained_for_it() -> None:
    sets = {"composites": SyntheticSet("folder", path="gan/{split}")}
    runs = [run for run in list_runs(make_config(sets=sets)) if run.split.fold == "0"]
    assert [run.id for run in runs if not isinstance(run, ModelRun)] == ["sets/composites/f0-p100"]
    assert runs[1].needs == ()
    assert runs[2].needs == ("sets/composites/f0-p100",)


def test_images_are_judged_once_in_the_first_fold_with_all_data_after_its_models() -> None:
    config = make_config(seeds=[3, 4], fractions=[0.5, 1.0], judge=["mcf"])
    runs = list_runs(config)
    (place,) = [number for number, run in enumerate(runs) if isinstance(run, JudgeRun)]
    assert runs[place].id == "judged/mcf/f0-p100"
    assert runs[place].needs == ("sets/mcf/f0-p100",)
    assert {run.split.name for run in runs[:place]} == {"f0-p100"}
    assert runs[place + 1].split.name == "f1-p100"
    assert [run for run in runs if not isinstance(run, JudgeRun)] == list_runs(replace(config, judge=[]))


def test_a_set_that_is_judged_alone_is_made_in_that_fold_alone() -> None:
    arms = {"strong": Arm("strong", 0.5), "composites": Arm("none", 0.5)}
    runs = list_runs(make_config(arms=arms, sets={"mcf": SyntheticSet("generated")}, judge=["mcf"]))
    assert [run.id for run in runs if not isinstance(run, ModelRun)] == [
        "generator/denoiser/f0-p100",
        "generator/classifier/f0-p100",
        "generator/gate/f0-p100",
        "sets/mcf/f0-p100",
        "judged/mcf/f0-p100",
    ]


def test_a_checkpoint_that_is_given_is_not_trained() -> None:
    config = make_config(generator=Generator(inference={"ckpt": "mine.pt", "gate_ckpt": "gate.pt"}))
    networks = [run.role for run in list_runs(config) if isinstance(run, NetworkRun)]
    assert set(networks) == {"classifier"}


def test_a_study_without_synthetic_arms_trains_no_generator() -> None:
    arms = {"strong": Arm("strong", 0.5), "composites": Arm("none", 0.5)}
    assert all(isinstance(run, ModelRun) for run in list_runs(make_config(arms=arms, sets={})))


def test_the_guess_grows_with_the_steps() -> None:
    def guess(epochs: int) -> float:
        models = {"unet": Model("tumor_segmentation", {"epoch_length": 10, "max_epochs": epochs})}
        return list_runs(make_config(models=models))[0].guess_s

    assert guess(20) == pytest.approx(2 * guess(10))


def test_costs_are_measured_on_runs_of_the_same_kind_and_guessed_without() -> None:
    runs = list_runs(make_config())
    by_id = {run.id: run for run in runs}
    finished = {
        "segmentation/unet/strong/f0-p100/s0": 10.0,
        "segmentation/unet/composites/f0-p100/s0": 20.0,
        "generator/gate/f0-p100": 7.0,
    }
    costs = estimate(runs, finished)
    assert costs["segmentation/unet/strong/f0-p100/s0"] == Cost(10.0, "done")
    assert costs["segmentation/unet/strong/f1-p100/s0"] == Cost(15.0, "as measured")
    assert costs["generator/gate/f1-p100"] == Cost(7.0, "as measured")
    resumed = estimate(runs, finished, ["segmentation/unet/strong/f0-p100/s0"])
    assert resumed["segmentation/unet/strong/f1-p100/s0"] == Cost(20.0, "as measured")
    denoiser: Run = by_id["generator/denoiser/f0-p100"]
    assert costs[denoiser.id] == Cost(denoiser.guess_s, "guess")
    assert [run.id for run in left(runs, finished)] == [run.id for run in runs if run.id not in finished]
