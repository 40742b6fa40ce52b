"""Generation, killed again and again: no image is lost or there twice, every byte is that of one run."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mcf_bundle.generation.run_output import RunOutput
from mcf_bundle.generation.workflow import GenerationWorkflow
from tests.file_contents import contents
from tests.generation.bundle_runs import make_workflow, picky_gate, sharing
from tests.long.killing import Work, duration_of, from_the_start, see_through

pytestmark = pytest.mark.long

SETTINGS = {"num_images": 8, "compute_batch": 2, "steps": 1, "guidance_scale": 0.0}
GENERATION_KILLS, MERGING_KILLS = 50, 15
KILLS_A_RUN = 5


@pytest.fixture(scope="module")
def whole(phantom_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GenerationWorkflow]:
    """A run that nobody disturbed."""
    workflow = make_workflow(phantom_cohort, tmp_path_factory.mktemp("whole"), **SETTINGS)
    with picky_gate():
        workflow.run()
        yield workflow


def whole_run(workflow: GenerationWorkflow) -> Work:
    """Generate; it may be killed from the first moment on."""
    return from_the_start(workflow.run)


def merging(workflow: GenerationWorkflow) -> Work:
    """Generate; it may be killed from where merging begins."""

    def work(begin: Callable[[], object]) -> None:
        finish = RunOutput.finish

        def begin_and_finish(*arguments: Any) -> None:
            begin()
            finish(*arguments)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(RunOutput, "finish", begin_and_finish)
            workflow.run()

    return work


def kill_again_and_again(
    whole: GenerationWorkflow,
    folder: Path,
    kills: int,
    *,
    work: Callable[[GenerationWorkflow], Work],
    prepare: Callable[[GenerationWorkflow], Any] = lambda workflow: None,
) -> None:
    """Kill runs in one folder after the other until there were enough kills; compare each that ends."""
    expected, dice = contents(whole.output_dir, "run.json"), random.Random(0)
    seconds = duration_of(work(sharing(whole, folder / "timed", **SETTINGS)))
    killed = runs = 0
    while killed < kills:
        output_dir = folder / f"run_{runs}"
        workflow = sharing(whole, output_dir, **SETTINGS)
        prepare(workflow)
        found = see_through(
            work(workflow), dice, longest_s=seconds, most_kills=min(KILLS_A_RUN, kills - killed)
        )
        assert contents(output_dir, "run.json") == expected
        killed, runs = killed + found.kills, runs + 1
    print(
        f"\n{killed} kills within {seconds:.2f} s, in {runs} runs; {runs} of {runs} ended with the same bytes"
    )


def test_generation_survives_being_killed_at_any_moment(whole: GenerationWorkflow, tmp_path: Path) -> None:
    kill_again_and_again(whole, tmp_path, GENERATION_KILLS, work=whole_run)


def test_merging_survives_being_killed_at_any_moment(
    whole: GenerationWorkflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop_before_merging(*_: Any) -> None:
        raise KeyboardInterrupt

    def make_images(workflow: GenerationWorkflow) -> None:
        """Leave a folder in which all images are there and nothing is merged."""
        with monkeypatch.context() as patch:
            patch.setattr(RunOutput, "finish", stop_before_merging)
            with pytest.raises(KeyboardInterrupt):
                workflow.run()

    kill_again_and_again(whole, tmp_path, MERGING_KILLS, work=merging, prepare=make_images)
