"""run.json of a training: one entry for each time that it was started."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events

from mcf_bundle.arguments import as_path
from mcf_bundle.atomic_file import write_text
from mcf_bundle.errors import DataError
from mcf_bundle.run_record import describe_run, device_name

RUN_FILE = "run.json"
"""Name of the record."""


class RunFileHandler:
    """Record in run.json what a training is made with when it starts, and after each epoch how far it came.

    The file holds `{"runs": [...]}`, oldest first: what `describe_run` gives and `resumed_after_epoch`,
    `last_epoch` and `max_epochs`. A resumed training adds an entry. Attach it after `ResumeHandler`, so that
    the epoch is known and a refused training leaves no entry.

    Args:
        folder: where run.json goes.
        seed: seed of the training.
        device: where the network is.
    """

    def __init__(self, folder: str | Path, *, seed: int, device: torch.device) -> None:
        self.path = as_path(folder, "ckpt_dir") / RUN_FILE
        self.seed, self.device = seed, torch.device(device)
        self.earlier: list[Any] = []
        self.started, self.resumed_after = 0.0, 0

    def attach(self, engine: Engine) -> None:
        """Register with the trainer."""
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def start(self, engine: Engine) -> None:
        """Add an entry to those of the earlier starts.

        Raises:
            DataError: if the file that lies there is no record of trainings.
        """
        self.earlier = self._read()
        self.started, self.resumed_after = time.time(), engine.state.epoch
        self(engine)

    def __call__(self, engine: Engine) -> None:
        """Write how far the training came."""
        entry = {
            **describe_run(seed=self.seed, device=device_name(self.device), started=self.started),
            "resumed_after_epoch": self.resumed_after,
            "last_epoch": engine.state.epoch,
            "max_epochs": engine.state.max_epochs,
        }
        write_text(self.path, json.dumps({"runs": [*self.earlier, entry]}, indent=1) + "\n")

    def _read(self) -> list[Any]:
        if not self.path.exists():
            return []
        try:
            return list(json.loads(self.path.read_text(encoding="utf-8"))["runs"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            problem = f"is no record of trainings ({type(error).__name__})"
            raise DataError(self.path, problem, "move it away, or give another ckpt_dir") from error
