"""Generation disturbed from outside: another job, a full disk, SIGTERM, out of memory."""

from __future__ import annotations

import json
import os
import pydoc
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch

from mcf_bundle.commandline import end_on_sigterm
from mcf_bundle.errors import ArgumentError, BusyError, DataError
from mcf_bundle.folder_lock import HOLDER_FILE
from mcf_bundle.generation.gate import GateResult
from mcf_bundle.generation.loop import Generated, Machinery
from mcf_bundle.generation.materials import Materials, prepare_materials
from mcf_bundle.generation.plan import PlanRow
from mcf_bundle.generation.run_output import RunOutput
from mcf_bundle.generation.workflow import GenerationWorkflow
from mcf_bundle.generation.writer import case_files
from tests.file_contents import contents
from tests.forking import check_ends_by_sigterm, fork, with_sigterm
from tests.full_disk import full_disk
from tests.generation.bundle_runs import OPEN_GATE, gate, make_workflow, sharing

COUNT, BATCH = 4, 2
SETTINGS = {"num_images": COUNT, "compute_batch": BATCH, "batch_size": 2, "steps": 1, "guidance_scale": 0.0}
HALVING_TOLERANCE = 0.002

Start = Callable[..., GenerationWorkflow]


@pytest.fixture(scope="module")
def whole(phantom_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GenerationWorkflow]:
    """A run that nobody disturbed."""
    workflow = make_workflow(phantom_cohort, tmp_path_factory.mktemp("whole"), **SETTINGS)
    with gate(OPEN_GATE):
        workflow.run()
        yield workflow


@pytest.fixture
def start(whole: GenerationWorkflow, tmp_path: Path) -> Start:
    """Runs the same generation in another folder."""

    def run(**overrides: Any) -> GenerationWorkflow:
        workflow = sharing(whole, tmp_path / "run", **{**SETTINGS, **overrides})
        workflow.run()
        return workflow

    return run


def records_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]


@contextmanager
def forked(work: Callable[[], object]) -> Iterator[int]:
    """Do as `fork`, and kill the copy at the end."""
    pid = fork(work)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


# --- Two jobs ---------------------------------------------------------------------------------------


def hold_at_first_image(monkeypatch: pytest.MonkeyPatch) -> int:
    """Let runs say when they have an image, by a byte in the pipe that is returned, and go no further."""
    reading, writing = os.pipe()

    def wait(*_: Any) -> None:
        os.write(writing, b".")
        threading.Event().wait()

    monkeypatch.setattr(RunOutput, "keep", wait)
    return reading


def test_a_second_job_on_a_folder_ends_at_once_and_goes_on_when_the_first_is_killed(
    whole: GenerationWorkflow, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        reading = hold_at_first_image(patch)
        with forked(start) as pid:
            assert os.read(reading, 1) == b"."
            before = contents(folder, "run.json")
            for overrides in ({}, {"overwrite": True}, {"seed": 9}):
                second = sharing(whole, folder, **SETTINGS, **overrides)
                with pytest.raises(BusyError, match=f"{folder}: another job works in it .process {pid} on "):
                    second.run()
                assert "plan" not in vars(second)  # at once: before it was made
            assert sharing(whole, folder, **SETTINGS, dry_run=True).run() is None
            assert contents(folder, "run.json") == before
    assert (folder / HOLDER_FILE).exists()  # which a killed job leaves
    start()
    assert contents(folder, "run.json") == contents(whole.output_dir, "run.json")


# --- A full disk ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def steps(whole: GenerationWorkflow, tmp_path_factory: pytest.TempPathFactory) -> int:
    """Writes and fsyncs of a whole run."""
    with full_disk() as disk:
        sharing(whole, tmp_path_factory.mktemp("steps") / "run", **SETTINGS).run()
    return disk.steps


@pytest.mark.parametrize("share", [0.0, 0.07, 0.4, 0.87, 0.95])
def test_a_run_that_met_a_full_disk_is_finished_by_the_same_command(
    whole: GenerationWorkflow, start: Start, steps: int, tmp_path: Path, share: float
) -> None:
    folder = tmp_path / "run"
    with full_disk(room=int(share * steps)), pytest.raises(DataError) as caught:
        start()
    assert caught.value.where.startswith(str(folder))
    assert caught.value.problem == "cannot be written (No space left on device)"
    assert caught.value.remedy.startswith("free disk space")
    whole_files = contents(whole.output_dir, "run.json")
    for name, content in contents(folder, "run.json").items():
        if not name.startswith("."):  # the shards, whose last line may be cut
            assert content == whole_files[name], name
    for case in folder.glob("SYN_*"):
        assert {path.name for path in case.iterdir()} == set(case_files(case.name))
    assert not list(folder.glob(".*.partial"))
    start()
    assert contents(folder, "run.json") == whole_files


# --- A reader that dies ------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [0, 3])
def test_a_run_whose_reader_died_keeps_what_was_made_and_is_finished_by_the_same_command(
    whole: GenerationWorkflow, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    prepared: list[int] = []

    def prepare_few(row: PlanRow, *arguments: Any) -> Materials:
        if len(prepared) == after:
            raise MemoryError("the reader dies")
        prepared.append(row.row)
        return prepare_materials(row, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr("mcf_bundle.generation.loop.prepare_materials", prepare_few)
        with pytest.raises(MemoryError, match="the reader dies"):
            start()
    assert len(prepared) == after
    start()
    assert contents(tmp_path / "run", "run.json") == contents(whole.output_dir, "run.json")


# --- SIGTERM ----------------------------------------------------------------------------------------


def end_by_sigterm_in(target: str, start: Start, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a generation that gets SIGTERM when the function of this full name ends its first call."""
    plain = pydoc.locate(target)
    assert callable(plain)

    def work() -> None:
        monkeypatch.setattr(target, with_sigterm(plain))
        end_on_sigterm()
        start()

    check_ends_by_sigterm(work, folder, folder.parent / "stderr")


def test_sigterm_ends_a_run_in_order_and_the_same_command_goes_on(
    whole: GenerationWorkflow, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    end_by_sigterm_in("mcf_bundle.generation.run_output.RunOutput.keep", start, folder, monkeypatch)
    assert list(folder.glob("SYN_*"))
    assert not (folder / "manifest.jsonl").exists()
    start()
    assert contents(folder, "run.json") == contents(whole.output_dir, "run.json")


@pytest.mark.parametrize("last_call", ["with_generated", "write_pages", "ManifestShards.remove"])
def test_sigterm_while_merging_ends_a_run_in_order_and_the_same_command_goes_on(
    whole: GenerationWorkflow, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last_call: str
) -> None:
    folder = tmp_path / "run"
    end_by_sigterm_in(f"mcf_bundle.generation.run_output.{last_call}", start, folder, monkeypatch)
    assert (folder / "manifest.jsonl").exists()
    assert (folder / "datalist.json").exists() == (last_call != "with_generated")
    assert (folder / "run.json").exists() == (last_call == "ManifestShards.remove")
    start()
    assert contents(folder, "run.json") == contents(whole.output_dir, "run.json")


# --- Out of memory ----------------------------------------------------------------------------------


def limit_memory(monkeypatch: pytest.MonkeyPatch, most: int) -> list[int]:
    """Let network calls of the sampler with more than `most` images fail; returns the sizes of all."""
    sizes: list[int] = []
    made = GenerationWorkflow._machinery

    def machinery(self: GenerationWorkflow) -> Machinery:
        plain = made(self)

        def sample(batch: Any) -> torch.Tensor:
            sizes.append(len(batch.seeds))
            if sizes[-1] > most:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
            return plain.sample(batch)

        return replace(plain, sample=sample)

    monkeypatch.setattr(GenerationWorkflow, "_machinery", machinery)
    return sizes


def test_out_of_memory_stops_with_the_number_of_images_to_use(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit_memory(monkeypatch, most=1)
    with pytest.raises(ArgumentError) as caught:
        start()
    assert caught.value.where == "compute_batch"
    assert caught.value.problem == "a network call with 2 images does not fit the memory of the device"
    assert "--compute_batch 1 " in caught.value.remedy
    assert "--on_oom halve" in caught.value.remedy


def test_halving_goes_on_where_a_run_stopped_and_marks_its_rows(
    whole: GenerationWorkflow, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        reached = 0
        keep = RunOutput.keep

        def keep_two(self: RunOutput, made: Generated, earlier: Sequence[GateResult]) -> None:
            nonlocal reached
            reached += 1
            if reached > BATCH:
                raise KeyboardInterrupt
            keep(self, made, earlier)

        patch.setattr(RunOutput, "keep", keep_two)
        with pytest.raises(KeyboardInterrupt):
            start()
    sizes = limit_memory(monkeypatch, most=1)
    with pytest.raises(ArgumentError):
        start()
    start(on_oom="halve")
    assert sizes == [2, 2, 1, 1]  # the run that stopped, the one that halves
    assert [record["compute_batch"] for record in records_of(folder)] == [2, 2, 1, 1]
    assert [record["compute_batch"] for record in records_of(whole.output_dir)] == [2] * COUNT
    for record in records_of(whole.output_dir):
        image, mask = (record["image"], record["label"])
        difference = read(folder / image) - read(whole.output_dir / image)
        assert np.abs(difference).mean() / 255 <= HALVING_TOLERANCE
        assert (folder / mask).read_bytes() == (whole.output_dir / mask).read_bytes()


def read(path: Path) -> np.ndarray:
    return tifffile.imread(path).astype(float)


def test_a_single_image_without_room_stops_halving_too(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = limit_memory(monkeypatch, most=0)
    with pytest.raises(ArgumentError, match="a single image does not fit"):
        start(on_oom="halve")
    assert sizes == [2, 1]


def test_another_word_for_on_oom_is_refused(start: Start) -> None:
    with pytest.raises(Exception, match="on_oom") as caught:
        start(on_oom="shrink")
    assert "expected 'stop' or 'halve', got 'shrink'" in str(caught.value.__cause__ or caught.value)
