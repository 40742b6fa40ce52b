"""Names of generated cases, and which of their slices counts as an image."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mcf_bundle.bounded_file import parse_json, read_lines
from mcf_bundle.errors import DataError

GENERATED_SLICE = 2
"""Number of the generated slice in its file name; 1 and 3 are its neighbors, as the network saw them."""

MANIFEST_FILE = "manifest.jsonl"
"""Name of the file with a line an image: what it was made from, and how."""

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
    gives pseudonyms, see `pseudonyms.real_names`.

    Args:
        root: a dataset's folder; without ``manifest.jsonl`` there are no generated cases with known origin.

    Raises:
        DataError: if the manifest cannot be read.
    """
    found: dict[str, tuple[str, ...]] = {}
    for name, record in read_manifest(root, "remove the file").items():
        found[name] = (record["host"]["patient"], record["donor"]["patient"])
    return found


def read_manifest(root: Path, otherwise: str) -> dict[str, dict[str, Any]]:
    """Return the lines of a folder's ``manifest.jsonl`` by name of the case, with host and donor checked.

    Args:
        root: a folder of generated cases; without the file there are none.
        otherwise: what else can be done than to generate the images again, for the message.

    Raises:
        DataError: if the file cannot be read, is no manifest, or names what is no generated case.
    """
    path = root / MANIFEST_FILE
    if not path.is_file():
        return {}
    try:
        records = [_checked(parse_json(line)) for line in read_lines(path)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        problem = f"is not a manifest ({type(error).__name__})"
        raise DataError(path, problem, f"generate the images again, or {otherwise}") from error
    return {record["name"]: record for record in records}


def _checked(record: Any) -> dict[str, Any]:
    for role in ("host", "donor"):
        if not isinstance(record[role]["patient"], str) or type(record[role].get("slice", 0)) is not int:
            raise TypeError(role)
    if CASE_NAME.fullmatch(record["name"]) is None:
        raise ValueError(record["name"])
    return record
