"""Runs that are cut off and started again: the files are those of a run that nobody disturbed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mcf_bundle.generation.gate import GateResult
from mcf_bundle.generation.loop import Generated, Machinery
from mcf_bundle.generation.output_folder import SHARDS_FOLDER
from mcf_bundle.generation.run_output import RunOutput
from mcf_bundle.generation.workflow import GenerationWorkflow
from tests.file_contents import contents
from tests.generation.bundle_runs import make_workflow, picky_gate, sharing

COUNT = 6
SETTINGS = {"num_images": COUNT, "compute_batch": 2, "batch_size": 2, "steps": 1, "guidance_scale": 0.0}


class CutOffError(Exception):
    """What stands for a process that is killed."""


@pytest.fixture(scope="module")
def whole(phantom_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> GenerationWorkflow:
    """A run that came to its end."""
    workflow = make_workflow(phantom_cohort, tmp_path_factory.mktemp("whole"), **SETTINGS)
    with picky_gate():
        workflow.run()
    return workflow


@pytest.fixture
def start(whole: GenerationWorkflow, tmp_path: Path) -> Iterator[Callable[..., GenerationWorkflow]]:
    """Runs the same generation in another folder."""

    def run(**overrides: Any) -> GenerationWorkflow:
        workflow = sharing(whole, tmp_path / "run", **{**SETTINGS, **overrides})
        workflow.run()
        return workflow

    with picky_gate():
        yield run


@pytest.fixture
def sampled(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Number of blocks that were sampled from here on, one entry each."""
    blocks: list[int] = []
    made = GenerationWorkflow._machinery

    def counting(self: GenerationWorkflow) -> Machinery:
        machinery = made(self)
        sample = machinery.sample

        def count(batch: Any) -> Any:
            blocks.append(len(batch.seeds))
            return sample(batch)

        return replace(machinery, sample=count)

    monkeypatch.setattr(GenerationWorkflow, "_machinery", counting)
    return blocks


def cut_off(monkeypatch: pytest.MonkeyPatch, start: Callable[..., Any], *, after: int) -> None:
    """Run until some images were kept, and then no further."""
    keep, kept = RunOutput.keep, 0

    def keep_few(self: RunOutput, made: Generated, earlier: Sequence[GateResult]) -> None:
        nonlocal kept
        if kept == after:
            raise CutOffError
        kept += 1
        keep(self, made, earlier)

    with monkeypatch.context() as patch:
        patch.setattr(RunOutput, "keep", keep_few)
        with pytest.raises(CutOffError):
            start()


@pytest.mark.parametrize("after", [0, 1, 3, 5])
def test_a_run_that_was_cut_off_goes_on_to_the_files_of_one_run(
    whole: GenerationWorkflow,
    start: Callable[..., GenerationWorkflow],
    monkeypatch: pytest.MonkeyPatch,
    after: int,
) -> None:
    cut_off(monkeypatch, start, after=after)
    workflow = start()
    assert contents(workflow.output_dir, "run.json") == contents(whole.output_dir, "run.json")


def test_images_that_are_there_are_not_made_again(
    start: Callable[..., GenerationWorkflow], sampled: list[int]
) -> None:
    workflow = start()
    first, before = len(sampled), contents(workflow.output_dir, "run.json")
    start()
    assert first > 0
    assert len(sampled) == first
    assert contents(workflow.output_dir, "run.json") == before


def test_a_run_that_is_cut_off_twice_loses_nothing_of_its_first_part(
    whole: GenerationWorkflow,
    start: Callable[..., GenerationWorkflow],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    cut_off(monkeypatch, start, after=2)
    cut_off(monkeypatch, start, after=0)
    cut_off(monkeypatch, start, after=2)
    shards = (tmp_path / "run" / SHARDS_FOLDER).glob("*.jsonl")
    rows = [json.loads(line)["row"] for path in shards for line in path.read_text().splitlines()]
    assert len(rows) == len(set(rows)) == 4
    assert contents(start().output_dir, "run.json") == contents(whole.output_dir, "run.json")


def break_file(folder: Path) -> None:
    next(folder.glob("SYN_*/*_2.tif")).write_bytes(b"damaged")


def lose_mask(folder: Path) -> None:
    next(folder.glob("SYN_*/*_2_mask.tif")).unlink()


def cut_manifest(folder: Path) -> None:
    manifest = folder / "manifest.jsonl"
    manifest.write_bytes(manifest.read_bytes()[:-40])


def leave_unfinished(folder: Path) -> None:
    case = next(folder.glob("SYN_*"))
    case.rename(folder / f".{case.name}.partial")


@pytest.mark.parametrize("damage", [break_file, lose_mask, cut_manifest, leave_unfinished])
def test_what_is_damaged_is_made_again(
    whole: GenerationWorkflow,
    start: Callable[..., GenerationWorkflow],
    sampled: list[int],
    damage: Callable[[Path], None],
) -> None:
    workflow = start()
    sampled.clear()
    damage(workflow.output_dir)
    start()
    assert sampled
    assert contents(workflow.output_dir, "run.json") == contents(whole.output_dir, "run.json")


def test_overwrite_makes_everything_again(
    start: Callable[..., GenerationWorkflow], sampled: list[int]
) -> None:
    start()
    first = len(sampled)
    start(overwrite=True)
    assert len(sampled) == 2 * first
