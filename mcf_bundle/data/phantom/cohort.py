"""Phantom cohort: seeded brain-like volumes with tumors, written in the layout of the LGG downloads.

No patient's pixels went into them. They stand in for data in demos and tests; results on them say nothing
about patients.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy import ndimage

from mcf_bundle.data.phantom.anatomy import REFERENCE_SIZE, HeadModel
from mcf_bundle.data.phantom.canvas import Canvas, draw_intensities
from mcf_bundle.data.phantom.head import draw_head
from mcf_bundle.data.phantom.lesion import bulge_of, draw_lesion, lesion_mask, lesion_offset, paint_lesion
from mcf_bundle.data.phantom.noise import smooth_noise
from mcf_bundle.data.phantom.tissue import paint_slice
from mcf_bundle.errors import ArgumentError, DataError
from mcf_bundle.progress import progress_bar

Array = NDArray[np.float32]

VERSION = 1
"""Goes up with every change of the pixels, so that an older cohort is not taken for today's."""

INSTITUTIONS = ("PA", "PB", "PC")
RECIPE_FILE = "phantom_cohort.json"
"""File of a cohort that names the arguments it was made with."""

_STREAMS = {"measures": 0, "anatomy": 1, "lesion": 2, "texture": 3, "scanner": 4}


@dataclass(frozen=True)
class Phantom:
    """One patient.

    Attributes:
        image: (S, 3, H, W) uint8, slices from inferior to superior; pre-contrast, FLAIR, post-contrast.
        mask: (S, H, W) bool, the FLAIR abnormality.
        labels: (S, H, W) uint8, the ``Tissue`` of each pixel as if there were no tumor.
        levels: (S,) float32, level of each slice, 0 at the jaw to 1 at the vertex.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    labels: NDArray[np.uint8]
    levels: Array


def phantom_volume(
    seed: int,
    *,
    size: int = REFERENCE_SIZE,
    slices: int | None = None,
    missing_post: bool = False,
    raised_background: bool = False,
) -> Phantom:
    """Make one patient.

    Args:
        seed: not negative; the same seed gives the same head and tumor at every size, up to resolution.
        size: rows and columns; a multiple of 32, at least 64.
        slices: number of slices, at least 12; drawn from 20 to 28 if None.
        missing_post: whether the post-contrast channel is a copy of FLAIR, as where the sequence is missing.
        raised_background: whether the pre-contrast background is 60 to 100 instead of black.

    Returns:
        The patient; its mask is never empty and never covers all slices.

    Raises:
        ArgumentError: ``seed``, ``size`` or ``slices`` is out of range.
    """
    _check_size(size)
    if seed < 0:
        raise ArgumentError("seed", f"expected 0 or more, got {seed}", "give another seed")
    if slices is not None and slices < 12:
        raise ArgumentError("slices", f"expected 12 or more, got {slices}", "ask for more slices")
    rng = {name: np.random.default_rng([seed, stream]) for name, stream in _STREAMS.items()}
    measures, scale = rng["measures"], size / REFERENCE_SIZE
    drawn = int(measures.integers(20, 29))
    slices = drawn if slices is None else slices
    levels = np.linspace(measures.uniform(0.05, 0.12), measures.uniform(0.95, 0.99), slices).astype(
        np.float32
    )
    head = draw_head(measures)
    lesion = draw_lesion(measures, slices)
    model = HeadModel(head, levels, size, rng["anatomy"], bulge_of(lesion, head.length / 2, slices))
    geometries = [model.slice_geometry(index) for index in range(slices)]
    room = np.stack([geometry.lesion_room for geometry in geometries])
    x, y = np.stack([g.x for g in geometries]), np.stack([g.y for g in geometries])
    offset = lesion_offset(lesion, x, y, levels, head.length / 2)
    mask = lesion_mask(lesion, x, offset, levels, room, scale, rng["lesion"])
    cell = 5.0 * scale
    grain = smooth_noise(rng["texture"], (3, slices, size, size), (0.25, 1.2, cell, cell))
    intensities = draw_intensities(measures)
    channels = np.empty((slices, 3, size, size), np.float32)
    labels = np.empty((slices, size, size), np.uint8)
    for index, geometry in enumerate(geometries):
        canvas = Canvas(intensities, size)
        paint_slice(canvas, geometry, head, grain[:, index], scale)
        paint_lesion(canvas.channels, mask[index], lesion, offset[index], grain[:, index], scale)
        channels[index], labels[index] = canvas.channels, canvas.labels
    image = _scan(channels, scale, rng["scanner"], raised_background)
    if missing_post:
        image[:, 2] = image[:, 1]
    return Phantom(image, mask, labels, levels)


def _scan(
    channels: Array, scale: float, rng: np.random.Generator, raised_background: bool
) -> NDArray[np.uint8]:
    """Turn relative intensities (S, 3, H, W) into gray levels: bias field, texture, noise, gain, 8 bits."""
    slices, _, size, _ = channels.shape
    gains = rng.uniform((52, 50, 52), (105, 108, 105))
    noise_level = rng.uniform(0.012, 0.04, 3)
    offset = rng.uniform(60, 100) if raised_background else 0.0
    cell = 110 * scale
    channels = ndimage.gaussian_filter(channels, (0, 0, 0.55, 0.55), truncate=3)
    for channel in range(3):
        tissue = channels[:, channel]
        bias = smooth_noise(rng, (slices, size, size), (slices / 2, cell, cell))
        tissue *= 1 + np.float32(0.05) * bias
        grain = rng.standard_normal((slices, size, size), dtype=np.float32)
        # A sum with the shifted neighbors correlates the noise as a reconstruction's interpolation does.
        grain = 0.8 * grain + 0.42 * np.roll(grain, 1, 2) + 0.42 * np.roll(grain, 1, 1)
        other = np.roll(grain, (5, 7), (1, 2))
        sigma = np.float32(noise_level[channel])
        tissue[:] = np.hypot(tissue + sigma * grain, sigma * other)
        tissue *= np.float32(gains[channel])
    channels[:, 0] += np.float32(offset)
    return np.clip(np.rint(channels), 0, 255).astype(np.uint8)


def write_phantom_cohort(
    output_dir: Path, patients: int, seed: int, *, size: int = REFERENCE_SIZE
) -> list[str]:
    """Write a cohort in the LGG layout.

    Patient ``k`` depends on ``seed``, ``k`` and ``size`` alone, and the same arguments give the same bytes.
    Every sixth patient lacks the post-contrast sequence; of every ten, the fourth has a pre-contrast
    background that is not black.

    Args:
        output_dir: folder to make; it appears when the cohort is complete.
        patients: number of patients, at least 1.
        seed: seed of the cohort, not negative.
        size: rows and columns of a slice; a multiple of 32, at least 64.

    Returns:
        Names of the patients, in the order of their numbers.

    Raises:
        ArgumentError: ``patients``, ``seed`` or ``size`` is out of range.
        DataError: ``output_dir`` holds anything but this very cohort.
    """
    if patients < 1:
        raise ArgumentError("patients", f"expected 1 or more, got {patients}", "ask for at least one patient")
    if seed < 0:
        raise ArgumentError("seed", f"expected 0 or more, got {seed}", "give another seed")
    _check_size(size)
    output_dir = Path(output_dir)
    names = [patient_name(number) for number in range(1, patients + 1)]
    recipe = {"patients": patients, "seed": seed, "size": size, "version": VERSION}
    if _is_finished(output_dir, recipe):
        return names
    output_dir.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{output_dir.name}-", dir=output_dir.parent))
    try:
        staging.chmod(0o755)
        with progress_bar(patients, "drawing") as bar:
            for number, name in enumerate(names, start=1):
                _write_patient(staging / name, _cohort_member(number, seed, size))
                bar.update()
        (staging / RECIPE_FILE).write_text(json.dumps(recipe, indent=4, sort_keys=True) + "\n")
        if output_dir.exists():
            output_dir.rmdir()
        staging.rename(output_dir)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return names


def patient_name(number: int) -> str:
    """Name patient ``number`` (from 1) as the LGG set does; no real institution has these codes.

    >>> patient_name(2)
    'TCGA_PB_0002_20200102'
    """
    code = INSTITUTIONS[(number - 1) % len(INSTITUTIONS)]
    month, day = divmod(number - 1, 28)
    return f"TCGA_{code}_{number:04d}_{2020 + month // 12}{month % 12 + 1:02d}{day + 1:02d}"


def _is_finished(output_dir: Path, recipe: dict[str, int]) -> bool:
    """Tell whether the folder holds this cohort; False where it is missing or empty."""
    if not output_dir.exists():
        return False
    if not output_dir.is_dir():
        raise DataError(output_dir, "expected a folder, found a file", "choose another output folder")
    found = output_dir / RECIPE_FILE
    if not found.exists():
        if any(output_dir.iterdir()):
            raise DataError(output_dir, "the folder holds other files", "choose a new output folder")
        return False
    try:
        written = json.loads(found.read_text())
    except (OSError, ValueError) as error:
        raise DataError(found, f"not readable ({error})", "delete the folder and write anew") from error
    if written != recipe:
        problem = f"the folder holds another phantom cohort ({written}, asked for {recipe})"
        raise DataError(output_dir, problem, "choose another output folder or delete this one")
    expected = {patient_name(number) for number in range(1, recipe["patients"] + 1)} | {RECIPE_FILE}
    if {path.name for path in output_dir.iterdir()} != expected:
        raise DataError(output_dir, "patients are missing or were added", "delete the folder and write anew")
    return True


def _cohort_member(number: int, seed: int, size: int) -> Phantom:
    """Make patient ``number`` of a cohort, with the peculiarities that its number brings."""
    return phantom_volume(
        int(np.random.SeedSequence([seed, number]).generate_state(1)[0]),
        size=size,
        missing_post=number % 6 == 0,
        raised_background=number % 10 == 4,
    )


def _write_patient(folder: Path, phantom: Phantom) -> None:
    folder.mkdir()
    for index, (image, mask) in enumerate(zip(phantom.image, phantom.mask, strict=True), start=1):
        stem = f"{folder.name}_{index}"
        _write_tif(folder / f"{stem}.tif", np.ascontiguousarray(np.moveaxis(image, 0, -1)))
        _write_tif(folder / f"{stem}_mask.tif", mask.astype(np.uint8) * 255)


def _write_tif(path: Path, pixels: NDArray[np.uint8]) -> None:
    photometric = "rgb" if pixels.ndim == 3 else "minisblack"
    tifffile.imwrite(
        path,
        pixels,
        photometric=photometric,
        compression="deflate",
        metadata=None,
        software=False,
        datetime=False,
    )


def _check_size(size: int) -> None:
    if size < 64 or size % 32:
        problem = f"expected a multiple of 32, at least 64, got {size}"
        raise ArgumentError("size", problem, "use 64, 128 or 256")
