"""Plain words for the codes in which plan and manifest name figures and reasons."""

from __future__ import annotations

from collections.abc import Mapping

FIGURES: Mapping[str, str] = {
    "tumor_probability": "P(tumor) by the gate's classifier",
    "probability_rise": "rise of P(tumor) over the host's",
    "mask_in_brain": "share of the mask in the brain",
    "flair_contrast": "FLAIR contrast to the tissue around",
    "flair_rim": "FLAIR step at the tumor's edge",
    "pre_rim": "pre-contrast step at the tumor's edge",
    "post_rim": "post-contrast step at the tumor's edge",
    "nearest_correlation": "likeness to the nearest training slice",
    "change_outside": "change outside the grown mask",
}
"""The gate's figures; those of the contrast also judge a pair's composite."""

REASONS: Mapping[str, str] = {
    "patient": "host and donor are one patient",
    "missing": "other sequences are missing",
    "level": "levels differ too much",
    "empty": "a slice without tumor or brain",
    "scale": "brains differ too much in size",
    "outside": "tumor outside the frame",
    "brain": "tumor reaches beyond the brain",
    "neighbor": "tumor reaches beyond a neighbor's brain",
    "midline": "other share across the midline",
    "csf": "over fluid, bone or air",
    "bright": "over fat, scalp or a lesion",
    "skull": "too near the edge of the head",
}
"""Reasons of `placement_rules.Reason` to refuse a pair."""

_WORDS = {**FIGURES, **REASONS}


def in_words(code: str) -> str:
    """Return the words for a figure or a reason; any other text is its own.

    >>> in_words("csf"), in_words("accepted")
    ('over fluid, bone or air', 'accepted')
    """
    return _WORDS.get(code, code)
