"""The main job on the phantom cohort: what a run writes, and that the same seed writes the same bytes."""

from __future__ import annotations

import json
import re
import shutil
import socket
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from monai.bundle import ConfigParser
from scipy import ndimage

from mcf_bundle.data.case import Case
from mcf_bundle.data.datalist import REAL, SYNTHETIC, read_datalist
from mcf_bundle.data.lgg import read_cohort
from mcf_bundle.data.prepare import prepare_dataset
from mcf_bundle.data.pseudonyms import KEY_VARIABLE
from mcf_bundle.data.splits import TRAIN
from mcf_bundle.data.triplet_dataset import TripletDataset
from mcf_bundle.errors import IncompleteError
from mcf_bundle.generation.gate import GateLimits
from mcf_bundle.generation.margin import grow
from mcf_bundle.generation.materials import EDIT_MARGIN
from mcf_bundle.generation.output_folder import RUN_FILES
from mcf_bundle.generation.wording import FIGURES
from mcf_bundle.generation.workflow import GenerationWorkflow
from mcf_bundle.generation.writer import case_files
from mcf_bundle.networks.checkpoint import hash_file
from mcf_bundle.resources import bundle_root
from mcf_bundle.run_record import describe_code
from tests.file_contents import contents
from tests.generation.bundle_runs import KEY, OPEN_GATE, gate, make_workflow, picky_gate, sharing

COUNT = 10
MACHINE = "name-of-the-machine"
HALO = 6.0
"""How far beside the mask a neighbor may be painted, pixels at 256 x 256."""


@dataclass(frozen=True)
class Run:
    """A finished run: its workflow and its folder."""

    workflow: GenerationWorkflow
    folder: Path

    @cached_property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "manifest.jsonl").read_text().splitlines()]

    @cached_property
    def plan(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "plan.jsonl").read_text().splitlines()]

    def host(self, record: dict[str, Any]) -> tuple[Case, int]:
        """Return the host's case and the position of its slice."""
        case = self.workflow.source.cases[record["host"]["patient"]]
        return case, case.volume.slice_numbers.index(record["host"]["slice"])

    def images(self, record: dict[str, Any]) -> np.ndarray:
        """Return previous, generated and next slice, (3, 3, H, W), uint8."""
        return np.stack(
            [self._read(record, name).transpose(2, 0, 1) for name in case_files(record["name"])[:3]]
        )

    def masks(self, record: dict[str, Any]) -> np.ndarray:
        """Return their masks, (3, H, W), uint8."""
        return np.stack([self._read(record, name) for name in case_files(record["name"])[3:]])

    def _read(self, record: dict[str, Any], name: str) -> np.ndarray:
        return tifffile.imread(self.folder / record["name"] / name)


def finish(workflow: GenerationWorkflow) -> Run:
    """Run the job to its end."""
    workflow.run()
    return Run(workflow, workflow.output_dir)


@pytest.fixture(scope="module", autouse=True)
def _key() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(KEY_VARIABLE, KEY)
        yield


@pytest.fixture(scope="module")
def run(phantom_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("run") / "out"
    workflow = make_workflow(phantom_cohort, folder, num_images=COUNT)
    with gate(OPEN_GATE), pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "gethostname", lambda: MACHINE)
        assert workflow.run().written == COUNT
    return Run(workflow, folder)


@pytest.fixture(scope="module")
def private(phantom_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run on patients who are not public and all lack post-contrast images; one of them is damaged."""
    root = tmp_path_factory.mktemp("private")
    for number, source in enumerate(sorted(path for path in phantom_cohort.iterdir() if path.is_dir())):
        name = f"Meyer_Anna_{number:02d}"
        (root / "data" / name).mkdir(parents=True)
        for file in source.iterdir():
            target = root / "data" / name / file.name.replace(source.name, name)
            if file.stem.endswith("_mask"):
                shutil.copyfile(file, target)
            else:
                pixels = tifffile.imread(file)
                pixels[..., 2] = pixels[..., 1]
                tifffile.imwrite(target, pixels)
    (root / "data" / "Meyer_Anna_03" / "Meyer_Anna_03_5.tif").write_bytes(b"II*")
    workflow = make_workflow(root / "data", root / "out", num_images=4, skip_bad_patients=True)
    with gate(OPEN_GATE):
        workflow.run()
    return Run(workflow, root / "out")


def test_the_folder_holds_the_cases_and_the_run_s_files(run: Run) -> None:
    names = [record["name"] for record in run.records]
    expected = {f"{name}/{file}" for name in names for file in case_files(name)} | set(RUN_FILES)
    assert contents(run.folder).keys() == expected
    assert len(set(names)) == COUNT
    for number, record in enumerate(run.records):
        case, _ = run.host(record)
        assert record["name"] == f"SYN_{case.volume.institution}_{number:06d}"


def test_every_image_has_a_mask_inside_brain_and_head(run: Run) -> None:
    for record in run.records:
        case, index = run.host(record)
        masks = run.masks(record)
        assert set(np.unique(masks)) <= {0, 255}
        assert masks[1].any()
        assert record["mask_pixels"] == np.count_nonzero(masks[1])
        for offset, mask in zip((-1, 0, 1), masks > 0, strict=True):
            assert case.brain[index + offset][mask].sum() >= 0.98 * mask.sum()
            assert case.head[index + offset][mask].all()


def test_outside_the_grown_mask_the_image_is_the_host_s_byte_for_byte(run: Run) -> None:
    for record in run.records:
        case, index = run.host(record)
        image, mask = run.images(record)[1], run.masks(record)[1] > 0
        outside = ~grow(ndimage.binary_fill_holes(mask), EDIT_MARGIN)
        np.testing.assert_array_equal(image[:, outside], case.volume.image[index][:, outside])
        assert (image[:, mask] != case.volume.image[index][:, mask]).any()


@pytest.mark.parametrize("position", [0, 2])
def test_neighbors_are_the_host_s_outside_their_part_of_the_tumor(run: Run, position: int) -> None:
    for record in run.records:
        case, index = run.host(record)
        image, mask = run.images(record)[position], run.masks(record)[position] > 0
        outside = ~grow(ndimage.binary_fill_holes(mask), HALO)
        host = case.volume.image[index + position - 1]
        np.testing.assert_array_equal(image[:, outside], host[:, outside])


def test_a_channel_that_was_never_acquired_stays_a_copy_of_flair(private: Run) -> None:
    assert all(case.missing == (False, False, True) for case in private.workflow.source.cases.values())
    for record in private.records:
        images = private.images(record)
        np.testing.assert_array_equal(images[:, 2], images[:, 1])


def test_the_output_reads_back_as_a_dataset(run: Run) -> None:
    cohort = read_cohort(run.folder)
    assert [volume.patient for volume in cohort.volumes] == sorted(record["name"] for record in run.records)
    by_name = {volume.patient: volume for volume in cohort.volumes}
    for record in run.records:
        volume = by_name[record["name"]]
        assert volume.institution == run.host(record)[0].volume.institution
        assert volume.slice_numbers == (1, 2, 3)
        assert volume.labels[1]
        np.testing.assert_array_equal(volume.image, run.images(record))


def test_the_output_can_be_trained_on(run: Run) -> None:
    config = ConfigParser()
    config.read_config(bundle_root("mcf_diffusion") / "configs" / "train.json")
    config["dataset_dir"] = str(run.folder)
    samples = TripletDataset(config.get_parsed_content("data").slices(TRAIN))
    assert len(samples) > 0
    assert samples[0]["image"].shape == (3, 64, 64)
    assert torch.isfinite(samples[0]["context"]).all()


def test_the_datalist_merges_real_and_synthetic_slices(run: Run, phantom_cohort: Path) -> None:
    merged = read_datalist(run.folder / "datalist.json")
    real = [entry for entry in merged.entries if entry.root == REAL]
    synthetic = [entry for entry in merged.entries if entry.root == SYNTHETIC]
    assert tuple(real) == run.workflow.datalist.entries
    assert [entry.patient for entry in synthetic] == [record["name"] for record in run.records]
    assert all((e.slice, e.tumor, e.split, e.fold) == (2, True, TRAIN, None) for e in synthetic)
    for root, entries in ((phantom_cohort, real), (run.folder, synthetic)):
        assert all((root / entry.image).is_file() and (root / entry.label).is_file() for entry in entries)


def test_the_manifest_tells_what_each_image_was_made_from(run: Run) -> None:
    header, *rows = run.plan
    models = bundle_root("mcf_diffusion") / "models"
    files = {"denoiser": "model.pt", "classifier": "model_classifier.pt", "gate": "model_gate.pt"}
    hashes = {role: hash_file(models / name) for role, name in files.items()}
    assert header["checkpoints"] == hashes
    assert (header["num_images"], header["compute_batch"], header["num_threads"]) == (COUNT, 4, 1)
    assert len(rows) == COUNT
    for record, row in zip(run.records, rows, strict=True):
        assert (record["row"], record["plan_id"]) == (row["row"], header["plan_id"])
        for name in ("host", "donor", "transform", "seed", "settings"):
            assert record[name] == row[name]
        assert record["checkpoints"] == hashes
        assert "research only" in record["notice"]
        assert record["sha256"] == {name: hash_file(run.folder / name) for name in record["sha256"]}
        assert len(record["sha256"]) == 6
        assert (record["candidate"], record["rejected"]) == (0, [])


def test_hosts_and_donors_are_different_training_patients(run: Run) -> None:
    splits = run.workflow.datalist.patient_splits()
    assert set(splits.values()) == {"train", "validation", "test"}
    for row in run.plan[1:]:
        for candidate in (row, *row["spares"]):
            host, donor = candidate["host"]["patient"], candidate["donor"]["patient"]
            assert (splits[host], splits[donor]) == (TRAIN, TRAIN)
            assert host != donor


def test_only_run_json_knows_when_and_where(run: Run, phantom_cohort: Path) -> None:
    facts = json.loads((run.folder / "run.json").read_text())
    assert facts["host_name"] == MACHINE
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", facts["started"])
    assert facts["settings"]["batch_size"] == 8
    assert facts["device"] == run.plan[0]["device"]
    assert facts["command_line"] is facts["config"] is None  # this run was started from Python
    assert describe_code().items() <= facts.items()
    for name in ("plan.jsonl", "manifest.jsonl", "datalist.json", "report.html"):
        text = (run.folder / name).read_text()
        assert not re.search(r"\d{4}-\d\d-\d\dT\d\d:", text), name
        assert not any(word in text for word in (str(phantom_cohort), str(run.folder), MACHINE)), name
    assert "batch_size" not in (run.folder / "manifest.jsonl").read_text()


def test_the_same_seed_gives_the_same_bytes_at_every_batch_size(
    phantom_cohort: Path, tmp_path: Path, run: Run
) -> None:
    with picky_gate():
        settings = {"num_images": COUNT, "batch_size": 1}
        one_by_one = finish(make_workflow(phantom_cohort, tmp_path / "1", **settings))
        others = [
            contents(
                finish(sharing(run.workflow, tmp_path / str(size), num_images=COUNT, batch_size=size)).folder
            )
            for size in (3, 8)
        ]
    first = contents(one_by_one.folder)
    for other in others:
        assert other.keys() == first.keys()
        assert {name for name in first if first[name] != other[name]} <= {"run.json", "report.html"}
    # Spares were tried, and what passed at once is what the open gate let through.
    records = one_by_one.records
    assert [(record["row"], record["candidate"]) for record in records] == [
        (row, row % 3) for row in range(COUNT)
    ]
    for record in records:
        assert len(record["rejected"]) == record["candidate"]
        if record["candidate"] == 0:
            assert record["sha256"] == run.records[record["row"]]["sha256"]


def test_another_seed_gives_other_images(tmp_path: Path, run: Run) -> None:
    with gate(OPEN_GATE):
        other = finish(sharing(run.workflow, tmp_path / "out", num_images=COUNT, seed=1))
    pixels = [
        {
            hashed
            for record in item.records
            for name, hashed in record["sha256"].items()
            if name.endswith("_2.tif")
        }
        for item in (run, other)
    ]
    assert len(pixels[0]) == len(pixels[1]) == COUNT
    assert not pixels[0] & pixels[1]
    assert other.plan[0]["plan_id"] != run.plan[0]["plan_id"]


@pytest.mark.parametrize("name", ["plan.jsonl", "manifest.jsonl", "report.html", "run.json"])
def test_pseudonymous_files_name_nobody(private: Run, name: str) -> None:
    text = (private.folder / name).read_text()
    assert "Meyer" not in text
    assert "Anna" not in text
    assert str(private.folder.parent) not in text


def test_pseudonyms_stand_where_patients_would(private: Run) -> None:
    kind, naming = private.workflow.naming
    assert kind == private.plan[0]["provenance"] == "pseudonymous"
    pseudonyms = {naming(patient) for patient in private.workflow.source.cases}
    for record in (*private.records, *private.plan[1:]):
        assert record["host"]["patient"] in pseudonyms
        assert record["donor"]["patient"] in pseudonyms
        assert re.fullmatch(r"SYN_X_\d{6}", record["name"])


def test_a_patient_that_was_left_out_is_listed_in_the_report(private: Run) -> None:
    assert list(private.workflow.cohort.skipped) == ["Meyer_Anna_03"]
    report = (private.folder / "report.html").read_text()
    assert "1 patients were left out" in report
    assert private.workflow.naming[1]("Meyer_Anna_03") in report
    assert "cannot be read as TIFF" in report


def test_public_patients_are_named(run: Run) -> None:
    assert run.workflow.naming[0] == run.plan[0]["provenance"] == "full"
    assert all(record["host"]["patient"].startswith("TCGA_") for record in run.records)
    assert run.records[0]["host"]["patient"] in (run.folder / "report.html").read_text()


def test_the_gate_follows_the_rules_of_the_config_and_the_plan_records_them(
    run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    limits = {name: [None, None] for name in FIGURES}
    opened = sharing(run.workflow, tmp_path / "open", num_images=1, **{"gate_rules#limits": limits})
    assert opened.run().written == 1
    closed = sharing(
        run.workflow,
        tmp_path / "closed",
        num_images=1,
        **{"gate_rules#limits": limits | {"mask_in_brain": [2, None]}},
    )
    with pytest.raises(IncompleteError), caplog.at_level("WARNING"):
        closed.run()
    assert re.search(r"The gate rejects 100.0 % of \d+ real training tumors, more than 5 %", caplog.text)
    plans = [Run(workflow, workflow.output_dir).plan[0] for workflow in (opened, closed)]
    assert [plan["rules"]["gate"]["limits"]["mask_in_brain"] for plan in plans] == [[None, None], [2, None]]
    assert plans[0]["plan_id"] != plans[1]["plan_id"]
    assert "share of the mask in the brain" in (closed.output_dir / "report.html").read_text()


def test_rules_that_only_stop_or_warn_leave_the_plan_as_it_is(run: Run, tmp_path: Path) -> None:
    rules = {"gate_rules#max_rejected": 1.0, "gate_rules#min_tried": 1, "pairing#max_patient_share": 0.5}
    workflow = sharing(run.workflow, tmp_path, num_images=COUNT, **rules)
    assert workflow.plan.plan_id == run.plan[0]["plan_id"]
    assert workflow.rules.gate.max_rejected == 1.0


def test_the_largest_share_of_one_head_is_stated_and_warned_of(
    run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rules = {"pairing#max_patient_share": 0.01, "dry_run": True}
    with caplog.at_level("WARNING"):
        sharing(run.workflow, tmp_path, num_images=60, **rules).run()
    most = max(Counter(row["host"]["patient"] for row in run.plan[1:]).values())
    assert re.search(r"\d+ of 60 images .* have the head of one host patient, more than 1 %", caplog.text)
    report = (run.folder / "report.html").read_text()
    assert f"at most {most} of {COUNT} images ({100 * most / COUNT:.1f} %) on one host patient" in report


@pytest.mark.parametrize("num_images", [7, "balance"])
def test_a_dry_run_prints_the_plan_and_writes_nothing(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], num_images: int | str
) -> None:
    workflow = sharing(run.workflow, tmp_path / "out", num_images=num_images, dry_run=True)
    assert workflow.run() is None
    training = [
        volume for volume in workflow.cohort.volumes if workflow.source.splits[volume.patient] == TRAIN
    ]
    balance = sum(int((~volume.labels).sum()) - int(volume.labels.sum()) for volume in training)
    printed = capsys.readouterr().out
    assert printed.startswith(f"{balance if num_images == 'balance' else 7} images planned\n")
    assert re.search(r"about \d+\.\d MB of disk in .*out; nothing written", printed)
    assert list(tmp_path.iterdir()) == []


def test_the_split_seed_moves_patients_and_the_seed_does_not(phantom_cohort: Path, tmp_path: Path) -> None:
    splits = [
        make_workflow(phantom_cohort, tmp_path, seed=seed, split_seed=split_seed).datalist.patient_splits()
        for seed, split_seed in ((0, 0), (5, 0), (0, 5))
    ]
    assert splits[0] == splits[1] != splits[2]


def test_hosts_and_donors_follow_the_datalist(phantom_cohort: Path, tmp_path: Path) -> None:
    prepare_dataset(phantom_cohort, tmp_path, split_seed=5)
    splits = read_datalist(tmp_path / "datalist.json").patient_splits()
    path = str(tmp_path / "datalist.json")
    workflow = make_workflow(phantom_cohort, tmp_path / "out", datalist=path, num_images=4)
    used = {
        patient
        for row in workflow.plan.rows
        for candidate in row.candidates
        for patient in (candidate.host.patient, candidate.donor.patient)
    }
    assert {splits[patient] for patient in used} == {TRAIN}


def test_a_run_whose_gate_rejects_some_rows_writes_the_others_and_counts(run: Run, tmp_path: Path) -> None:
    contrasts = sorted(record["gate"]["flair_contrast"] for record in run.records)
    limit = (contrasts[5] + contrasts[6]) / 2
    passing = [record for record in run.records if record["gate"]["flair_contrast"] < limit]
    no_spares = {"pairing#spares": 0, "pairing#other_hosts": 0}
    workflow = sharing(run.workflow, tmp_path / "out", num_images=COUNT, **no_spares)
    count = f"{len(passing)} of {COUNT} images written, the gate rejected the others"
    with gate(GateLimits({"flair_contrast": (-np.inf, limit)})), pytest.raises(IncompleteError, match=count):
        workflow.run()
    made = Run(workflow, workflow.output_dir)
    assert 0 < len(made.records) < COUNT
    assert [(record["row"], record["sha256"]) for record in made.records] == [
        (record["row"], record["sha256"]) for record in passing
    ]
    assert {path.name for path in made.folder.glob("SYN_*")} == {record["name"] for record in passing}
    facts = json.loads((made.folder / "run.json").read_text())
    assert facts["written"] == len(passing)
    assert {item["row"] for item in facts["rows not written"]} == set(range(COUNT)) - {
        record["row"] for record in passing
    }


def test_balance_on_the_paper_s_training_slices_makes_717_images(run: Run, tmp_path: Path) -> None:
    """The LGG set has 1,373 tumor and 2,556 healthy slices; 287 near-empty ones are not counted in the paper.

    Of the 3,642 slices that are left it trains on eight tenths: 1,098 with tumor and 1,815 without.
    """
    tumor, healthy = round(0.8 * 1373), round(0.8 * (2556 - 287))
    assert (1373 + 2556 - 287, tumor, healthy) == (3642, 1098, 1815)
    workflow = make_workflow(run.workflow.dataset_dir, tmp_path, num_images="balance")
    source = SimpleNamespace(healthy_count=healthy, tumor_count=tumor)
    assert workflow._count(source) == 717  # type: ignore[arg-type]


def test_a_run_needs_no_network(phantom_cohort: Path, tmp_path: Path, no_network: None) -> None:
    with pytest.raises(OSError, match="forbids the network"):
        socket.create_connection(("192.0.2.1", 80), timeout=1)
    with gate(OPEN_GATE):
        assert len(finish(make_workflow(phantom_cohort, tmp_path / "out", num_images=1)).records) == 1


def test_with_the_fitted_gate_every_row_is_written_or_accounted_for(
    run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        # Three rows have too few candidates for the share of rejections to stop the run.
        made = finish(sharing(run.workflow, tmp_path / "out", num_images=3, steps=10))
    assert re.search(
        r"gate rejects \d+\.\d % of \d+ real training tumors and \d+\.\d % of \d+ validation", caplog.text
    )
    facts = json.loads((made.folder / "run.json").read_text())
    missing = [item["row"] for item in facts["rows not written"]]
    assert sorted([record["row"] for record in made.records] + missing) == [0, 1, 2]
    assert facts["written"] == len(made.records)
