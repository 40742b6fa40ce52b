"""Judged sets: by whom, what is taken over into the study's report, and what is refused."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator
from functools import cache
from itertools import product
from pathlib import Path

import pytest

from mcf_bundle.data.lgg import read_cohort
from mcf_bundle.data.splits import TEST
from mcf_bundle.errors import DataError, LeakageError
from mcf_bundle.generation import image_evaluation, image_evaluation_sets
from mcf_bundle.generation.image_evaluation_measures import CROPS, WHOLE
from mcf_bundle.generation.image_evaluation_sets import (
    COMPOSITES,
    HOSTS,
    REFERENCE,
    SYNTHETIC,
    TRAINING,
    read_evaluation_data,
)
from mcf_bundle.metrics import texture_forest
from mcf_bundle.networks.checkpoint import load_network, save_checkpoint
from mcf_bundle.networks.presets import make_classifier
from mcf_bundle.resources import bundle_root
from mcf_bundle.study.folder import StudyFolder
from mcf_bundle.study.judged_images import read_figures, read_judged
from mcf_bundle.study.judging import PROFILES_FILE, judge_images
from mcf_bundle.study.report import write_report
from mcf_bundle.study.runs import JudgeRun, list_runs
from mcf_bundle.study.splits import make_datalists, patients_of, write_datalists
from tests.generation.bundle_runs import OPEN_GATE, gate, make_workflow
from tests.study.simulated import CONFIG, config_with, write_study
from tests.study.studies import make_config

GATE = bundle_root("mcf_diffusion") / "models" / "model_gate.pt"
JUDGING = config_with(judge=["mcf"])
(RUN,) = (run for run in list_runs(JUDGING) if isinstance(run, JudgeRun))


@pytest.fixture(scope="module")
def made(phantom_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, set[str]]:
    """Folder of a set of twelve images made from a fold's training patients, and the fold's test patients."""
    folder = tmp_path_factory.mktemp("set")
    datalists = make_datalists(read_cohort(phantom_cohort), make_config(folds=3, validation_share=0.2))
    split, datalist = next(iter(datalists.items()))
    path = write_datalists(datalists, folder)[split]
    with gate(OPEN_GATE):
        make_workflow(
            phantom_cohort, folder / "out", num_images=12, datalist=str(path), provenance="full"
        ).run()
    return folder / "out", set(patients_of(datalist, TEST))


@pytest.fixture(scope="module", autouse=True)
def _small() -> Iterator[None]:
    """Few trees, a wide match for the few levels of a small phantom, and patients read once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(texture_forest, "TREES", 5)
        patch.setattr(texture_forest, "REPEATS", 1)
        patch.setattr(image_evaluation_sets, "LEVEL_TOLERANCE", 0.3)
        patch.setattr(image_evaluation, "read_evaluation_data", cache(read_evaluation_data))
        yield


@pytest.fixture(scope="module")
def judged(
    made: tuple[Path, set[str]], phantom_cohort: Path, tmp_path_factory: pytest.TempPathFactory, _small: None
) -> StudyFolder:
    """A study's folder with the run that judged the set."""
    folder = StudyFolder(tmp_path_factory.mktemp("judged"))
    remark = judge_images(
        phantom_cohort, made[0], folder.of(RUN.id), gate=GATE, device="cpu", crop=32, resamples=5
    )
    folder.finish(RUN, JUDGING, seconds=1, whole=True, remark=remark)
    return folder


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_reference_is_tumors_of_test_patients_alone(
    judged: StudyFolder, made: tuple[Path, set[str]]
) -> None:
    rows = rows_of(judged.of(RUN.id) / "texture_cases.csv")
    references = {row["patient"] for row in rows if row["set"] == REFERENCE}
    assert references
    assert references <= made[1]
    assert not {row["patient"] for row in rows if row["set"] != REFERENCE} & made[1]


def test_the_figures_are_those_of_the_evaluation(judged: StudyFolder) -> None:
    folder = judged.of(RUN.id)
    found = {(item["of"], item["region"], item["metric"]): item for item in read_figures(folder)}
    names = {SYNTHETIC, TRAINING, COMPOSITES, HOSTS}
    keys = [*product((CROPS, WHOLE), ("kid", "fid")), ("", "auc")]
    expected = {(name, *key) for name in names for key in keys} | {(SYNTHETIC, "", "copies")}
    assert found.keys() == expected
    for row in rows_of(folder / "quality.csv"):
        if row["metric"] in ("kid", "fid"):
            item = found[row["name"], row["region"], row["metric"]]
            assert (item["value"], item["n"]) == (float(row["value"]), int(row["n"]))
    audit = json.loads((folder / "memorization_summary.json").read_text())
    assert found[SYNTHETIC, "", "copies"]["value"] * 12 == pytest.approx(len(audit["copies"]))
    assert found[SYNTHETIC, "", "copies"]["n"] == 12


def test_the_report_has_them_as_a_section_with_profiles_and_as_files(
    judged: StudyFolder, tmp_path: Path
) -> None:
    images = read_judged(list_runs(JUDGING), judged, JUDGING)
    assert images is not None
    assert images.warnings == ()
    write_report(
        tmp_path, **write_study(tmp_path), config=JUDGING, provenance={}, images=images, resamples=20
    )
    page = (tmp_path / "report.html").read_text()
    section = page[page.index(">The images themselves</h2>") : page.index(">Beside the paper</h2>")]
    assert section.count("<svg") == 1
    for words in ("KID, crops", "texture: AUC", "share of copies", *(SYNTHETIC, TRAINING, COMPOSITES, HOSTS)):
        assert f">{words}</t" in section
    assert len(rows_of(tmp_path / "tables" / "images.csv")) == len(images.table.records)
    assert "## The images themselves" in (tmp_path / "report.md").read_text()


def test_too_small_images_are_a_remark_that_the_report_repeats(
    made: tuple[Path, set[str]], phantom_cohort: Path, tmp_path: Path
) -> None:
    folder = StudyFolder(tmp_path / "out")
    output = folder.of(RUN.id)
    output.mkdir(parents=True)
    remark = judge_images(phantom_cohort, made[0], output, gate=GATE, device="cpu", crop=65)
    assert remark.startswith("not judged: a square of 65 pixels does not fit")
    folder.finish(RUN, JUDGING, seconds=1, whole=True, remark=remark)
    images = read_judged([RUN], folder, JUDGING)
    assert images is not None
    assert images.warnings == (f"Images of mcf: {remark}.",)
    write_report(
        tmp_path, **write_study(tmp_path), config=JUDGING, provenance={}, images=images, resamples=20
    )
    page = (tmp_path / "report.html").read_text()
    assert f"<li>{images.warnings[0]}</li>" in page
    assert "The images themselves" not in page


def test_a_gate_that_was_chosen_on_a_test_patient_is_refused(
    made: tuple[Path, set[str]], phantom_cohort: Path, tmp_path: Path
) -> None:
    network = make_classifier("fast")
    load_network(network, GATE, preset="fast", kind="gate")
    weights, patient = tmp_path / "gate.pt", min(made[1])
    known = {"patients": ["nobody"], "validation_patients": [patient]}
    save_checkpoint(weights, network.state_dict(), preset="fast", kind="gate", info={}, **known)
    with pytest.raises(LeakageError, match=f"chosen by its results on patient {patient}"):
        judge_images(phantom_cohort, made[0], tmp_path / "out", gate=weights, device="cpu", crop=32)


def test_a_damaged_table_is_refused_by_name(judged: StudyFolder, tmp_path: Path) -> None:
    shutil.copytree(judged.of(RUN.id), tmp_path / "run")
    (tmp_path / "run" / "quality.csv").write_text("name,metric\na,kid\n")
    with pytest.raises(DataError, match="is no folder of an image evaluation"):
        read_figures(tmp_path / "run")
    (tmp_path / "run" / "texture.csv").unlink()
    with pytest.raises(DataError, match=r"texture\.csv: cannot be read"):
        read_figures(tmp_path / "run")


def test_the_profiles_are_a_drawing(judged: StudyFolder) -> None:
    assert (judged.of(RUN.id) / PROFILES_FILE).read_text().startswith("<svg ")


def test_a_study_that_judges_nothing_has_no_figures(tmp_path: Path) -> None:
    assert read_judged(list_runs(CONFIG), StudyFolder(tmp_path), CONFIG) is None
