"""The folder of a synthetic set: in the layout of a generation's output, there in full or not at all."""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcf_bundle.atomic_file import sync_folder, unwritable, write_atomically
from mcf_bundle.data.datalist import Datalist, to_json
from mcf_bundle.errors import DataError
from mcf_bundle.generation.output_folder import DATALIST_FILE, MANIFEST_FILE
from mcf_bundle.generation.run_output import NOTICE, with_generated
from mcf_bundle.generation.writer import case_files, case_name, write_case
from mcf_bundle.run_record import describe_code

logger = logging.getLogger(__name__)

SET_FILE = "set.json"
"""What a set is, and what made it; no generation has one."""


@dataclass(frozen=True)
class Recipe:
    """What decides every byte of a set's images.

    Attributes:
        kind: a name of `SET_KINDS`.
        seed: seed of what is drawn.
        plan_id: key of the generation's plan.
    """

    kind: str
    seed: int
    plan_id: str


@dataclass(frozen=True, eq=False)
class SetCase:
    """One image of a set, with its neighbors.

    Attributes:
        row: its number in the set, from 0.
        institution: code of the institution whose head it is.
        images: (3, 3, H, W), uint8, stored gray levels: previous, the image itself, next.
        masks: (3, H, W), bool, the tumor in each.
        origin: what the manifest says of it; `host` and `donor` with a `patient` each, whose pixels it shows.
    """

    row: int
    institution: str
    images: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    origin: Mapping[str, Any]


def holds_set(output_dir: Path, recipe: Recipe) -> bool:
    """Tell whether a folder holds the finished set of a recipe.

    Returns:
        False if the folder is missing or empty.

    Raises:
        DataError: it holds something else, another set included, or cannot be read.
    """
    try:
        if not output_dir.exists() or not any(output_dir.iterdir()):
            return False
        stored = dict(json.loads((output_dir / SET_FILE).read_text(encoding="utf-8"))["recipe"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        problem = f"is in the way: neither empty nor a finished set ({type(error).__name__})"
        raise DataError(output_dir, problem, "choose another output_dir; nothing was removed") from error
    if stored != vars(recipe):
        differing = [name for name, value in vars(recipe).items() if stored.get(name) != value]
        problem = f"holds another set: {differing[0]} is {stored.get(differing[0])!r}"
        raise DataError(output_dir, problem, "choose another output_dir, or remove the folder")
    return True


def write_set(
    output_dir: Path, recipe: Recipe, cases: Iterable[SetCase], datalist: Datalist, *, device: str
) -> None:
    """Write a set beside its place and move it there when it is whole.

    What an earlier attempt left unfinished is removed. Even there the manifest comes after the images, so
    that no reader knows whom they show.

    Args:
        output_dir: where the set goes; missing or empty.
        recipe: what is being made.
        cases: the images, made one by one.
        datalist: the generation's; its real slices are listed with the set's.
        device: where networks ran, for the record.

    Raises:
        DataError: the folder cannot be written.
    """
    started = time.time()
    partial = output_dir.with_name(f".{output_dir.name}.partial")
    try:
        if partial.exists():
            shutil.rmtree(partial)
        partial.mkdir(parents=True)
        records = [_write(partial, recipe, case) for case in cases]
        listed = to_json(with_generated(datalist, records))
        told = {
            "recipe": vars(recipe),
            "images": len(records),
            "notice": NOTICE,
            **describe_code(),
            "device": device,
            "duration_s": round(time.time() - started, 1),
        }
        contents = {
            DATALIST_FILE: listed,
            SET_FILE: json.dumps(told, indent=1) + "\n",
            MANIFEST_FILE: "".join(json.dumps(record) + "\n" for record in records),
        }
        for name, text in contents.items():
            write_atomically(partial / name, text.encode())
        if output_dir.exists():
            output_dir.rmdir()  # empty, as `holds_set` saw
        partial.rename(output_dir)
        sync_folder(output_dir.parent)
    except OSError as error:
        raise unwritable(output_dir, error) from error
    logger.info("%s: %d images in %s", recipe.kind, len(records), output_dir)


def _write(folder: Path, recipe: Recipe, case: SetCase) -> dict[str, Any]:
    """Write one image, and return its line of the manifest."""
    name = case_name(case.institution, case.row)
    hashes = write_case(folder, name, case.images, case.masks)
    _, image, _, _, mask, _ = (f"{name}/{file_name}" for file_name in case_files(name))
    return {
        "row": case.row,
        "name": name,
        "image": image,
        "label": mask,
        "kind": recipe.kind,
        **case.origin,
        "mask_pixels": int(case.masks[1].sum()),
        "sha256": hashes,
        "plan_id": recipe.plan_id,
        "notice": NOTICE,
    }
