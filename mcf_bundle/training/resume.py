"""Exact resume: the whole training state after each epoch."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events

from mcf_bundle.arguments import as_path
from mcf_bundle.atomic_file import unwritable
from mcf_bundle.errors import CheckpointError
from mcf_bundle.networks.checkpoint import check_sums, hash_patient, save_atomically

logger = logging.getLogger(__name__)

STATE_FILE, PREVIOUS_FILE = "training_state.pt", "training_state_previous.pt"
"""Names of the file that a run goes on from, and of the one before, in case the first is damaged."""

PATIENTS, VALIDATION_PATIENTS = "patients", "validation_patients"
"""Parts of a run's identity that are lists of names; their hashes are stored."""


class ResumeHandler:
    """Write the whole training state after each epoch, and go on from it when it is there.

    Together with `EpochSeedHandler` a resumed run gives the same bytes as an undisturbed one at the same
    number of threads. Attach it after the validation, so that the state holds the validation's outcome.
    The state before the last one is kept, and the run goes on from there if the last one is damaged.

    Args:
        folder: where training_state.pt and training_state_previous.pt go.
        parts: objects with state_dict and load_state_dict, by name (network, optimizer, ema, ...).
        identity: what makes a run the same run (preset, kind, training and validation patients, ...), plain
            values; a state with other ones is refused, since going on would mix two runs. What it leaves out
            (learning rate, loss, batch size, crop) may change between two parts of a run.
        every: epochs between two writes.
    """

    def __init__(
        self, folder: str | Path, parts: Mapping[str, Any], identity: Mapping[str, Any], every: int = 1
    ) -> None:
        self.path = as_path(folder, "ckpt_dir") / STATE_FILE
        self.previous = self.path.with_name(PREVIOUS_FILE)
        self.whole = False  # whether the file at `path` is known to be good
        self.parts, self.every = dict(parts), every
        hashed = {
            name: sorted(map(hash_patient, identity.get(name, ())))
            for name in (PATIENTS, VALIDATION_PATIENTS)
        }
        self.identity = {**identity, **hashed}

    def attach(self, engine: Engine) -> None:
        """Register with the engine."""
        engine.add_event_handler(Events.STARTED, self.restore)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._save_when_due)

    def restore(self, engine: Engine) -> None:
        """Load the state, if there is one, and set the engine to its epoch.

        An engine that has trained before goes on with what it holds: a federated client is given averaged
        weights between two rounds, and the state would undo them.

        Raises:
            CheckpointError: if the file and the one before it are damaged, or it belongs to another run.
        """
        if engine.state.iteration:
            return
        found = self._newest()
        if found is None:
            return
        path, state = found
        # States from before the validation patients were stored are those of the same split.
        identity = {VALIDATION_PATIENTS: self.identity[VALIDATION_PATIENTS], **state["identity"]}
        for name, value in self.identity.items():
            if identity.get(name) != value:
                people = name in (PATIENTS, VALIDATION_PATIENTS)
                stored = "other ones" if people else repr(identity.get(name))
                problem = f"belongs to a run with {name}: {stored}"
                raise CheckpointError(path, problem, "give another ckpt_dir, or the settings of that run")
        try:
            for name, part in self.parts.items():
                # The learning rate is the config's, so that a run can go on with a smaller one.
                rates = [group["lr"] for group in getattr(part, "param_groups", ())]
                part.load_state_dict(state[name])
                for group, rate in zip(getattr(part, "param_groups", ()), rates, strict=True):
                    group["lr"] = rate
        except (RuntimeError, KeyError, ValueError) as error:
            problem = f"does not fit this run ({type(error).__name__})"
            raise CheckpointError(path, problem, "give another ckpt_dir, or delete the file") from error
        torch.set_rng_state(state["rng"])
        engine.state.epoch = state["epoch"]
        engine.state.iteration = state["epoch"] * engine.state.epoch_length
        logger.info("resumed from %s after epoch %d", path, state["epoch"])

    def _newest(self) -> tuple[Path, dict[str, Any]] | None:
        """Return the last state that is whole, and its file; None if no run was here."""
        damage: CheckpointError | None = None
        for path in (self.path, self.previous):
            if not path.exists():
                continue
            try:
                state = self._read(path)
            except CheckpointError as error:
                damage = damage or error
                continue
            if damage is not None:
                problem = f"{damage.where}: {damage.problem}"
                logger.warning("%s; going on from %s, after epoch %d", problem, path.name, state["epoch"])
            self.whole = path == self.path
            return path, state
        if damage is not None:
            raise damage
        return None

    def _read(self, path: Path) -> dict[str, Any]:
        remedy = "delete it to start anew"
        try:
            check_sums(path)
            state = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # torch raises many types for damaged files
            raise CheckpointError(path, "training state cannot be read", remedy) from error
        needed = {"identity", "epoch", "rng", *self.parts}
        if not isinstance(state, dict) or not needed <= state.keys():
            raise CheckpointError(path, "is no training state of this project", remedy)
        return state

    def _save_when_due(self, engine: Engine) -> None:
        if engine.state.epoch % self.every == 0 or engine.state.epoch == engine.state.max_epochs:
            self.save(engine)

    def save(self, engine: Engine) -> None:
        """Write the state; what was the last one becomes the one before, unless it is damaged.

        Raises:
            DataError: if it cannot be written; the one before is there then.
        """
        parts = {name: part.state_dict() for name, part in self.parts.items()}
        state = {"epoch": engine.state.epoch, "identity": self.identity, "rng": torch.get_rng_state()}
        if self.whole:
            try:
                self.path.replace(self.previous)
            except OSError as error:
                raise unwritable(self.path, error) from error
        self.whole = False
        save_atomically({**parts, **state}, self.path)
        self.whole = True
