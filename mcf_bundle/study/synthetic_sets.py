"""Synthetic sets that a generation is compared with, each made from that generation and its patients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from mcf_bundle.arguments import as_path, check_seed
from mcf_bundle.errors import ArgumentError
from mcf_bundle.generation.finished_run import read_run
from mcf_bundle.generation.finished_source import FinishedSource, read_finished_source
from mcf_bundle.study.set_carve_mix import carve_mix
from mcf_bundle.study.set_folder import Recipe, SetCase, holds_set, write_set
from mcf_bundle.study.set_noised_real import NetworkFiles, noised_real
from mcf_bundle.study.set_rows import composites, shuffled_masks, unmodified_hosts

_Make = Callable[[FinishedSource, int, NetworkFiles], Iterator[SetCase]]

_MAKERS: dict[str, _Make] = {
    "composites": lambda finished, *_: composites(finished),
    "shuffled_masks": lambda finished, seed, _: shuffled_masks(finished, seed),
    "unmodified_hosts": lambda finished, *_: unmodified_hosts(finished),
    "carve_mix": lambda finished, seed, _: carve_mix(finished, seed),
    "noised_real": lambda finished, _, files: noised_real(finished, files),
}

SET_KINDS = tuple(_MAKERS)
"""Kinds of sets that are made from a finished generation."""


def make_set(
    kind: str,
    generation_dir: str | Path,
    dataset_dir: str | Path,
    output_dir: str | Path,
    *,
    seed: int = 0,
    files: NetworkFiles | None = None,
    skip_bad_patients: bool = False,
) -> None:
    """Make a synthetic set from a finished generation, in the layout of a generation's output.

    The set has as many images as the generation, of the same training patients, and its manifest tells whom
    each shows, so that `TrainingData` takes it as `synthetic_dir` and refuses it where one of them is
    validated or tested on. The folder is there in full or not at all; a set that is there is not made again.

    Args:
        kind: one of `SET_KINDS`.
        generation_dir: output folder of the generation; only read.
        dataset_dir: the dataset that it was made from.
        output_dir: where the set goes; a new or empty folder.
        seed: of what is drawn: which masks are exchanged, what is mixed.
        files: the generation's checkpoints, for `noised_real`.
        skip_bad_patients: as in the generation.

    Raises:
        ArgumentError: the kind does not exist, the seed is none, or a checkpoint is needed and not given.
        CheckpointError: a checkpoint is another one than the generation's.
        DataError: the generation is not finished or has no images, the dataset is another one, or the output
            folder holds something else or cannot be written.
        LeakageError: the split in the generation's folder was changed.
    """
    if kind not in _MAKERS:
        raise ArgumentError("kind", f"{kind!r} does not exist", f"choose one of {', '.join(SET_KINDS)}")
    check_seed("seed", seed)
    folder = as_path(output_dir, "output_dir")
    generation = as_path(generation_dir, "generation_dir")
    recipe = Recipe(kind, seed, read_run(generation).plan.plan_id)
    if holds_set(folder, recipe):
        return
    finished = read_finished_source(
        as_path(dataset_dir, "dataset_dir"), generation, skip_bad_patients=skip_bad_patients
    )
    files = files or NetworkFiles()
    cases = _MAKERS[kind](finished, seed, files)
    write_set(folder, recipe, cases, finished.source.datalist, device=files.device)
