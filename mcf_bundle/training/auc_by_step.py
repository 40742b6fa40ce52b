"""How well a classifier of noisy slices tells tumor from none, by step, beside the level-only baseline."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from monai.metrics import compute_roc_auc
from torch import Tensor, nn
from torch.utils.data import DataLoader

from mcf_bundle.arguments import as_path
from mcf_bundle.atomic_file import write_text
from mcf_bundle.data.level_matching import level_only_scores
from mcf_bundle.data.splits import TRAIN, VALIDATION
from mcf_bundle.data.training_data import LeveledSlice, TrainingData
from mcf_bundle.data.triplet_dataset import SliceRef, TripletDataset
from mcf_bundle.diffusion.schedule import NoiseSchedule
from mcf_bundle.errors import ArgumentError
from mcf_bundle.networks.checkpoint import read_checkpoint
from mcf_bundle.training.inferer import NoisyInferer
from mcf_bundle.training.prepare_batch import NoisePrepareBatch

logger = logging.getLogger(__name__)


def score_and_label(output: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Pick what an AUC metric needs from an engine's output: P(tumor) and class, each (B, 1)."""
    return output["pred"].softmax(1)[:, 1:2], output["label"][:, None]


def tumor_scores(
    network: nn.Module, slices: Sequence[SliceRef], schedule: NoiseSchedule, step: int, inferer: NoisyInferer
) -> np.ndarray:
    """Return the probability of tumor of each slice, noised to `step`: (N,), float64, in [0, 1]."""
    prepare = NoisePrepareBatch(
        schedule, condition_keys=(), target="label", min_step=step, max_step=step, mirror=False
    )
    device = next(network.parameters()).device
    network.eval()
    scores = []
    with torch.no_grad():
        for batch in DataLoader(TripletDataset(slices), batch_size=8):
            noised, _, _, arguments = prepare(batch, device)
            scores.append(inferer(noised, network, **arguments).softmax(1)[:, 1].cpu().double())
    return torch.cat(scores).numpy() if scores else np.zeros(0)


def measure_auc_by_step(
    network: nn.Module,
    data: TrainingData,
    schedule: NoiseSchedule,
    *,
    steps: Sequence[int],
    inferer: NoisyInferer,
) -> dict[str, object]:
    """Measure AUC on level-matched validation slices, at several noise steps.

    Returns:
        `auc` by step, `level_only_auc` on all and on the matched validation slices, and the counts behind
        them; None where a class is missing.
    """
    matched = data.matched_slices(VALIDATION, repeat=False)
    labels = [int(item.label) for item in matched]
    by_step = {str(t): _auc(labels, tumor_scores(network, matched, schedule, t, inferer)) for t in steps}
    training, validation = data.leveled_slices(TRAIN), data.leveled_slices(VALIDATION)
    level_of = {(id(item.ref.volume), item.ref.index): item.level for item in validation}
    matched_levels = [level_of[id(item.volume), item.index] for item in matched]
    return {
        "auc": by_step,
        "level_only_auc": {
            "all slices": _auc(
                _labels(validation), _level_only(training, [item.level for item in validation])
            ),
            "level-matched slices": _auc(labels, _level_only(training, matched_levels)),
        },
        "slices": {"all": len(validation), "level-matched": len(matched)},
        "patients": len(data.volumes(VALIDATION)),
    }


def check_auc_steps(steps: Sequence[int], schedule: NoiseSchedule) -> None:
    """Refuse steps that the schedule has not; a training asks before its first step.

    Raises:
        ArgumentError: names the step.
    """
    for step in steps:
        if not 0 <= step <= schedule.num_steps:
            problem = f"{step!r} is outside [0, {schedule.num_steps}]"
            raise ArgumentError("auc_steps", problem, "choose steps of the schedule, 0 for no noise")


class AucReport:
    """Measure the best checkpoint's AUC by step and write it beside the checkpoint.

    Args:
        folder: where model_best.pt is (else model_last.pt: no validation could tell the best); the report
            goes to auc_by_step.json there.
        network: a network of the checkpoint's architecture; its weights are replaced.
        data: see `measure_auc_by_step`, like the rest.
        schedule: the noise schedule.
        steps: noise steps, 0 for images without noise.
        inferer: how the network is called.
    """

    def __init__(
        self,
        folder: str | Path,
        network: nn.Module,
        data: TrainingData,
        schedule: NoiseSchedule,
        *,
        steps: Sequence[int],
        inferer: NoisyInferer,
    ) -> None:
        self.folder, self.network, self.data, self.schedule = (
            as_path(folder, "ckpt_dir"),
            network,
            data,
            schedule,
        )
        self.steps, self.inferer = tuple(steps), inferer
        check_auc_steps(self.steps, schedule)

    def run(self) -> Mapping[str, object]:
        """Measure, log and write JSON."""
        best = self.folder / "model_best.pt"
        path = best if best.is_file() else self.folder / "model_last.pt"
        self.network.load_state_dict(read_checkpoint(path).weights)
        result = measure_auc_by_step(
            self.network, self.data, self.schedule, steps=self.steps, inferer=self.inferer
        )
        write_text(
            self.folder / "auc_by_step.json", json.dumps({"checkpoint": path.name, **result}, indent=1) + "\n"
        )
        logger.info("AUC by step: %s; level only: %s", result["auc"], result["level_only_auc"])
        return result


def _labels(slices: Sequence[LeveledSlice]) -> list[int]:
    return [int(item.ref.label) for item in slices]


def _level_only(training: Sequence[LeveledSlice], levels: Sequence[float]) -> np.ndarray:
    return level_only_scores([item.level for item in training], _labels(training), levels)


def _auc(labels: Sequence[int], scores: np.ndarray) -> float | None:
    if not 0 < sum(labels) < len(labels):
        return None
    auc = compute_roc_auc(torch.as_tensor(scores), torch.as_tensor(list(labels)))
    return float(np.asarray(auc))
