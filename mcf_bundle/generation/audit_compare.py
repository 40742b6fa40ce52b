"""Compare slices with the training slices, as rows of the memorization table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mcf_bundle.generation.audit_digest import (
    MIRRORED,
    Extract,
    Heads,
    digest_heads,
    tumor_features,
    tumor_patches,
    tumor_windows,
)
from mcf_bundle.generation.audit_slices import AuditImage, AuditSlice
from mcf_bundle.metrics.memorization import cosine_similarity, masked_correlation
from mcf_bundle.metrics.memorization_table import HELD_OUT, MEMORIZATION_COLUMNS, SYNTHETIC
from mcf_bundle.metrics.memorization_views import (
    VIEWS,
    Patches,
    TumorWindows,
    correlate_over_views,
    join_patches,
)

ROW_TRANSFORM = "the row's transform"
"""What stands for the view where the donor is nearest as the row lays it over the host."""


class Nearest(NamedTuple):
    """What a synthetic tumor is most like.

    Attributes:
        place: position in `TrainingTumors.names`; None for the donor through the row's transform.
        view: how it was seen.
    """

    place: int | None
    view: int


@dataclass(frozen=True, eq=False)
class TrainingTumors:
    """The training tumors, in all views.

    Attributes:
        names: patient and number of each slice.
        windows: their surroundings.
        features: (2, G, D), as they are and mirrored.
    """

    names: list[tuple[str, int]]
    windows: TumorWindows
    features: NDArray[np.float32]

    @classmethod
    def of(cls, slices: Iterable[AuditSlice], extract: Extract) -> TrainingTumors:
        """Digest training slices that all have a tumor."""
        names: list[tuple[str, int]] = []

        def named() -> Iterable[AuditSlice]:
            for item in slices:
                names.append((item.patient, item.slice))
                yield item

        windows = tumor_windows(named())
        features = np.stack([tumor_features(windows.patches(view), extract) for view in MIRRORED])
        return cls(names, windows, features)


class Comparison:
    """Training slices to compare others with.

    Args:
        tumors: those with a tumor.
        heads: all of them.
        extract: the features of both.
    """

    def __init__(self, tumors: TrainingTumors, heads: Heads, extract: Extract) -> None:
        self.tumors, self.heads, self.extract = tumors, heads, extract
        mirrored = heads.thumbnails[..., ::-1]
        self._thumbnails = np.ascontiguousarray(np.concatenate([heads.thumbnails, mirrored]))

    def held_out_rows(self, slices: Sequence[AuditSlice]) -> list[dict[str, Any]]:
        """Return the rows of real slices of other patients, each with a tumor."""
        patches = tumor_patches(slices)
        rows = self._rows(slices, HELD_OUT)
        self._add_tumor(rows, *correlate_over_views(patches, self.tumors.windows))
        self._add_feature(rows, tumor_features(patches, self.extract))
        return rows

    def synthetic_rows(self, images: Sequence[AuditImage]) -> tuple[list[dict[str, Any]], list[Nearest]]:
        """Return the rows of generated images, and for each what its tumor is most like."""
        results = [image.result for image in images]
        patches, rows = tumor_patches(results), self._rows(results, SYNTHETIC)
        origins = [(i.composite, i.donor) for i in images if i.composite is not None and i.donor is not None]
        known = len(origins) == len(images)
        composites, donors = (
            (self._like(results, part) for part in zip(*origins, strict=True)) if known else (None, None)
        )
        queries = patches if composites is None else join_patches(patches, composites)
        correlation, views = correlate_over_views(queries, self.tumors.windows)
        count = len(images)
        nearest = self._add_tumor(rows, correlation[:count], views[:count])
        features = tumor_features(patches, self.extract)
        self._add_feature(rows, features)
        self._add_others(rows, correlation[:count])
        if composites is not None and donors is not None:
            donor_features = tumor_features(donors, self.extract)
            self._add_composite(rows, composites, donors, donor_features, correlation[count:])
            nearest = self._add_donor(rows, images, patches, donors, nearest)
            self._add_donor_feature(rows, images, features, donor_features)
        return rows, nearest

    def _like(self, slices: Sequence[AuditSlice], images: Sequence[NDArray[np.float32]]) -> Patches:
        """Sample other images of the same tumors, under the same masks."""
        return tumor_patches(replace(item, image=image) for item, image in zip(slices, images, strict=True))

    def _rows(self, slices: Sequence[AuditSlice], kind: str) -> list[dict[str, Any]]:
        """Return rows with what concerns whole slices."""
        heads = digest_heads(slices, self.extract)
        rows: list[dict[str, Any]] = []
        for item in slices:
            row: dict[str, Any] = {
                name: float("nan") if column.kind is float else None
                for name, column in MEMORIZATION_COLUMNS.items()
            }
            row |= {"case": item.name, "patient": item.patient, "slice": item.slice, "set": kind}
            row |= {"host": item.host, "mask_pixels": int(item.mask.sum()), "channels": sum(item.acquired)}
            rows.append(row)
        for region, weights, features, gallery in (
            ("outside", heads.outside, heads.outside_features, self.heads.outside_features),
            ("whole", heads.whole, heads.features, self.heads.features),
        ):
            correlation = masked_correlation(
                heads.thumbnails,
                weights,
                self._thumbnails,
                acquired=heads.acquired,
                gallery_acquired=np.concatenate([self.heads.acquired] * 2),
            )
            _add_nearest(rows, f"{region}_correlation", _both_sides(correlation), self.heads.names)
            _add_nearest(rows, f"{region}_feature", cosine_similarity(features, gallery), self.heads.names)
        return rows

    def _add_tumor(
        self, rows: list[dict[str, Any]], correlation: NDArray[np.float32], views: NDArray[np.intp]
    ) -> list[Nearest]:
        best = _add_nearest(rows, "tumor_correlation", correlation, self.tumors.names)
        nearest = [Nearest(int(index), int(views[place, index])) for place, index in enumerate(best)]
        for row, found in zip(rows, nearest, strict=True):
            row["tumor_correlation_view"] = str(VIEWS[found.view])
        return nearest

    def _add_others(self, rows: list[dict[str, Any]], correlation: NDArray[np.float32]) -> None:
        owners = np.array([patient for patient, _ in self.tumors.names])
        for row, values in zip(rows, correlation, strict=True):
            # A donor whom nobody here is named like cannot be told from the others.
            if row["patient"] in owners:
                row["tumor_correlation_others"] = _highest(values[owners != row["patient"]])

    def _add_feature(self, rows: list[dict[str, Any]], features: NDArray[np.float32]) -> None:
        _add_nearest(rows, "tumor_feature", self._similarity(features), self.tumors.names)

    def _similarity(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the cosine to each training tumor, the better one of as it is and mirrored, (N, G)."""
        return np.max([cosine_similarity(features, side) for side in self.tumors.features], axis=0)

    def _add_composite(
        self,
        rows: list[dict[str, Any]],
        composites: Patches,
        donors: Patches,
        donor_features: NDArray[np.float32],
        correlation: NDArray[np.float32],
    ) -> None:
        """Add what the composites are most like, the donor through the row's transform included."""
        of_donor = _pairwise(composites, donors)
        features = tumor_features(composites, self.extract)
        similarity = self._similarity(features)
        donor_similarity = cosine_similarity(features, donor_features).diagonal()
        for place, row in enumerate(rows):
            row["composite_donor_correlation"] = of_donor[place]
            row["composite_correlation"] = max(_highest(correlation[place]), of_donor[place])
            row["composite_feature"] = float(max(similarity[place].max(), donor_similarity[place]))

    def _add_donor(
        self,
        rows: list[dict[str, Any]],
        images: Sequence[AuditImage],
        patches: Patches,
        donors: Patches,
        nearest: list[Nearest],
    ) -> list[Nearest]:
        """Add the donor through the row's transform, which may be nearer than all views; return what is."""
        found = []
        for row, image, value, over_views in zip(
            rows, images, _pairwise(patches, donors), nearest, strict=True
        ):
            row["donor_correlation"] = value
            row["donor_drop"] = row["composite_donor_correlation"] - value
            is_nearest = value >= row["tumor_correlation"]
            if is_nearest:
                row["tumor_correlation_view"] = ROW_TRANSFORM
                row |= _named("tumor_correlation", value, row["patient"], image.donor_slice)
            found.append(Nearest(None, 0) if is_nearest else over_views)
        return found

    def _add_donor_feature(
        self,
        rows: list[dict[str, Any]],
        images: Sequence[AuditImage],
        features: NDArray[np.float32],
        donor_features: NDArray[np.float32],
    ) -> None:
        similarity = cosine_similarity(features, donor_features).diagonal()
        for row, image, value in zip(rows, images, similarity, strict=True):
            if value >= row["tumor_feature"]:
                row |= _named("tumor_feature", float(value), row["patient"], image.donor_slice)


def _pairwise(patches: Patches, others: Patches) -> list[float]:
    """Correlate each tumor with the other one of the same place, (N,)."""
    return [
        float(
            masked_correlation(
                patches.images[[i]], patches.weights[[i]], others.images[[i]], acquired=patches.acquired[[i]]
            )[0, 0]
        )
        for i in range(len(patches.images))
    ]


def _both_sides(similarity: NDArray[np.float32]) -> NDArray[np.float32]:
    """Take the better of a gallery's two halves, as they are and mirrored: (N, 2 G) -> (N, G)."""
    return similarity.reshape(len(similarity), 2, -1).max(1)


def _add_nearest(
    rows: Sequence[dict[str, Any]],
    column: str,
    similarity: NDArray[np.float32],
    names: Sequence[tuple[str, int]],
) -> NDArray[np.intp]:
    """Write the highest figure of each row and whose it is; return its position."""
    best = np.nan_to_num(similarity, nan=-np.inf).argmax(1)
    for row, values, index in zip(rows, similarity, best, strict=True):
        row |= _named(column, float(values[index]), *names[index])
    return best


def _named(column: str, value: float, patient: str, number: int) -> dict[str, Any]:
    """Return a figure and the slice that it belongs to, as columns."""
    return {column: value, f"{column}_patient": patient, f"{column}_slice": number}


def _highest(values: NDArray[np.float32]) -> float:
    return float(values.max()) if len(values) else float("nan")
