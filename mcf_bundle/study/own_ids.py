"""Ids that the config of a study must not override, since the arms have to differ in nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mcf_bundle.errors import ArgumentError

_ALWAYS_SET = ("dataset_dir", "datalist", "split_seed", "resume", "main_process")
_SET_BY_THE_STUDY: Mapping[str, frozenset[str]] = {
    "model": frozenset(
        {
            *_ALWAYS_SET,
            *("ckpt_dir", "seed", "fold", "folds", "patience", "ckpt", "output_dir", "split", "resamples"),
            *("augmentation", "tumor_share", "synthetic_share", "synthetic_dir", "first_epoch"),
        }
    ),
    "network": frozenset({*_ALWAYS_SET, "ckpt_dir", "synthetic_dir", "kind"}),
    "inference": frozenset({*_ALWAYS_SET, "output_dir", "provenance", "overwrite", "dry_run"}),
}
"""Ids that the study sets itself, by what is run."""

_REFUSED: Mapping[str, str] = {
    "pretrained": "weights from elsewhere may know patients of the test set, and no list says whom they know",
    "init_ckpt": "a generator of a study knows the training patients of its fold alone",
}
"""Ids that no run of a study may have, with the reason."""

_SEPARATOR = re.compile("#|::")


def parts_of(key: str) -> list[str]:
    """Return the ids that a key goes through, from the outermost.

    >>> parts_of("+generation#split_seed")
    ['generation', 'split_seed']
    """
    return _SEPARATOR.split(key.lstrip("+"))


def check_overrides_of(name: str, overrides: Any, kind: str) -> None:
    """Refuse overrides of what a study keeps to itself, at any depth of the config.

    Args:
        name: where the overrides stand, for the message.
        overrides: values by id.
        kind: what is run with them: ``model``, ``network`` (of a generator) or ``inference``.

    Raises:
        ArgumentError: no mapping came, or an id is the study's own; names it.
    """
    if not isinstance(overrides, Mapping):
        raise ArgumentError(name, f"expected ids with their values, got {overrides!r}", "write {id: value}")
    for key in overrides:
        for part in parts_of(key):
            if part in _REFUSED:
                raise ArgumentError(f"{name}.{key}", _REFUSED[part], "leave it out")
            if part in _SET_BY_THE_STUDY[kind]:
                raise ArgumentError(f"{name}.{key}", "is what the study sets itself", "leave it out")
