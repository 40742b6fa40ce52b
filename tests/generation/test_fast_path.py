"""The sampler as the bundle runs it, bfloat16 and channels last, beside the plain networks in float32."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mcf_bundle.diffusion.sampler import FusionBatch, sample_fusion
from mcf_bundle.generation.materials import prepare_materials, to_batch
from mcf_bundle.generation.workflow import GenerationWorkflow
from tests.generation.bundle_runs import make_workflow

LARGEST_DIFFERENCE = 0.002
"""Mean over an image, on [0, 1]; a gray level of the stored image is 0.0039."""


@pytest.fixture(scope="module")
def workflow(phantom_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> GenerationWorkflow:
    return make_workflow(phantom_cohort, tmp_path_factory.mktemp("unused"), steps=4, precision="bfloat16")


@pytest.fixture(scope="module")
def block(workflow: GenerationWorkflow) -> FusionBatch:
    rules = workflow.rules.pairing.placement
    rows = workflow.plan.rows
    made = [prepare_materials(row, row.candidates[0], workflow.source.cases, rules) for row in rows]
    return to_batch(made, workflow.device)


@pytest.fixture(scope="module")
def plain(workflow: GenerationWorkflow, block: FusionBatch) -> Tensor:
    """Images of the networks called as they are, before anything laid their weights out anew."""
    networks, inferer = workflow.networks, workflow.inferer
    assert networks.classifier is not None
    assert block.mask is not None
    seen = replace(block, context=torch.cat([block.context, block.mask], dim=1))
    return sample_fusion(
        seen, networks.denoiser.network, networks.classifier.network, inferer.schedule, inferer.settings
    )


def test_the_fast_path_gives_the_images_of_plain_float32(
    workflow: GenerationWorkflow, block: FusionBatch, plain: Tensor
) -> None:
    difference = (workflow.inferer(block, workflow.networks.denoiser.network) - plain).abs() / 2
    assert 0 < difference.mean(dim=(1, 2, 3)).max() < LARGEST_DIFFERENCE
    inside = block.editable.expand_as(difference)
    assert difference[inside].mean() < LARGEST_DIFFERENCE


def test_channels_last_in_float32_only_rounds(
    workflow: GenerationWorkflow, block: FusionBatch, plain: Tensor
) -> None:
    inferer = make_workflow(workflow.dataset_dir, workflow.output_dir, steps=4, precision="float32").inferer
    torch.testing.assert_close(inferer(block, workflow.networks.denoiser.network), plain, atol=1e-4, rtol=0)
