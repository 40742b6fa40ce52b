"""A training that keeps other jobs out of its folder."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from monai.engines import Trainer

from mcf_bundle.arguments import as_path
from mcf_bundle.folder_lock import claimed
from mcf_bundle.processes import in_first


def run_alone(trainer: Trainer, folder: str | Path) -> None:
    """Run a trainer to its end while no other job trains in the same folder.

    The processes that torchrun started are one job.

    Args:
        trainer: what is run.
        folder: where its checkpoints go; made if missing.

    Raises:
        BusyError: another job trains there.
        DataError: the folder cannot be written.
    """
    path = as_path(folder, "ckpt_dir")
    with ExitStack() as claim:
        in_first(lambda: claim.enter_context(claimed(path)))
        trainer.run()
