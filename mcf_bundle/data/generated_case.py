"""Names of generated cases, and which of their slices counts as an image."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from mcf_bundle.errors import DataError

GENERATED_SLICE = 2
"""Number of the generated slice in its file name; 1 and 3 are its neighbors, as the network saw them."""

CASE_NAME = re.compile(r"SYN_(?P<institution>[A-Za-z0-9-]+)_(?P<row>\d{6,})")
"""Name of a generated case; the institution is the host's."""


def is_generated(patient: str) -> bool:
    """Tell whether a patient's name is that of a generated case."""
    return CASE_NAME.fullmatch(patient) is not None


def counted_slices(patient: str, slice_numbers: Sequence[int]) -> list[int]:
    """Return the positions of slices that count as images: all of a real patient, one of a generated case.

    Args:
        patient: name of the patient's folder.
        slice_numbers: number of each slice in its file name.

    >>> counted_slices("SYN_CS_000007", (1, 2, 3)), counted_slices("TCGA_CS_4941_19960909", (1, 2, 3))
    ([1], [0, 1, 2])
    """
    generated = is_generated(patient)
    return [i for i, number in enumerate(slice_numbers) if not generated or number == GENERATED_SLICE]


def read_origins(root: Path) -> dict[str, tuple[str, ...]]:
    """Return whose pixels each generated case of a folder shows: host and donor by name of the case.

    A checkpoint that is trained on generated cases has seen these patients too. A manifest with pseudonyms
    gives pseudonyms, which no later check can match: train such checkpoints from a run with full provenance.

    Args:
        root: a dataset's folder; without ``manifest.jsonl`` there are no generated cases with known origin.

    Raises:
        DataError: if the manifest cannot be read.
    """
    path = root / "manifest.jsonl"
    if not path.is_file():
        return {}
    try:
        records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return {item["name"]: (item["host"]["patient"], item["donor"]["patient"]) for item in records}
    except (OSError, ValueError, KeyError, TypeError) as error:
        problem = f"is not a manifest ({type(error).__name__})"
        raise DataError(path, problem, "generate the images again, or remove the file") from error
