"""What an evaluation of a denoiser measured, with the patients, slices and spread behind it, as a file."""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
from ignite.engine import Engine, Events
from torch import Tensor

from mcf_bundle.arguments import as_path
from mcf_bundle.atomic_file import write_text
from mcf_bundle.data.triplet_dataset import TripletDataset
from mcf_bundle.networks.checkpoint import Checkpoint, hash_patient
from mcf_bundle.networks.known_patients import refuse_known

logger = logging.getLogger(__name__)

REPORT_FILE = "evaluation.json"


class EvaluationReport:
    """Collect the loss of each slice and write `REPORT_FILE`, after a look at whom the checkpoint has seen.

    Args:
        folder: where the report goes.
        checkpoint: whose network is evaluated.
        dataset: the slices, in the order in which the engine gets them.
        loss_function: called with prediction and target of one slice, gives a scalar.
        patients: names of the patients behind the slices, see `TrainingData.patients_behind`.
        split: whose slices they are: who was trained on is always refused, who chose the epoch in the test
            set.
        settings: what the figures depend on beside the split, plain values.
    """

    def __init__(
        self,
        folder: str | Path,
        checkpoint: Checkpoint,
        dataset: TripletDataset,
        loss_function: Callable[[Tensor, Tensor], Tensor],
        *,
        patients: Iterable[str],
        split: str,
        settings: Mapping[str, Any],
    ) -> None:
        self.folder, self.checkpoint, self.dataset = as_path(folder, "output_dir"), checkpoint, dataset
        self.loss_function, self.patients, self.split = loss_function, tuple(patients), split
        self.settings = {"split": split, **settings}
        self.losses: list[float] = []

    def attach(self, engine: Engine) -> None:
        """Register with the evaluator."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _start(self, engine: Engine) -> None:
        """Refuse patients that the checkpoint knows.

        Raises:
            LeakageError: see `refuse_known`.
        """
        self.losses = []
        refuse_known(self.patients, self.checkpoint, where="ckpt", split=self.split)

    def _collect(self, engine: Engine) -> None:
        output = cast("Mapping[str, Tensor]", engine.state.output)
        for pred, label in zip(output["pred"].split(1), output["label"].split(1), strict=True):
            self.losses.append(float(self.loss_function(pred, label)))

    def _write(self, engine: Engine) -> None:
        by_patient: dict[str, list[float]] = defaultdict(list)
        for item, loss in zip(self.dataset.data, self.losses, strict=True):
            by_patient[item.volume.patient].append(loss)
        means = [float(np.mean(losses)) for losses in by_patient.values()]
        checkpoint = {"sha256": self.checkpoint.sha256, "preset": self.checkpoint.preset}
        result = {
            "loss": float(np.mean(self.losses)),
            "slices": len(self.losses),
            "patients": len(means),
            "mean_over_patients": float(np.mean(means)),
            "sd_over_patients": float(np.std(means, ddof=1)) if len(means) > 1 else None,
            # Names stay where the data is: a hash tells the owner of the data which patient it was.
            "by_patient": [
                {"patient_sha256": hash_patient(name), "slices": len(losses), "loss": mean}
                for (name, losses), mean in zip(by_patient.items(), means, strict=True)
            ],
            "checkpoint": {**checkpoint, "info": dict(self.checkpoint.info)},
            "settings": self.settings,
        }
        write_text(self.folder / REPORT_FILE, json.dumps(result, indent=1) + "\n")
        logger.info(
            "loss %.4f on %d slices of %d patients (mean over patients %.4f, standard deviation %s), in %s",
            result["loss"],
            len(self.losses),
            len(means),
            result["mean_over_patients"],
            "none" if result["sd_over_patients"] is None else f"{result['sd_over_patients']:.4f}",
            self.folder / REPORT_FILE,
        )
