"""Runs of the bundle's inference.json inside the test process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from monai.bundle import ConfigParser

from mcf_bundle.errors import McfError
from mcf_bundle.generation import loop, workflow
from mcf_bundle.generation.gate import GateLimits, GateResult
from mcf_bundle.generation.materials import Materials
from mcf_bundle.generation.workflow import GenerationWorkflow
from mcf_bundle.resources import bundle_root

KEY = "a key of the tests, long enough"
OPEN_GATE = GateLimits({"change_outside": (-np.inf, np.inf)})
CLOSED_GATE = GateLimits({"change_outside": (np.inf, np.inf)})


def make_workflow(dataset_dir: Path, output_dir: Path, **overrides: Any) -> GenerationWorkflow:
    """Build the workflow from the shipped config; few steps, the same numbers on every machine's CPU."""
    config = ConfigParser()
    config.read_config(bundle_root("mcf_diffusion") / "configs" / "inference.json")
    defaults = {"num_images": 2, "steps": 2, "num_threads": 1, "device": "$torch.device('cpu')"}
    places = {"dataset_dir": str(dataset_dir), "output_dir": str(output_dir)}
    for name, value in {**defaults, **places, **overrides}.items():
        config[name] = value
    return config.get_parsed_content("generation")


def sharing(measured: GenerationWorkflow, output_dir: Path, **overrides: Any) -> GenerationWorkflow:
    """Build a workflow on the patients that another one has read and measured, to save their time."""
    made = make_workflow(measured.dataset_dir, output_dir, **overrides)
    vars(made).update(cohort=measured.cohort, source=measured.source)
    return made


@contextmanager
def gate(limits: GateLimits) -> Iterator[None]:
    """Put other limits in the place of the fitted ones, so that the shipped weights decide nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workflow, "fit_gate", lambda *_, **__: limits)
        yield


@contextmanager
def picky_gate() -> Iterator[None]:
    """Reject the first candidate of the rows 1, 4, 7, ..., and the first two of the rows 2, 5, 8, ...

    What the images show decides nothing: their last digits differ from one kind of processor to another.
    """
    judge = loop._judge

    def picky(item: Materials, *arguments: Any) -> GateResult:
        rejects = item.row.candidates.index(item.candidate) < item.row.row % 3
        return replace(judge(item, *arguments), reasons=("flair_contrast",) if rejects else ())

    with gate(GateLimits({"flair_contrast": (0.0, 1.0)})), pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "_judge", picky)
        yield


def error_of_ours(error: BaseException) -> McfError:
    """Return the error of ours behind one that MONAI wrapped."""
    found: BaseException | None = error
    while found is not None and not isinstance(found, McfError):
        found = found.__cause__
    assert found is not None, error
    return found
