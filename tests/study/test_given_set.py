"""Images of somebody else's generator in a study: who may have a part in them, and how they are taken."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcf_bundle.data.datalist import Datalist
from mcf_bundle.data.lgg import read_cohort, read_volume
from mcf_bundle.data.splits import TEST, TRAIN, VALIDATION
from mcf_bundle.errors import DataError, LeakageError
from mcf_bundle.generation.writer import case_name, write_case
from mcf_bundle.networks.checkpoint import read_checkpoint
from mcf_bundle.resources import config_path
from mcf_bundle.study.config import Arm, StudyConfig, SyntheticSet
from mcf_bundle.study.execution import BEST, TRAINING_FOLDER, Workplace, check_given_checkpoints, execute
from mcf_bundle.study.folder import StudyFolder
from mcf_bundle.study.given_set import read_given_set
from mcf_bundle.study.runner import run_study
from mcf_bundle.study.runs import ModelRun, SetRun, list_runs
from mcf_bundle.study.splits import make_datalists, patients_of, write_datalists
from tests.file_contents import contents
from tests.study.studies import smoke_config

CASES = 3
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "study.md"


def make_study(root: Path) -> StudyConfig:
    """A study with one arm on the images of another generator, one fraction, two folds."""
    config = smoke_config()
    path = str(root / "gan" / "{split}")
    return replace(
        config,
        models={"unet": config.models["unet"]},
        arms={"strong": config.arms["strong"], "gan": Arm("strong", 0.5, "gan", 0.5)},
        sets={"gan": SyntheticSet("folder", path=path)},
        primary=replace(config.primary, arm="gan"),
    )


@pytest.fixture(scope="module")
def datalists(phantom_cohort: Path) -> dict[str, Datalist]:
    made = make_datalists(read_cohort(phantom_cohort), make_study(Path()))
    return {split.name: datalist for split, datalist in made.items()}


@pytest.fixture
def gan(phantom_cohort: Path, datalists: dict[str, Datalist], tmp_path: Path) -> Path:
    """Folder of the images, one below it for each split: tumor slices of a training patient."""
    for name, datalist in datalists.items():
        patients, folder = patients_of(datalist, TRAIN), tmp_path / "gan" / name
        volume, lines = read_volume(phantom_cohort / patients[0]), []
        folder.mkdir(parents=True)
        (middle,) = np.argsort(volume.mask.sum(axis=(1, 2)))[-1:]
        for row in range(CASES):
            case = case_name("", row)
            triplet = slice(middle - 1, middle + 2)
            write_case(folder, case, volume.image[triplet], volume.mask[triplet])
            shown = {"patient": patients[0]}
            lines.append(json.dumps({"name": case, "host": shown, "donor": shown}))
        (folder / "manifest.jsonl").write_text("\n".join(lines))
        (folder / "generator.json").write_text(json.dumps({"name": "a GAN", "patients": patients}))
    return tmp_path / "gan"


def knows(*names: str) -> Callable[[Path], None]:
    """Return what lists patients in place of the generator's own."""

    def apply(folder: Path) -> None:
        content = json.loads((folder / "generator.json").read_text())
        (folder / "generator.json").write_text(json.dumps({**content, "patients": list(names)}))

    return apply


def shows(role: str, patient: str) -> Callable[[Path], None]:
    """Return what makes the last image one of another patient."""

    def apply(folder: Path) -> None:
        *lines, last = (folder / "manifest.jsonl").read_text().splitlines()
        changed = {**json.loads(last), role: {"patient": patient}}
        (folder / "manifest.jsonl").write_text("\n".join([*lines, json.dumps(changed)]))

    return apply


def write(name: str, content: Any) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_text(json.dumps(content)) and None


def drop(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).rename(folder.parent.parent / "dropped") and None


def test_a_folder_of_training_patients_alone_is_read_and_not_written(
    gan: Path, datalists: dict[str, Datalist]
) -> None:
    before = contents(gan)
    for name, datalist in datalists.items():
        given = read_given_set(gan / name, datalist)
        assert (given.generator, given.cases) == ("a GAN", tuple(case_name("", row) for row in range(CASES)))
    assert contents(gan) == before


@pytest.mark.parametrize("part", [TEST, VALIDATION])
def test_nobody_but_training_patients_may_have_a_part_in_the_images(
    gan: Path, datalists: dict[str, Datalist], part: str
) -> None:
    folder, datalist = gan / "f0-p100", datalists["f0-p100"]
    training, other = patients_of(datalist, TRAIN), patients_of(datalist, part)[-1]
    who = f"{other}, who belongs to the {part} set; generate with training patients of this split"
    for change, fact in (
        (knows(*training, other), rf"generator\.json: a GAN knows {who}"),
        (shows("host", other), rf"manifest\.jsonl: SYN_X_000002 shows {who}"),
        (shows("donor", other), rf"manifest\.jsonl: SYN_X_000002 shows {who}"),
    ):
        before = contents(folder)
        change(folder)
        with pytest.raises(LeakageError, match=fact):
            read_given_set(folder, datalist)
        for name, content in before.items():
            (folder / name).write_bytes(content)


@pytest.mark.parametrize("change", [knows("somebody"), shows("donor", "somebody")])
def test_who_takes_no_part_in_the_split_is_refused_too(
    gan: Path, datalists: dict[str, Datalist], change: Callable[[Path], None]
) -> None:
    change(gan / "f0-p100")
    with pytest.raises(LeakageError, match="somebody, who takes no part in this split"):
        read_given_set(gan / "f0-p100", datalists["f0-p100"])


def test_who_was_left_out_by_a_fraction_takes_no_part(gan: Path, datalists: dict[str, Datalist]) -> None:
    datalist = datalists["f0-p100"]
    left_out = patients_of(datalist, TRAIN)[-1]
    entries = tuple(entry for entry in datalist.entries if entry.patient != left_out)
    with pytest.raises(LeakageError, match=f"a GAN knows {left_out}, who takes no part"):
        read_given_set(gan / "f0-p100", replace(datalist, entries=entries))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (drop("."), r"f0-p100: no such folder.*; put them there, or correct the set's path"),
        (drop("generator.json"), r'generator\.json: is missing: nobody can tell.*; write \{"name"'),
        (write("generator.json", []), r"generator\.json: holds no JSON object"),
        (write("generator.json", {"name": "a GAN"}), r"generator\.json: lacks patients"),
        (write("generator.json", {"name": "", "patients": ["a"]}), "name: expected text, got ''"),
        (write("generator.json", {"name": "a GAN", "patients": []}), "patients: expected a list of names"),
        (write("generator.json", {"name": "a GAN", "patients": "all"}), "patients: expected a list of names"),
        (write("generator.json", {"name": "a GAN", "patients": [1]}), "patients: expected a list of names"),
        (lambda folder: (folder / "generator.json").write_text("{"), r"generator\.json: cannot be read"),
        (drop("manifest.jsonl"), r"manifest\.jsonl: is missing, or empty; write a line with name, host"),
        (write("manifest.jsonl", {"name": "SYN_X_000000"}), r"manifest\.jsonl: is not a manifest"),
        (drop("SYN_X_000001"), r"f0-p100: has no case SYN_X_000001, which manifest\.jsonl lists"),
        (
            lambda folder: (folder / "SYN_X_000001").rename(folder / "SYN_X_000009"),
            r"manifest\.jsonl: does not tell whom SYN_X_000009 shows",
        ),
        (
            lambda folder: (folder / "SYN_X_000001").rename(folder / "gan_1"),
            r"gan_1: is no generated case: its name is not SYN_<institution>_<six digits>",
        ),
    ],
)
def test_what_is_wrong_with_a_folder_is_named_with_its_file_and_the_way_out(
    gan: Path, datalists: dict[str, Datalist], change: Callable[[Path], None], complaint: str
) -> None:
    change(gan / "f0-p100")
    with pytest.raises(DataError, match=complaint):
        read_given_set(gan / "f0-p100", datalists["f0-p100"])


def test_a_folder_without_cases_is_refused(gan: Path, datalists: dict[str, Datalist]) -> None:
    for path in (gan / "f0-p100").glob("SYN_*"):
        path.rename(gan.parent / path.name)
    (gan / "f0-p100" / "manifest.jsonl").write_text("")
    with pytest.raises(DataError, match="holds no generated case"):
        read_given_set(gan / "f0-p100", datalists["f0-p100"])


def test_every_split_is_checked_before_the_first_run(phantom_cohort: Path, gan: Path, tmp_path: Path) -> None:
    (gan / "f1-p100" / "generator.json").unlink()
    with pytest.raises(DataError, match=r"f1-p100/generator\.json: is missing"):
        run_study(make_study(tmp_path), phantom_cohort, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_split_by_slice_needs_no_folder(gan: Path, datalists: dict[str, Datalist], tmp_path: Path) -> None:
    by_slice = replace(datalists["f0-p100"], split_by="slice")
    check_given_checkpoints(make_study(tmp_path), [("f0-p100", datalists["f0-p100"]), ("s0-p100", by_slice)])


def test_a_model_trains_on_the_folder_as_it_was_when_the_study_began(
    phantom_cohort: Path, gan: Path, tmp_path: Path
) -> None:
    config, folder = make_study(tmp_path), StudyFolder(tmp_path / "out")
    datalists, before = make_datalists(read_cohort(phantom_cohort), config), contents(gan)
    place = Workplace(config, phantom_cohort, folder, datalists, write_datalists(datalists, folder.splits))
    looked = next(run for run in list_runs(config) if isinstance(run, SetRun))
    trained = next(run for run in list_runs(config) if isinstance(run, ModelRun) and run.arm == "gan")
    for run in (looked, trained):
        folder.of(run.id).mkdir(parents=True)
        execute(run, place)
    assert contents(gan) == before
    note = json.loads((folder.of(looked.id) / "given.json").read_text())
    assert (note["generator"], note["images"]) == ("a GAN", CASES)
    training = folder.of(trained.id) / TRAINING_FOLDER
    assert read_checkpoint(training / BEST).info["synthetic_share"] == 0.5
    config_of_run = json.loads((training / "run.json").read_text())["runs"][-1]["config"]
    assert config_of_run["synthetic_dir"] == str(gan / "f0-p100")
    image = gan / "f0-p100" / "SYN_X_000001" / "SYN_X_000001_2.tif"
    image.write_bytes((gan / "f0-p100" / "SYN_X_000001" / "SYN_X_000001_1.tif").read_bytes())
    with pytest.raises(DataError, match="was changed after the study had begun to train on it; restore it"):
        execute(trained, place)


def test_the_document_s_lines_write_who_trains_in_each_split(
    phantom_cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (lines,) = re.findall(r"```python\n(from pathlib.+?)```", DOCUMENT.read_text(), re.DOTALL)
    shutil.copy(config_path("studies/lgg"), tmp_path / "study.json")
    monkeypatch.chdir(tmp_path)
    exec(lines.replace('"DIR"', repr(str(phantom_cohort))), {})
    assert [path.stem for path in sorted(Path("splits").iterdir())] == ["f0-p100", "f1-p100", "f2-p100"]
