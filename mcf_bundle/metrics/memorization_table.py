"""The table of a memorization audit: one row an image, real held-out ones beside synthetic ones."""

from __future__ import annotations

from mcf_bundle.metrics.case_table import CASE_COLUMNS, Column

HELD_OUT, SYNTHETIC = "held-out", "synthetic"
"""Sets of a table: real tumor slices of validation patients, and generated ones."""

REGIONS = ("tumor", "outside", "whole")
"""Inside the mask; the head without the grown mask; the whole head."""

_WHERE = {
    "tumor": "inside the mask, over all views",
    "outside": "in the head without the grown mask, in place or mirrored",
    "whole": "in the whole head, in place or mirrored",
}


def _region_columns(region: str) -> dict[str, Column]:
    """Return the columns of one region: the nearest training slice by correlation and by features."""
    where = _WHERE[region]
    return {
        f"{region}_correlation": Column(float, f"highest correlation to a training slice {where}, -1 to 1"),
        f"{region}_correlation_patient": Column(str, "patient of that training slice"),
        f"{region}_correlation_slice": Column(int, "number of that training slice"),
        f"{region}_feature": Column(float, f"highest cosine of features to a training slice, {region}"),
        f"{region}_feature_patient": Column(str, "patient of that training slice"),
        f"{region}_feature_slice": Column(int, "number of that training slice"),
    }


MEMORIZATION_COLUMNS = {
    **CASE_COLUMNS,
    "patient": Column(str, "whose tumor it shows: of a synthetic image the donor; the unit of its intervals"),
    "set": Column(str, f"{HELD_OUT} (real, of a validation patient) or {SYNTHETIC}"),
    "host": Column(str, "whose head it shows; of a held-out slice the patient"),
    "mask_pixels": Column(int, "pixels of the mask"),
    "channels": Column(int, "channels that were acquired, the others are copies of FLAIR"),
    **_region_columns("tumor"),
    "tumor_correlation_view": Column(str, "how that training tumor was seen: a view, or the row's transform"),
    "tumor_correlation_others": Column(float, "tumor_correlation without the donor's own slices"),
    "donor_correlation": Column(float, "correlation to the donor through the row's transform, -1 to 1"),
    "composite_donor_correlation": Column(float, "the same of the composite, before the diffusion"),
    "donor_drop": Column(float, "composite_donor_correlation minus donor_correlation: what changed"),
    "composite_correlation": Column(float, "tumor_correlation of the composite"),
    "composite_feature": Column(float, "tumor_feature of the composite"),
    **_region_columns("outside"),
    **_region_columns("whole"),
}
"""Columns; what needs donor or composite is empty for held-out slices, and where the donor is not known."""
