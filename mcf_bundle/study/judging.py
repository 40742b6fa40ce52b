"""Judge the images of a generated set by patients of the test set, whom no network of the fold knows."""

from __future__ import annotations

from pathlib import Path

import torch

from mcf_bundle.atomic_file import write_text
from mcf_bundle.data.splits import TEST
from mcf_bundle.errors import ArgumentError, DataError, UnwritableError
from mcf_bundle.generation.image_evaluation import ImageEvaluation
from mcf_bundle.generation.image_evaluation_measures import stack
from mcf_bundle.generation.image_evaluation_profiles import draw_profiles
from mcf_bundle.generation.image_evaluation_report import EvaluationResults
from mcf_bundle.generation.image_evaluation_sets import COMPOSITES, HOSTS, REFERENCE, SYNTHETIC

PROFILES_FILE = "profiles.svg"
"""Drawing of the mean intensity profiles, on whole slices."""


def judge_images(
    dataset_dir: Path,
    synthetic_dir: Path,
    output_dir: Path,
    *,
    gate: Path,
    device: torch.device | str,
    crop: int = 64,
    resamples: int = 500,
) -> str:
    """Evaluate the images of a set as `ImageEvaluation` does, without a segmenter.

    The held-out tumors are those of test patients alone: validation patients chose the epochs of the
    networks that made the images. The limits of the memorization audit are the validation patients' all the
    same.

    Args:
        dataset_dir: the real patients.
        synthetic_dir: the generated set; its own datalist says who tests.
        output_dir: where tables, page and `PROFILES_FILE` go.
        gate: checkpoint of the set's own gate, whose features are compared; the shipped one may know the
            test patients.
        device: where the gate computes.
        crop: side of the crops around the mask, pixels.
        resamples: draws of each bootstrap over patients.

    Returns:
        Why the images could not be judged; empty if they were.

    Raises:
        McfError: for bad data or leaks.
    """
    evaluation = ImageEvaluation(
        str(dataset_dir),
        str(synthetic_dir),
        str(output_dir),
        extractor_weights=str(gate),
        reference=(TEST,),
        crop=crop,
        resamples=resamples,
        device=device,
    )
    evaluation.data  # noqa: B018 - what is wrong with the data itself stops the study
    try:
        results = evaluation.run()
    except UnwritableError:
        raise
    except (ArgumentError, DataError) as error:
        # Too few images, small ones or those of one patient say nothing about the models of the study.
        return f"not judged: {error.problem}"
    write_text(output_dir / PROFILES_FILE, _profiles(results))
    return ""


def _profiles(results: EvaluationResults) -> str:
    gathered = results.gathered
    sets = {name: stack(gathered.sets[name], None) for name in (SYNTHETIC, COMPOSITES, HOSTS)}
    return draw_profiles(sets, stack(gathered.reference, None), reference_name=REFERENCE)
