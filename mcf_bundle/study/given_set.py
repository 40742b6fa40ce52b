"""Folders of synthetic slices from a generator of somebody else, one for each split of a study."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcf_bundle.arguments import as_path
from mcf_bundle.atomic_file import write_text
from mcf_bundle.bounded_file import read_json
from mcf_bundle.data.datalist import Datalist
from mcf_bundle.data.generated_case import MANIFEST_FILE, is_generated, read_origins
from mcf_bundle.data.splits import TRAIN
from mcf_bundle.errors import DataError, LeakageError
from mcf_bundle.networks.checkpoint import hash_file
from mcf_bundle.study.config import SPLIT_FIELD, SyntheticSet

GENERATOR_FILE = "generator.json"
"""File beside the images: which generator made them, and whom it knows."""

RECORD_FILE = "given.json"
"""What a study notes of a folder before it trains on it, in the run's own folder."""

_KEYS = ("name", "patients")
_FORM = 'write {"name": "...", "patients": ["...", ...]}, with everybody it was trained on or chosen on'


@dataclass(frozen=True)
class GivenSet:
    """What a folder holds.

    Attributes:
        folder: where it is.
        generator: name of what made the images.
        cases: names of the generated cases, ordered.
    """

    folder: Path
    generator: str
    cases: tuple[str, ...]


def folder_of_split(settings: SyntheticSet, split: str) -> Path:
    """Return where the images of a set of kind 'folder' are, for the split of a name."""
    return as_path(str(settings.path).replace(SPLIT_FIELD, split), "path")


def read_given_set(folder: Path, datalist: Datalist) -> GivenSet:
    """Read what a folder says of itself, and refuse it if anybody but a training patient has a part in it.

    The folder has a generation's layout: a folder for each generated case, and ``manifest.jsonl`` with at
    least `name`, `host` and `donor` a line, the last two with a `patient` each, whose pixels the image shows.
    `GENERATOR_FILE` stands beside them. Images are not opened, and nothing is written.

    Args:
        folder: of one split.
        datalist: who trains, validates and tests there.

    Raises:
        DataError: the folder, a file or a case is missing, or a file does not hold what it should.
        LeakageError: the generator knows, or an image shows, somebody who does not train.
    """
    if not folder.is_dir():
        problem = "no such folder: the generated cases of this split are expected there"
        raise DataError(folder, problem, "put them there, or correct the set's path")
    generator, known = _read_generator(folder / GENERATOR_FILE)
    splits = datalist.patient_splits()
    for patient in known:
        _refuse_unless_training(splits, patient, folder / GENERATOR_FILE, f"{generator} knows {patient}")
    manifest = folder / MANIFEST_FILE
    origins = read_origins(folder)
    cases = _case_folders(folder)
    if unlisted := [name for name in cases if name not in origins]:
        problem = f"does not tell whom {unlisted[0]} shows" if origins else "is missing, or empty"
        raise DataError(manifest, problem, "write a line with name, host and donor for each case")
    if missing := sorted(origins.keys() - set(cases)):
        problem = f"has no case {missing[0]}, which {MANIFEST_FILE} lists"
        raise DataError(folder, problem, "copy the whole folder again, or generate again")
    if not cases:
        raise DataError(folder, "holds no generated case, such as SYN_X_000000", "generate into it")
    for name in cases:
        for patient in origins[name]:
            _refuse_unless_training(splits, patient, manifest, f"{name} shows {patient}")
    return GivenSet(folder, generator, cases)


def record_given_set(given: GivenSet, output_dir: Path) -> None:
    """Note which images a study trains on.

    Raises:
        DataError: a file of the folder cannot be read, or the note cannot be written.
    """
    note = {
        "generator": given.generator,
        "folder": str(given.folder),
        "images": len(given.cases),
        "sha256": _digest(given),
    }
    write_text(output_dir / RECORD_FILE, json.dumps(note, indent=1) + "\n")


def refuse_changed(given: GivenSet, output_dir: Path) -> None:
    """Refuse a folder that is not the one that was noted: one arm would be trained on two sets.

    Raises:
        DataError: a file was changed since, or cannot be read.
    """
    note = output_dir / RECORD_FILE
    try:
        expected = dict(read_json(note))["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        problem = f"cannot be read ({type(error).__name__})"
        raise DataError(note, problem, "remove its folder, so that the run is made again") from error
    if _digest(given) != expected:
        problem = "was changed after the study had begun to train on it"
        raise DataError(given.folder, problem, "restore it, or begin a study in another output_dir")


def _read_generator(path: Path) -> tuple[str, list[str]]:
    """Return the generator's name, and those of the patients that it knows."""
    try:
        content: Any = read_json(path)
    except FileNotFoundError as error:
        raise DataError(path, "is missing: nobody can tell whom the generator knows", _FORM) from error
    except (OSError, ValueError) as error:
        raise DataError(path, f"cannot be read ({error})", _FORM) from error
    if not isinstance(content, dict) or (missing := [key for key in _KEYS if key not in content]):
        problem = f"lacks {', '.join(missing)}" if isinstance(content, dict) else "holds no JSON object"
        raise DataError(path, problem, _FORM)
    name, patients = (content[key] for key in _KEYS)
    if not isinstance(name, str) or not name:
        raise DataError(path, f"name: expected text, got {name!r}", _FORM)
    if not isinstance(patients, list) or not patients or not all(isinstance(p, str) and p for p in patients):
        raise DataError(path, "patients: expected a list of names that is not empty", _FORM)
    return name, patients


def _refuse_unless_training(splits: Mapping[str, str], patient: str, where: Path, fact: str) -> None:
    """Refuse a patient who does not train; without the name of a split, nobody there bears the name."""
    part = splits.get(patient)
    if part != TRAIN:
        who = "who takes no part in this split" if part is None else f"who belongs to the {part} set"
        remedy = "generate with training patients of this split alone, and by their names in the dataset"
        raise LeakageError(where, f"{fact}, {who}", remedy)


def _case_folders(folder: Path) -> tuple[str, ...]:
    """Return the names of the generated cases; refuse slices of anybody else."""
    try:
        found = sorted(path for path in folder.iterdir() if path.is_dir())
        strangers = [path for path in found if not is_generated(path.name) and any(path.glob("*.tif*"))]
    except OSError as error:
        raise _unreadable(folder, error) from error
    if strangers:
        problem = "is no generated case: its name is not SYN_<institution>_<six digits>"
        raise DataError(strangers[0], problem, "keep generated cases alone there, with such names")
    return tuple(path.name for path in found if is_generated(path.name))


def _digest(given: GivenSet) -> str:
    """Return the SHA-256 of all files that a training reads or a check has read."""
    named = [given.folder / name for name in (GENERATOR_FILE, MANIFEST_FILE)]
    total = hashlib.sha256()
    try:
        cases = [path for name in given.cases for path in sorted((given.folder / name).iterdir())]
        for path in [*named, *cases]:
            total.update(f"{path.relative_to(given.folder).as_posix()} {hash_file(path)}\n".encode())
    except OSError as error:
        raise _unreadable(given.folder, error) from error
    return total.hexdigest()


def _unreadable(folder: Path, error: OSError) -> DataError:
    problem = f"cannot be read ({error.strerror})"
    return DataError(error.filename or folder, problem, "check the folder and its permissions")
