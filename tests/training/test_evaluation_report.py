"""The report of an evaluation against figures worked out by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from ignite.engine import Engine
from torch import nn

from mcf_bundle.errors import LeakageError
from mcf_bundle.networks.checkpoint import Checkpoint, hash_patient
from mcf_bundle.training.evaluation_report import EvaluationReport

CHECKPOINT = Checkpoint(
    "fast",
    "denoiser",
    frozenset({hash_patient("trained")}),
    {"epoch": 3},
    sha256="0f",
    validation_patients=frozenset({hash_patient("chosen")}),
)


def evaluate(
    folder: Path,
    patients: str,
    errors: list[list[float]],
    *,
    behind: Sequence[str] = (),
    split: str = "validation",
) -> dict[str, Any]:
    """Run an engine whose predictions are off by `errors`, batch by batch, and return the report."""
    data = [SimpleNamespace(volume=SimpleNamespace(patient=patient)) for patient in patients]
    batches = [torch.tensor(batch).reshape(-1, 1, 1, 1).expand(-1, 3, 2, 2) for batch in errors]
    engine = Engine(lambda _, batch: {"pred": 1 + batch, "label": torch.ones_like(batch)})
    report = EvaluationReport(
        folder,
        CHECKPOINT,
        SimpleNamespace(data=data),  # type: ignore[arg-type]
        nn.MSELoss(),
        patients=behind,
        split=split,
        settings={"max_step": 500},
    )
    report.attach(engine)
    engine.run(batches)
    engine.run(batches)  # a second run starts anew
    return json.loads((folder / "evaluation.json").read_text())


def test_losses_are_averaged_over_slices_and_over_patients(tmp_path: Path) -> None:
    result = evaluate(tmp_path / "new", "aab", [[1.0, 2.0], [3.0]])
    assert (result["slices"], result["patients"]) == (3, 2)
    assert result["loss"] == pytest.approx((1 + 4 + 9) / 3)
    assert result["mean_over_patients"] == pytest.approx((2.5 + 9) / 2)
    assert result["sd_over_patients"] == pytest.approx((9 - 2.5) / 2**0.5)
    assert result["by_patient"] == [
        {"patient_sha256": hash_patient("a"), "slices": 2, "loss": pytest.approx(2.5)},
        {"patient_sha256": hash_patient("b"), "slices": 1, "loss": pytest.approx(9)},
    ]


def test_the_report_says_what_was_evaluated(tmp_path: Path) -> None:
    result = evaluate(tmp_path, "a", [[1.0]])
    assert result["checkpoint"] == {"sha256": "0f", "preset": "fast", "info": {"epoch": 3}}
    assert result["settings"] == {"split": "validation", "max_step": 500}


def test_one_patient_has_no_spread(tmp_path: Path) -> None:
    assert evaluate(tmp_path, "aa", [[1.0, 2.0]])["sd_over_patients"] is None


@pytest.mark.parametrize(
    ("patient", "split", "words"),
    [
        ("trained", "train", "trained on patient trained"),
        ("trained", "validation", "trained on patient trained"),
        ("trained", "test", "trained on patient trained"),
        ("chosen", "test", "chosen by its results on patient chosen"),
    ],
)
def test_a_patient_that_the_checkpoint_knows_is_refused_before_anything_is_written(
    tmp_path: Path, patient: str, split: str, words: str
) -> None:
    with pytest.raises(LeakageError, match=f"ckpt: was {words}, who belongs to the {split} set"):
        evaluate(tmp_path, "a", [[1.0]], behind=["a", patient], split=split)
    assert not list(tmp_path.iterdir())


def test_a_patient_that_chose_the_epoch_is_one_to_validate_on(tmp_path: Path) -> None:
    assert evaluate(tmp_path, "a", [[1.0]], behind=["chosen"], split="validation")["slices"] == 1
