"""The memorization audit of a finished run on the phantom cohort."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from monai.bundle import ConfigParser
from PIL import Image

from mcf_bundle.data.phantom import write_phantom_cohort
from mcf_bundle.data.pseudonyms import KEY_VARIABLE
from mcf_bundle.errors import ArgumentError, DataError
from mcf_bundle.generation.audit import NO_KEY, PICTURES_FOLDER, MemorizationAudit, audit_run
from mcf_bundle.generation.audit_compare import ROW_TRANSFORM
from mcf_bundle.generation.finished_run import plan_row
from mcf_bundle.generation.plan import Plan
from mcf_bundle.generation.stored_tiles import StoredTiles
from mcf_bundle.generation.writer import case_files
from mcf_bundle.metrics.case_table import read_case_table
from mcf_bundle.metrics.memorization_table import HELD_OUT, MEMORIZATION_COLUMNS, SYNTHETIC
from tests.generation.bundle_runs import KEY, OPEN_GATE, gate, make_workflow

COUNT = 3


@pytest.fixture(scope="module")
def run_dir(phantom_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("full") / "out"
    with gate(OPEN_GATE):
        make_workflow(phantom_cohort, folder, num_images=COUNT, provenance="full").run()
    return folder


@pytest.fixture(scope="module")
def composite_written(run_dir: Path, phantom_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Put the first row's composite in the place of its image: the diffusion then changed nothing."""
    folder = tmp_path_factory.mktemp("copied") / "run"
    shutil.copytree(run_dir, folder)
    audit = MemorizationAudit(run_dir, phantom_cohort, folder.parent / "unused")
    record = audit.finished.records[0]
    (tile,) = StoredTiles(run_dir, [record], audit.cases, audit.rules)
    assert tile.origin is not None
    image = case_files(record["name"])[1]
    tifffile.imwrite(folder / record["name"] / image, tile.origin.composite.transpose(1, 2, 0))
    return folder


@pytest.fixture(scope="module")
def audited(
    composite_written: Path, phantom_cohort: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    output = tmp_path_factory.mktemp("audit") / "out"
    audit_run(composite_written, phantom_cohort, output, resamples=50, max_pictures=2)
    return output


@pytest.fixture(scope="module")
def rows(audited: Path) -> dict[str, list[dict[str, Any]]]:
    table = read_case_table(audited / "memorization.csv", MEMORIZATION_COLUMNS)
    return {kind: [row for row in table if row["set"] == kind] for kind in (SYNTHETIC, HELD_OUT)}


def summary(output: Path) -> dict[str, Any]:
    return json.loads((output / "memorization_summary.json").read_text())


def test_every_image_has_a_row_beside_the_held_out_slices(rows: dict[str, Any], run_dir: Path) -> None:
    records = [json.loads(line) for line in (run_dir / "manifest.jsonl").read_text().splitlines()]
    assert [row["case"] for row in rows[SYNTHETIC]] == [record["name"] for record in records]
    for row, record in zip(rows[SYNTHETIC], records, strict=True):
        assert (row["patient"], row["host"]) == (record["donor"]["patient"], record["host"]["patient"])
        assert row["mask_pixels"] == record["mask_pixels"]
    datalist = json.loads((run_dir / "datalist.json").read_text())
    splits = {entry["patient"]: entry["split"] for entry in datalist["entries"]}
    assert {splits[row["patient"]] for row in rows[HELD_OUT]} == {"validation"}
    nearest = {
        row[f"{region}_correlation_patient"]
        for part in rows.values()
        for row in part
        for region in ("tumor", "outside", "whole")
    }
    assert {splits[patient] for patient in nearest} == {"train"}
    least = min(row["mask_pixels"] for row in rows[SYNTHETIC])
    assert all(row["mask_pixels"] >= least for row in rows[HELD_OUT])


def test_a_composite_in_the_place_of_an_image_has_no_drop(rows: dict[str, Any]) -> None:
    copied, *others = rows[SYNTHETIC]
    assert copied["donor_drop"] == 0
    assert copied["donor_correlation"] == copied["composite_donor_correlation"]
    assert copied["tumor_correlation"] == pytest.approx(copied["composite_correlation"])
    assert copied["tumor_feature"] == pytest.approx(copied["composite_feature"])
    for row in others:
        assert row["donor_drop"] != 0
        assert row["donor_drop"] == pytest.approx(
            row["composite_donor_correlation"] - row["donor_correlation"]
        )


def test_the_host_is_recognized_outside_the_mask(rows: dict[str, Any]) -> None:
    for row in rows[SYNTHETIC]:
        assert row["outside_correlation"] > 0.999
        assert row["outside_correlation_patient"] == row["host"]
        assert row["outside_feature_patient"] == row["host"]


def test_figures_of_the_donor_are_empty_where_there_is_none(rows: dict[str, Any]) -> None:
    for row in rows[HELD_OUT]:
        assert np.isnan([row["donor_correlation"], row["donor_drop"], row["composite_correlation"]]).all()
        assert row["tumor_correlation_view"] != ROW_TRANSFORM


def test_the_nearest_is_never_less_alike_than_the_donor_or_the_others(rows: dict[str, Any]) -> None:
    for row in rows[SYNTHETIC]:
        least = max(row["donor_correlation"], row["tumor_correlation_others"])
        assert row["tumor_correlation"] >= least
        if row["tumor_correlation_view"] == ROW_TRANSFORM:
            assert row["tumor_correlation"] == row["donor_correlation"]
            assert row["tumor_correlation_patient"] == row["patient"]


def test_the_summary_keeps_host_copy_and_change_apart(audited: Path) -> None:
    told = summary(audited)
    assert NO_KEY not in told["warnings"]
    topics = {topic: {item["figure"] for item in items} for topic, items in told["summary"].items()}
    assert set(topics) == {"the host is recognizable", "the tumor is a copy", "what the diffusion changed"}
    assert topics["the tumor is a copy"] == {"tumor_correlation", "tumor_correlation_others", "tumor_feature"}
    assert "donor_drop" in topics["what the diffusion changed"]
    assert told["training"]["views of each tumor"] == 30
    assert told["extractor"].startswith("gate (")
    with (audited / "memorization_summary.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    figures = [item["figure"] for items in told["summary"].values() for item in items]
    assert [row["figure"] for row in table] == figures


def test_copies_are_drawn_up_to_the_number_asked_for(audited: Path) -> None:
    copies = summary(audited)["copies"]
    drawn = [copy["picture"] for copy in copies if copy["picture"]]
    assert len(drawn) == min(2, len(copies))
    assert {f"{PICTURES_FOLDER}/{path.name}" for path in audited.glob(f"{PICTURES_FOLDER}/*")} == set(drawn)
    for picture in drawn:
        with Image.open(audited / picture) as image:
            assert np.asarray(image).std() > 10


def test_without_the_key_tumors_are_still_compared(
    phantom_cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    with gate(OPEN_GATE):
        make_workflow(phantom_cohort, tmp_path / "run", num_images=2, provenance="pseudonymous").run()
    assert MemorizationAudit(tmp_path / "run", phantom_cohort, tmp_path / "out").cases
    monkeypatch.setenv(KEY_VARIABLE, KEY[::-1])
    audit_run(tmp_path / "run", phantom_cohort, tmp_path / "out", resamples=20, max_pictures=1)
    told = summary(tmp_path / "out")
    assert NO_KEY in told["warnings"]
    assert not told["summary"]["what the diffusion changed"]
    figures = {item["figure"] for item in told["summary"]["the tumor is a copy"]}
    assert figures == {"tumor_correlation", "tumor_feature"}
    text = (tmp_path / "out" / "memorization.csv").read_text() + json.dumps(told)
    patients = [path.name for path in phantom_cohort.iterdir() if path.is_dir()]
    assert not any(patient in text for patient in patients)


def test_a_folder_that_is_no_run_is_refused(phantom_cohort: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with pytest.raises(DataError, match=r"plan\.jsonl: is missing"):
        audit_run(tmp_path / "run", phantom_cohort, tmp_path / "out")


def test_another_dataset_is_refused(run_dir: Path, tmp_path: Path) -> None:
    write_phantom_cohort(tmp_path / "other", 3, 0, size=64)
    with pytest.raises(DataError, match="lacks patients of the datalist"):
        audit_run(run_dir, tmp_path / "other", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_same_names_with_other_pixels_are_refused(run_dir: Path, tmp_path: Path) -> None:
    write_phantom_cohort(tmp_path / "other", 12, 1, size=64)
    with pytest.raises(DataError, match="dataset"):
        audit_run(run_dir, tmp_path / "other", tmp_path / "out")


def test_another_split_is_refused(run_dir: Path, phantom_cohort: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run_dir, copy)
    header, *rows = (copy / "plan.jsonl").read_text().splitlines()
    changed, old = json.loads(header) | {"split_digest": "0" * 64}, json.loads(header)["plan_id"]
    facts = {key: value for key, value in changed.items() if key not in ("format", "plan_id", "tries")}
    new = Plan(facts, tuple(plan_row(json.loads(row)) for row in rows)).plan_id
    (copy / "plan.jsonl").write_text("\n".join([json.dumps(changed | {"plan_id": new}), *rows]) + "\n")
    (copy / "manifest.jsonl").write_text((copy / "manifest.jsonl").read_text().replace(old, new))
    with pytest.raises(DataError, match="splits the patients otherwise"):
        audit_run(copy, phantom_cohort, tmp_path / "out")


def test_a_run_without_images_is_refused(run_dir: Path, phantom_cohort: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run_dir, copy)
    (copy / "manifest.jsonl").write_text("")
    facts = json.loads((copy / "run.json").read_text())
    facts["rows not written"] = [{"row": row, "reasons": []} for row in range(COUNT)]
    (copy / "run.json").write_text(json.dumps(facts))
    with pytest.raises(DataError, match="lists no image"):
        audit_run(copy, phantom_cohort, tmp_path / "out")


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"output_dir": "run/audit"}, "output_dir: lies in the run's folder"),
        ({"max_pictures": -1}, "max_pictures"),
        ({"resamples": 0}, "resamples"),
        ({"seed": -1}, "seed"),
    ],
)
def test_settings_are_checked_before_anything_is_read(
    tmp_path: Path, settings: dict[str, Any], problem: str
) -> None:
    output = tmp_path / settings.pop("output_dir", "out")
    with pytest.raises(ArgumentError, match=problem):
        MemorizationAudit(tmp_path / "run", tmp_path, output, **settings)


def test_it_can_be_built_in_a_config(run_dir: Path, phantom_cohort: Path, tmp_path: Path) -> None:
    target = {"_target_": "mcf_bundle.generation.audit.MemorizationAudit", "run_dir": str(run_dir)}
    target |= {"dataset_dir": str(phantom_cohort), "output_dir": str(tmp_path / "out")}
    audit = ConfigParser({"audit": target}).get_parsed_content("audit")
    assert isinstance(audit, MemorizationAudit)
