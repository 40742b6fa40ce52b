"""Patients' names in what a run writes: as they are, or as keyed hashes."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path

from mcf_bundle.data.generated_case import is_generated
from mcf_bundle.errors import ArgumentError, DataError

FULL, PSEUDONYMOUS = "full", "pseudonymous"
KEY_VARIABLE = "MCF_PROVENANCE_KEY"
"""Environment variable with the key; without it one is drawn once and kept in the user's config folder."""

MIN_KEY_BYTES = 16
"""Shorter keys can be guessed."""

_PSEUDONYM = re.compile("P[0-9a-f]{16}")
_PUBLIC_NAME = re.compile(r"TCGA_[A-Z]{2}_[A-Z0-9]{4}_\d{8}")

Naming = Callable[[str], str]


def make_naming(provenance: str, patients: Sequence[str]) -> tuple[str, Naming]:
    """Return the kind of provenance in force, and the function from a patient's name to what is written.

    Args:
        provenance: "full", "pseudonymous", or "auto": full if all real patients have public TCGA names, as in
            the LGG set; generated cases beside them count for nothing.
        patients: names of all patients of the dataset.

    Returns:
        The kind, and the function. That of pseudonyms raises DataError at its first use if no key can be
        kept, and ArgumentError if the one in the environment is too short.

    Raises:
        ArgumentError: for another kind.
    """
    if provenance == "auto":
        real = [patient for patient in patients if not is_generated(patient)]
        public = all(_PUBLIC_NAME.fullmatch(patient) for patient in real)
        provenance = FULL if real and public else PSEUDONYMOUS
    if provenance == FULL:
        return FULL, str
    if provenance != PSEUDONYMOUS:
        problem = f"{provenance!r} does not exist"
        raise ArgumentError("provenance", problem, f"choose {FULL}, {PSEUDONYMOUS} or auto")

    @cache
    def name(patient: str) -> str:
        return _pseudonym(patient, _read_key())

    return PSEUDONYMOUS, name


def is_pseudonym(name: str) -> bool:
    """Tell whether a name is written as pseudonyms are.

    >>> is_pseudonym("P0123456789abcdef"), is_pseudonym("TCGA_CS_4941_19960909")
    (True, False)
    """
    return _PSEUDONYM.fullmatch(name) is not None


def real_names(written: Iterable[str], patients: Iterable[str]) -> dict[str, str]:
    """Return the names behind pseudonyms, as far as the key that is at hand tells; no key is drawn.

    Args:
        written: names as a run wrote them, pseudonyms or not.
        patients: who may be behind them.

    Returns:
        A patient by pseudonym. Pseudonyms of other patients, or by another key, are missing.

    Raises:
        ArgumentError: the key in the environment can be guessed.
        DataError: the kept key cannot be read.
    """
    wanted = {name for name in written if is_pseudonym(name)}
    if not wanted or not (os.environ.get(KEY_VARIABLE) or _key_path().exists()):
        return {}
    key = _read_key()
    return {pseudonym: name for name in patients if (pseudonym := _pseudonym(name, key)) in wanted}


def _pseudonym(patient: str, key: bytes) -> str:
    return "P" + hmac.new(key, patient.encode(), hashlib.sha256).hexdigest()[:16]


def _key_path() -> Path:
    base = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return base / "mcf_bundle" / "provenance.key"


def _read_key() -> bytes:
    """Return the key: the same on every run of one user, unknown to who reads the output."""
    if given := os.environ.get(KEY_VARIABLE):
        if len(given.encode()) < MIN_KEY_BYTES:
            problem = f"is shorter than {MIN_KEY_BYTES} bytes, so it can be guessed"
            raise ArgumentError(
                KEY_VARIABLE, problem, "choose a longer one, such as `openssl rand -hex 32` gives"
            )
        return given.encode()
    path = _key_path()
    try:
        if not path.exists():
            _draw_key(path)
        key = path.read_bytes()
    except OSError as error:
        problem = f"the key of the pseudonyms cannot be kept there ({error.strerror})"
        raise DataError(path, problem, f"set {KEY_VARIABLE} to a secret of your own") from error
    if len(key) < MIN_KEY_BYTES:
        raise DataError(path, "is too short for a key", "delete it, or set " + KEY_VARIABLE)
    return key


def _draw_key(path: Path) -> None:
    """Write a new key; where another process is faster, its key stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(secrets.token_hex(32))
    with contextlib.suppress(FileExistsError):
        os.link(partial, path)
    partial.unlink()
