"""One whole file of every kind that the package reads, small, with its reader."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import tifffile
import torch
from ignite.engine import Engine
from PIL import Image
from torch import nn

from mcf_bundle.data.datalist import make_datalist, read_datalist, to_json
from mcf_bundle.data.lgg import read_cohort, read_volume
from mcf_bundle.data.load_image import LoadStoredImaged
from mcf_bundle.data.volume import Volume
from mcf_bundle.generation.finished_run import FinishedRun, read_run
from mcf_bundle.generation.gate import GateLimits
from mcf_bundle.generation.plan import Candidate, Plan, PlanRow, SliceId
from mcf_bundle.generation.run_report import PoolCounts, RunFacts
from mcf_bundle.generation.stored_facts import store_facts
from mcf_bundle.generation.warp import Transform
from mcf_bundle.generation.writer import case_files
from mcf_bundle.networks.checkpoint import Checkpoint, read_checkpoint, read_tensors, save_checkpoint
from mcf_bundle.resources import config_path
from mcf_bundle.study.config_file import read_config
from mcf_bundle.training.resume import ResumeHandler
from tests.damage import Target

PATIENT = "TCGA_CS_4941_19960909"
HASH = "0" * 64


def make_targets(folder: Path, phantom_cohort: Path) -> Iterator[Target]:
    """Write the files below a folder and yield them."""
    yield from _slices(folder / "slices")
    yield _datalist(folder / "datalist", phantom_cohort)
    named, hidden = folder / "full", folder / "pseudonymous"
    for run_dir in (named, hidden):
        write_run(run_dir, run_dir.name)
    yield Target("plan.jsonl, full", named / "plan.jsonl", lambda: read_run(named), _same_rows)
    for name in ("plan.jsonl", "manifest.jsonl", "run.json"):
        yield Target(f"{name}, pseudonyms", hidden / name, lambda: read_run(hidden), _same_run)
    yield _checkpoint(folder / "checkpoint")
    yield _weights(folder / "weights")
    yield _training_state(folder / "training")
    yield from _images(folder / "images")
    yield _study(folder / "study")


def write_patient(root: Path, compression: str | None, slices: int = 2, size: int = 32) -> Path:
    """Write a patient's slices with a mask each."""
    folder = root / PATIENT
    folder.mkdir(parents=True)
    draw = np.random.default_rng(0)
    for number in range(1, slices + 1):
        pixels = draw.integers(0, 256, (size, size, 3), dtype=np.uint8)
        mask = np.zeros((size, size), np.uint8)
        mask[4:9, 5:9] = 255
        for end, data, kind in (("", pixels, "rgb"), ("_mask", mask, "minisblack")):
            path = folder / f"{PATIENT}_{number}{end}.tif"
            tifffile.imwrite(path, data, photometric=kind, compression=compression)
    return folder


def write_run(folder: Path, provenance: str) -> FinishedRun:
    """Write plan, manifest and run.json of a finished run of two images, without the images."""
    folder.mkdir(parents=True)
    plan = Plan({"seed": 0, "provenance": provenance}, tuple(map(_row, range(2))), {"accepted": 3, "csf": 1})
    (folder / "plan.jsonl").write_text(plan.to_jsonl())
    records = [_record(row, plan.plan_id) for row in plan.rows]
    (folder / "manifest.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    limits = GateLimits({"csf": (-math.inf, 1.5)}, (), 0.125, math.nan, (8, 0))
    pool = PoolCounts(3, 7, {"rule": 4})
    facts = RunFacts(limits, pool, pool, [], {}, {"seed": 1}, {}, str, 8)
    (folder / "run.json").write_text(json.dumps({**store_facts(facts), "rows not written": []}, indent=1))
    return read_run(folder)


def _row(number: int) -> PlanRow:
    transform = Transform(((1.0, 0.1, 3.25), (-0.1, 1.1, 0.5)), (4, 5, None))
    spare = Candidate(SliceId("A", 9, 0.5123), SliceId("C", 7, 0.5), transform, 2**62)
    first = Candidate(SliceId("A", 9, 0.5123), SliceId("B", 7, 0.5), transform, number)
    return PlanRow(number, f"SYN_CS_{number:06d}", (first, spare), {"blend": "replace", "steps": 4})


def _record(row: PlanRow, plan_id: str) -> dict[str, Any]:
    first = row.to_dict()
    files = [f"{row.name}/{name}" for name in case_files(row.name)]
    return {
        **{key: first[key] for key in ("row", "name", "host", "donor", "transform", "seed", "settings")},
        "image": files[1],
        "label": files[4],
        "mask_pixels": 20,
        "gate": {"tumor_probability": 0.5},
        "rejected": [{"reasons": ["csf"], "gate": {"csf": 2.0}}],
        "input_sha256": HASH,
        "sha256": dict.fromkeys(files, HASH),
        "plan_id": plan_id,
    }


def _slices(root: Path) -> Iterator[Target]:
    for name, compression in (("packed", "zlib"), ("plain", None)):
        folder = write_patient(root / name, compression)
        for end in ("", "_mask"):
            path = folder / f"{PATIENT}_2{end}.tif"
            what = "mask" if end else "slice"
            yield Target(f"{name} {what}", path, lambda folder=folder: read_volume(folder), _same_volume)


def _datalist(folder: Path, phantom_cohort: Path) -> Target:
    folder.mkdir()
    path = folder / "datalist.json"
    whole = read_cohort(phantom_cohort)
    few = type(whole)(whole.root, whole.volumes[:3])
    path.write_text(to_json(make_datalist(few)))
    return Target("datalist.json", path, lambda: read_datalist(path))


def _checkpoint(folder: Path) -> Target:
    path = folder / "model.pt"
    weights = {"weight": torch.arange(6.0).reshape(2, 3)}
    save_checkpoint(path, weights, preset="smoke", kind="gate", patients=["A"], info={"epoch": 1})
    return Target("checkpoint", path, lambda: read_checkpoint(path), _same_checkpoint)


def _weights(folder: Path) -> Target:
    """Return weights as the loaders of extractors, pretrained and generative networks read them."""
    folder.mkdir()
    path = folder / "weights.pth"
    torch.save({"weight": torch.arange(6.0).reshape(2, 3)}, path)
    return Target(
        "weights of others", path, lambda: read_tensors(path, remedy="", allow_old=True), _same_weights
    )


def _training_state(folder: Path) -> Target:
    """Return a training's only state, with nothing to go back to."""

    def handler(network: nn.Module) -> tuple[ResumeHandler, Engine]:
        engine = Engine(lambda _, __: None)
        engine.state.epoch_length = 1
        return ResumeHandler(folder, {"network": network}, {"preset": "smoke"}), engine

    def read() -> dict[str, torch.Tensor]:
        network = nn.Linear(3, 2)
        resume, engine = handler(network)
        with torch.random.fork_rng(devices=[]):
            resume.restore(engine)
            random_numbers = torch.get_rng_state()
        return {**network.state_dict(), "epoch": torch.tensor(engine.state.epoch), "rng": random_numbers}

    resume, engine = handler(nn.Linear(3, 2))
    engine.state.epoch = 1
    resume.save(engine)
    return Target("training state", resume.path, read, _same_weights)


def _images(folder: Path) -> Iterator[Target]:
    folder.mkdir()
    levels = np.random.default_rng(0).integers(0, 256, (8, 9, 4), dtype=np.uint8)
    for name in ("volume.nii", "volume.nii.gz"):
        nibabel.save(nibabel.Nifti1Image(levels, np.eye(4)), folder / name)
    Image.fromarray(levels[..., 0]).save(folder / "picture.png")
    load = LoadStoredImaged("image", reader=["NibabelReader", "PILReader"])
    for path in sorted(folder.iterdir()):
        yield Target(
            "".join(path.suffixes), path, lambda path=path: load({"image": str(path)})["image"], torch.equal
        )


def _study(folder: Path) -> Target:
    folder.mkdir()
    path = folder / "lgg.json"
    shutil.copy(config_path("studies/lgg"), path)
    return Target("study's config", path, lambda: read_config(path, "smoke"))


def _same_volume(found: Volume, whole: Volume) -> bool:
    same = np.array_equal(found.image, whole.image) and np.array_equal(found.mask, whole.mask)
    return same and found.slice_numbers == whole.slice_numbers


def _same_run(found: FinishedRun, whole: FinishedRun) -> bool:
    def told(run: FinishedRun) -> str:
        return repr((run.plan, run.records, run.outcome, store_facts(run.facts)))

    return told(found) == told(whole)


def _same_rows(found: FinishedRun, whole: FinishedRun) -> bool:
    """Compare what images depend on; how often the search tried has no digest."""
    return (found.plan.header, found.plan.rows) == (whole.plan.header, whole.plan.rows)


def _same_weights(found: Mapping[str, torch.Tensor], whole: Mapping[str, torch.Tensor]) -> bool:
    return found.keys() == whole.keys() and all(torch.equal(found[name], whole[name]) for name in whole)


def _same_checkpoint(found: Checkpoint, whole: Checkpoint) -> bool:
    same = _same_weights(found.weights, whole.weights)
    return same and (found.preset, found.kind, found.info) == (whole.preset, whole.kind, whole.info)
