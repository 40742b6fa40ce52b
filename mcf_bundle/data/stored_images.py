"""Stored pictures and volumes as the networks of slices see them, as MONAI dict transforms."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import torch
from monai.config import KeysCollection, PathLike
from monai.data import ImageWriter, MetaTensor, NibabelWriter
from monai.transforms import InvertibleTransform, MapTransform, Orientation, SaveImage
from numpy.typing import NDArray
from torch import Tensor

from mcf_bundle.arguments import as_path
from mcf_bundle.data.inner_path import refuse_outward_link
from mcf_bundle.data.normalization import estimate_intensity_scale
from mcf_bundle.data.triplet_dataset import to_network_range
from mcf_bundle.errors import DataError

PICTURES, VOLUMES = (".tif", ".tiff", ".png"), (".nii", ".nii.gz")
"""Ends of the names of files that are read, slices and volumes."""

AXES = "PLS"
"""Directions of the axes of a stack of slices: rows to the back, columns to the patient's left, slices up."""

SEQUENCES = 3
PICTURE_AXES = 3
"""Axes of a picture with its channels; a volume has one more."""


def find_images(folder: str | Path) -> list[dict[str, str]]:
    """Return the images below a folder as MONAI's data items, by name; masks (``*_mask.*``) are left out.

    Raises:
        DataError: there is no such folder, no image in it, or one is a link that leads out of it.
    """
    root = as_path(folder, "dataset_dir")
    if not root.is_dir():
        raise DataError(root, "no such folder", "give the folder of the images as --dataset_dir")
    found = [path for path in sorted(root.rglob("*")) if path.name.endswith((*PICTURES, *VOLUMES))]
    images = [path for path in found if not path.name.split(".")[0].endswith("_mask")]
    if not images:
        problem = f"holds no image ({', '.join((*PICTURES, *VOLUMES))})"
        raise DataError(root, problem, "give a folder that does")
    for path in images:
        refuse_outward_link(path, root)
    return [{"image": str(path)} for path in images]


class OrientSlicesd(MapTransform, InvertibleTransform):
    """Turn stored images so that their slices lie as in training; a volume's last axis counts its slices.

    A volume is turned by its affine to `AXES`. A picture has none: MONAI reads its columns as the first axis,
    and they become the second.

    Args:
        keys: images (C, H, W[, D]); a 2D one is a picture.
    """

    def __init__(self, keys: KeysCollection, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.volumes = Orientation(AXES, labels=None)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Turn the images."""
        return self._apply(data, self.volumes)

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Turn them, or predictions with their history, back."""
        return self._apply(data, self.volumes.inverse)

    def _apply(self, data: Mapping[Hashable, Any], turn: Callable[[Any], Any]) -> dict[Hashable, Any]:
        changed = dict(data)
        for key in self.key_iterator(changed):
            image = changed[key]
            changed[key] = image.transpose(1, 2) if image.ndim == PICTURE_AXES else turn(image)
        return changed


class NormalizeVolumed(MapTransform):
    """Bring an image to the networks' range, background -1 and bright tissue 1, by its own histogram.

    The scale is one of the whole image and channel, by `estimate_intensity_scale`. So a volume is scaled as
    in training; a slice that comes alone is scaled by itself, for there is nothing else. An image of one
    sequence is taken for FLAIR and stands in all three channels, as it does in LGG for sequences that lack.

    Args:
        keys: images (C, H, W[, D]), C = 1 or 3, pre-contrast T1, FLAIR, post-contrast T1; any scale.

    Raises:
        DataError: an image has another number of channels, or values that are not finite.
    """

    def __init__(self, keys: KeysCollection, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the image as (3, H, W[, D]) float32, its metadata kept."""
        changed = dict(data)
        for key in self.key_iterator(changed):
            image = changed[key]
            where = getattr(image, "meta", {}).get("filename_or_obj", str(key))
            values = torch.from_numpy(normalize_volume(image.cpu().numpy(), where))
            values = values.to(image.device)
            changed[key] = MetaTensor(values, meta=image.meta, applied_operations=image.applied_operations)
        return changed


def normalize_volume(image: NDArray[Any], where: str | Path) -> NDArray[np.float32]:
    """Normalize an image, (1 or 3, H, W[, D]) of any scale, to (3, H, W[, D]) float32, network range.

    Whole numbers from 0 to 255 are gray levels as they are; the scale of anything else is estimated on 256
    levels between smallest and largest value.

    Args:
        image: the image.
        where: its file, for the message.

    Raises:
        DataError: see `NormalizeVolumed`.
    """
    if image.shape[0] not in (1, SEQUENCES):
        problem = (
            f"has {image.shape[0]} channels, expected 1 (FLAIR) or 3 (pre-contrast T1, FLAIR, post-contrast)"
        )
        raise DataError(where, problem, "give an image with these sequences")
    if not np.isfinite(image).all():
        raise DataError(where, "holds values that are not finite", "replace them by the background")
    channels = np.broadcast_to(image, (SEQUENCES, *image.shape[1:])).astype(np.float32)
    levels = np.stack([_gray_levels(channel) for channel in channels])
    stack = levels[..., None] if levels.ndim == 3 else levels
    slices_first = np.moveaxis(stack, -1, 0)
    scale = estimate_intensity_scale(np.rint(slices_first).astype(np.uint8))
    normalized = np.moveaxis(scale.normalize(slices_first), 0, -1)
    return np.ascontiguousarray(to_network_range(normalized.reshape(levels.shape)))


def _gray_levels(channel: NDArray[np.float32]) -> NDArray[np.float32]:
    low, high = float(channel.min()), float(channel.max())
    if low >= 0 and high <= 255 and np.array_equal(channel, np.rint(channel)):
        return channel
    if high == low:
        return np.zeros_like(channel)
    return (channel - np.float32(low)) * np.float32(255 / (high - low))


class GridWriter(NibabelWriter):
    """MONAI's writer, whose NIfTI files say no other grid in their qform than in their sform.

    MONAI 1.6.1 writes both codes always, and a qform can hold no shear; a viewer that reads it would show a
    sheared grid's mask beside the image. There the qform is left unset. Units are mm.
    """

    def write(self, filename: PathLike, verbose: bool = False, **obj_kwargs: Any) -> None:
        """Write the file."""
        ImageWriter.write(self, filename, verbose=verbose)
        image = self.create_backend_obj(
            self.data_obj, affine=self.affine, dtype=self.output_dtype, **obj_kwargs
        )
        image.header.set_xyzt_units("mm")
        image.set_sform(image.affine, code="scanner")
        image.set_qform(image.affine, code="scanner", strip_shears=True)
        if not np.allclose(image.get_qform(), image.affine, atol=1e-4):
            image.set_qform(None, code="unknown")
        nibabel.save(image, filename)


class SaveMaskd(MapTransform):
    """Save masks with MONAI's SaveImage: a picture's as .png of 0 and 255, a volume's as .nii.gz of 0 and 1.

    Args:
        keys: masks (1, H, W[, D]) with the metadata of their image.
        output_dir: where `<image>_<postfix>` goes.
        postfix: end of the name.
    """

    def __init__(self, keys: KeysCollection, output_dir: str | Path, postfix: str = "mask") -> None:
        super().__init__(keys)
        folder = as_path(output_dir, "output_dir")
        settings: dict[str, Any] = {
            "output_dir": folder,
            "output_postfix": postfix,
            "output_dtype": np.uint8,
            "separate_folder": False,
            "resample": False,
            "print_log": False,
        }
        self.volumes = SaveImage(output_ext=".nii.gz", writer=GridWriter, **settings)
        self.pictures = SaveImage(output_ext=".png", **settings)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Save and return the data as they came."""
        for key in self.key_iterator(dict(data)):
            mask: Tensor = data[key]
            if mask.ndim == PICTURE_AXES:
                self.pictures(mask * 255)
            else:
                self.volumes(mask)
        return dict(data)
