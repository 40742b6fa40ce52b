"""Reader of the LGG layout: one folder a patient, one RGB TIFF and one mask TIFF a slice."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mcf_bundle.data.inner_path import refuse_outward_link
from mcf_bundle.data.tiff import read_tiff
from mcf_bundle.data.volume import Channel, Volume
from mcf_bundle.errors import DataError
from mcf_bundle.limits import MAX_PATIENTS, MAX_SLICES, MAX_VOXELS
from mcf_bundle.progress import progress_bar

SIZE_DIVISOR = 32
"""Sides of the slices are multiples of this: the networks halve them up to five times."""

_SLICE_NAME = re.compile(r"(?P<patient>.+)_(?P<number>\d+)(?P<mask>_mask)?\.tiff?", re.IGNORECASE)


@dataclass(frozen=True)
class SliceFiles:
    """The two files of a slice."""

    number: int
    image: Path
    mask: Path


@dataclass(frozen=True, eq=False)
class Cohort:
    """All patients of a dataset that could be read, ordered by name.

    Attributes:
        root: the folder that holds the patients' folders.
        volumes: one a patient.
        skipped: patients left out on request, with the reason.
    """

    root: Path
    volumes: tuple[Volume, ...]
    skipped: dict[str, str] = field(default_factory=dict)


def dataset_root(dataset_dir: Path) -> Path:
    """Return the folder whose children are patients: `dataset_dir` itself, or its child ``kaggle_3m``.

    Raises:
        DataError: if the folder is missing or neither holds a patient.
    """
    if not dataset_dir.is_dir():
        raise DataError(
            dataset_dir, "no such folder", "give the downloaded kaggle_3m folder or its parent as dataset_dir"
        )
    for candidate in (dataset_dir, dataset_dir / "kaggle_3m"):
        if candidate.is_dir() and any(_patient_folders(candidate)):
            return candidate
    raise DataError(
        dataset_dir,
        "holds no patient folders with <patient>_<slice>.tif files",
        "give the downloaded kaggle_3m folder or its parent as dataset_dir",
    )


def read_cohort(dataset_dir: Path, *, skip_bad_patients: bool = False) -> Cohort:
    """Read every patient of a dataset into memory.

    Args:
        dataset_dir: the folder of the patients' folders, or its parent.
        skip_bad_patients: leave patients with damaged files out instead of stopping at the first.

    Returns:
        The cohort; all volumes have the same height and width.

    Raises:
        DataError: for a missing or empty folder, more patients than `mcf_bundle.limits` has, or the first
            damaged patient; names the file.
    """
    root = dataset_root(dataset_dir)
    volumes: list[Volume] = []
    skipped: dict[str, str] = {}
    folders = {folder: names for folder in sorted(root.iterdir()) if (names := _patients_in(folder))}
    if len(folders) > MAX_PATIENTS:
        problem = f"holds {len(folders)} patients, {MAX_PATIENTS} are allowed"
        raise DataError(root, problem, "move some elsewhere: a dataset is held in memory as a whole")
    with progress_bar(len(folders), "reading") as bar:
        for folder, names in folders.items():
            bar.update()
            try:
                if folder.name not in names:
                    problem = f"its files are those of {min(names)}"
                    raise DataError(folder, problem, "name folder and files alike")
                volumes.append(read_volume(folder))
            except DataError as error:
                if not skip_bad_patients:
                    raise
                skipped[folder.name] = _relative(error, root)
    for volume in _of_other_size(volumes):
        wrong_size = _size_error(root / volume.patient, volume, volumes)
        if not skip_bad_patients:
            raise wrong_size
        volumes.remove(volume)
        skipped[volume.patient] = _relative(wrong_size, root)
    if not volumes:
        first = next(iter(skipped.values()))
        raise DataError(root, f"no patient could be read ({first})", "repair the files")
    return Cohort(root, tuple(volumes), skipped)


def join_cohorts(first: Cohort, second: Cohort) -> Cohort:
    """Return the patients of both cohorts, under the first one's root.

    Raises:
        DataError: if a patient stands in both, or their slices differ in size.
    """
    volumes = sorted([*first.volumes, *second.volumes], key=lambda volume: volume.patient)
    names = [volume.patient for volume in volumes]
    if twice := {name for name in names if names.count(name) > 1}:
        raise DataError(second.root, f"holds {min(twice)}, as {first.root} does", "give each patient once")
    if _of_other_size(volumes):
        raise DataError(second.root, f"has slices of another size than {first.root}", "resize one of them")
    return Cohort(first.root, tuple(volumes), {**first.skipped, **second.skipped})


def read_volume(folder: Path) -> Volume:
    """Read one patient's folder.

    Raises:
        DataError: for a missing or empty folder, an image without mask or the reverse, a gap or duplicate in
            the slice numbers, an unreadable TIFF, a wrong size, type or number of channels, a mask with
            values other than 0/255 or 0/1, more or larger slices than `mcf_bundle.limits` has, a link that
            leads out of the dataset's folder.
    """
    files = list_slices(folder)
    if not files:
        problem = f"holds no files {folder.name}_<slice>.tif"
        raise DataError(folder, problem, "name folder and files alike, or remove the folder")
    images: list[NDArray[np.uint8]] = []
    masks: list[NDArray[np.bool_]] = []
    for item in files:
        images.append(_read_image(item.image))
        masks.append(_read_mask(item.mask))
        height, width = images[0].shape[:2]
        if len(files) * height * width > MAX_VOXELS:
            problem = f"is {len(files)} slices of {height} x {width} pixels, {MAX_VOXELS} pixels are allowed"
            raise DataError(folder, problem, "resample the slices")
        for path, size in ((item.image, images[-1].shape[:2]), (item.mask, masks[-1].shape)):
            if size != (height, width):
                raise DataError(
                    path,
                    f"is {' x '.join(map(str, size))} pixels, the first slice {height} x {width}",
                    "replace the file, or leave the patient out with --skip_bad_patients True",
                )
    stack = np.ascontiguousarray(np.stack(images).transpose(0, 3, 1, 2))
    numbers = tuple(item.number for item in files)
    return Volume(folder.name, institution_of(folder.name), numbers, stack, np.stack(masks))


def institution_of(patient: str) -> str:
    """Return the code of the institution: the second part of names such as TCGA_CS_4941_19960909, else ''.

    A code has at most four letters or digits; a longer part could be a person's name and is not taken.
    """
    match = re.fullmatch(r"(?:TCGA|SYN)_([A-Z0-9]{1,4})_.+", patient)
    return match[1] if match else ""


def list_slices(folder: Path) -> list[SliceFiles]:
    """List a patient's slices by number, without reading pixels.

    Raises:
        DataError: for a missing folder, an image without mask or the reverse, a gap or a duplicate in the
            numbers, too many slices, a link that leads out of the folder of the patients.
    """
    if not folder.is_dir():
        raise DataError(folder, "no such folder", "give the folder of one patient")
    refuse_outward_link(folder, folder.parent)
    found: dict[bool, dict[int, Path]] = {False: {}, True: {}}
    for path in sorted(folder.iterdir()):
        match = _SLICE_NAME.fullmatch(path.name)
        if match is None or match["patient"] != folder.name:
            continue
        refuse_outward_link(path, folder.parent)
        of_kind = found[match["mask"] is not None]
        number = int(match["number"])
        if number in of_kind:
            raise DataError(
                path, f"slice {number} is there twice, also as {of_kind[number].name}", "remove one of them"
            )
        of_kind[number] = path
    images, masks = found[False], found[True]
    for number in sorted(images.keys() ^ masks.keys()):
        lone, partner = (images[number], "mask") if number in images else (masks[number], "image")
        raise DataError(lone, f"has no {partner} beside it", f"add the {partner} or remove this file")
    numbers = sorted(images)
    if len(numbers) > MAX_SLICES:
        raise DataError(folder, f"holds {len(numbers)} slices, {MAX_SLICES} are allowed", "resample them")
    for before, after in pairwise(numbers):
        if after != before + 1:
            raise DataError(
                folder,
                f"slice {before + 1} is missing between {images[before].name} and {images[after].name}",
                "add it, or leave the patient out with --skip_bad_patients True",
            )
    return [SliceFiles(number, images[number], masks[number]) for number in numbers]


def _relative(error: DataError, root: Path) -> str:
    """Return the message with paths relative to the dataset, since it goes into files that are passed on."""
    return str(error).replace(f"{root}{os.sep}", "")


def _patient_folders(root: Path) -> Iterator[Path]:
    return (folder for folder in sorted(root.iterdir()) if folder.name in _patients_in(folder))


def _patients_in(folder: Path) -> set[str]:
    """Return whose slices a folder holds, by the names of its files; empty if it is none."""
    names = os.listdir(folder) if folder.is_dir() else []
    return {match["patient"] for match in map(_SLICE_NAME.fullmatch, names) if match}


def _read_image(path: Path) -> NDArray[np.uint8]:
    image = read_tiff(path)
    got = " x ".join(map(str, image.shape))
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != len(Channel):
        raise DataError(
            path,
            f"expected height x width x {len(Channel)} in uint8, got {got} in {image.dtype}",
            "convert it to three 8-bit channels: pre-contrast, FLAIR, post-contrast",
        )
    if image.shape[0] % SIZE_DIVISOR or image.shape[1] % SIZE_DIVISOR or 0 in image.shape:
        raise DataError(
            path,
            f"is {image.shape[0]} x {image.shape[1]} pixels, sides must be multiples of {SIZE_DIVISOR}",
            "pad or resample the slices",
        )
    return image.astype(np.uint8, copy=False)


def _read_mask(path: Path) -> NDArray[np.bool_]:
    mask = read_tiff(path)
    if mask.ndim != 2:
        raise DataError(
            path, f"expected a mask of height x width, got {mask.ndim} dimensions", "store one channel"
        )
    values = np.unique(mask)
    if not (np.isin(values, (0, 255)).all() or np.isin(values, (0, 1)).all()):
        listed = ", ".join(map(str, values[:6]))
        raise DataError(
            path, f"a mask holds 0 and 255, or 0 and 1; found {listed}", "store the mask without resampling"
        )
    return mask != 0


def _common_size(volumes: Sequence[Volume]) -> tuple[int, ...]:
    """Return the most frequent height and width."""
    return Counter(volume.image.shape[2:] for volume in volumes).most_common(1)[0][0]


def _of_other_size(volumes: Sequence[Volume]) -> list[Volume]:
    return [volume for volume in volumes if volume.image.shape[2:] != _common_size(volumes)]


def _size_error(folder: Path, volume: Volume, volumes: Sequence[Volume]) -> DataError:
    here, there = (" x ".join(map(str, size)) for size in (volume.image.shape[2:], _common_size(volumes)))
    return DataError(
        folder,
        f"slices are {here} pixels, those of most patients {there}",
        "resample to one size, or leave the patient out with --skip_bad_patients True",
    )
