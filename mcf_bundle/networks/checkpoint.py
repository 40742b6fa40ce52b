"""Checkpoints: weights with what is needed to use them honestly, written atomically, read without code."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mcf_bundle.arguments import as_path, check_device
from mcf_bundle.atomic_file import unwritable, write_atomically
from mcf_bundle.errors import CheckpointError

FORMAT = 1
"""Version of the checkpoint's layout."""

_ZIP_MAGIC = b"PK\x03\x04"
"""By which torch.load, too, tells the files of today's torch.save from older ones."""


@dataclass(frozen=True)
class Checkpoint:
    """A network's weights and their story.

    Attributes:
        preset: name of the architecture.
        kind: what the network is: "denoiser", "classifier" or "gate".
        patients: hashes of the patients that the weights were trained on, see `hash_patient`.
        validation_patients: hashes of the patients on whom the epoch was chosen; empty in files from before
            they were stored.
        info: settings worth knowing (epoch, steps, data), plain values.
        record: versions and machine that made the weights, plain values; empty where nothing is known.
        weights: state_dict.
        sha256: hash of the file.
    """

    preset: str
    kind: str
    patients: frozenset[str]
    info: Mapping[str, Any] = field(default_factory=dict)
    weights: Mapping[str, Tensor] = field(default_factory=dict)
    sha256: str = ""
    validation_patients: frozenset[str] = frozenset()
    record: Mapping[str, Any] = field(default_factory=dict)


def hash_patient(patient: str) -> str:
    """Return the SHA-256 of a patient's name, hexadecimal; a checkpoint stores it instead of the name."""
    return hashlib.sha256(patient.encode()).hexdigest()


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save_atomically(content: Any, path: Path) -> None:
    """Save with torch so that a reader sees the old file or the new one; missing folders are made.

    Raises:
        DataError: if the file cannot be written.
    """
    buffer = io.BytesIO()
    torch.save(content, buffer)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(path.parent, error) from error
    write_atomically(path, buffer.getvalue())


def save_checkpoint(
    path: Path,
    weights: Mapping[str, Tensor],
    *,
    preset: str,
    kind: str,
    patients: Iterable[str],
    info: Mapping[str, Any],
    validation_patients: Iterable[str] = (),
    record: Mapping[str, Any] | None = None,
    start: Checkpoint | None = None,
    dtype: torch.dtype = torch.float16,
) -> None:
    """Write weights for use, without training state.

    Args:
        path: the file, e.g. models/model.pt.
        weights: state_dict; floating-point tensors are stored as `dtype`.
        preset: name of the architecture.
        kind: see `Checkpoint`.
        patients: names of the training patients; only their hashes are stored.
        info: plain values.
        validation_patients: names of the patients on whom the epoch was chosen, stored likewise.
        record: see `Checkpoint`.
        start: what the training started from; whom it has seen, the new file has seen too.
        dtype: float16 halves the file and costs 2e-4 of the output.
    """
    stored = {key: value.to(dtype) if value.is_floating_point() else value for key, value in weights.items()}
    trained_on, chosen_on = set(map(hash_patient, patients)), set(map(hash_patient, validation_patients))
    if start is not None:
        trained_on |= start.patients
        chosen_on |= start.validation_patients
    meta = {
        "format": FORMAT,
        "preset": preset,
        "kind": kind,
        "patients": sorted(trained_on),
        "validation_patients": sorted(chosen_on),
        "info": dict(info),
        "record": dict(record or {}),
    }
    save_atomically({"model": stored, "meta": meta}, path)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint; no code in the file is run.

    Raises:
        CheckpointError: if the file is missing, damaged, or not a checkpoint of this project.
    """
    if not path.is_file():
        raise CheckpointError(path, "no such checkpoint", "give the path of a model.pt, or train one first")
    content = read_tensors(path, remedy="download it again or use another checkpoint")
    meta = content.get("meta") if isinstance(content, dict) else None
    needed = {"format", "preset", "kind", "patients", "info"}
    if not isinstance(meta, dict) or not needed <= meta.keys() or not isinstance(content.get("model"), dict):
        problem = "is not a checkpoint of this project (no 'model' and 'meta')"
        raise CheckpointError(path, problem, "give a model.pt of a bundle")
    if meta["format"] != FORMAT:
        problem = f"has the layout {meta['format']!r}, this version reads {FORMAT}"
        raise CheckpointError(path, problem, "use the version of mcf_bundle that wrote it")
    people = [meta["patients"], meta.get("validation_patients", [])]
    lists = all(isinstance(names, list) and all(isinstance(name, str) for name in names) for names in people)
    if not lists or not isinstance(meta["info"], dict):
        problem = "has a damaged 'meta': patients, validation_patients or info"
        raise CheckpointError(path, problem, "download it again or use another checkpoint")
    return Checkpoint(
        meta["preset"],
        meta["kind"],
        frozenset(people[0]),
        meta["info"],
        content["model"],
        hash_file(path),
        frozenset(people[1]),
        meta.get("record", {}),
    )


def read_tensors(path: Path, *, remedy: str, allow_old: bool = False) -> Any:
    """Read a file of torch.save to the CPU; no code in it is run.

    Args:
        path: the file.
        remedy: the way out, for the message.
        allow_old: take also a file from before torch 1.6, which has no checksums, as some of torchvision's
            are.

    Raises:
        CheckpointError: it is missing, damaged, or holds more than tensors and plain values.
    """
    try:
        with path.open("rb") as file:
            has_sums = file.read(len(_ZIP_MAGIC)) == _ZIP_MAGIC
        if has_sums or not allow_old:
            check_sums(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types for damaged files
        problem = f"cannot be read ({type(error).__name__}): truncated, damaged, or not made by torch.save"
        raise CheckpointError(path, problem, remedy) from error


def check_sums(path: Path) -> None:
    """Compare each part of a file by torch.save with its checksum, which torch.load does not.

    torch.save compresses nothing, so a compressed part is a forgery that could unpack to any size.

    Raises:
        BadZipFile: a part is damaged or compressed, or the file is of another kind; OSError and others where
            it cannot be read at all.
    """
    with zipfile.ZipFile(path) as file:
        for part in file.infolist():
            if part.compress_type != zipfile.ZIP_STORED:
                raise zipfile.BadZipFile(part.filename)
        if (damaged := file.testzip()) is not None:
            raise zipfile.BadZipFile(damaged)


def load_network(
    network: nn.Module, path: Path, *, preset: str, kind: str, widened: bool = False
) -> Checkpoint:
    """Load a checkpoint's weights into a network, strictly.

    Args:
        network: the architecture; its weights are replaced.
        path: the file.
        preset: name of the architecture.
        kind: see `Checkpoint`.
        widened: whether the network may have further input channels, after the checkpoint's: they get the
            weight 0, so that it gives what the old network gave.

    Returns:
        The checkpoint, for its hash and its list of patients.

    Raises:
        CheckpointError: if the file cannot be read or belongs to another preset, kind or architecture.
    """
    checkpoint = read_checkpoint(path)
    if (checkpoint.kind, checkpoint.preset) != (kind, preset):
        problem = (
            f"holds a {checkpoint.kind} of preset {checkpoint.preset!r}, not a {kind} of preset {preset!r}"
        )
        remedy = f"give a checkpoint of a {kind}"
        if checkpoint.kind == kind:
            remedy = f"choose the settings that give {checkpoint.preset!r}, or another checkpoint"
        raise CheckpointError(path, problem, remedy)
    weights = _widen(checkpoint.weights, network) if widened else checkpoint.weights
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        remedy = "use weights of the same architecture"
        if kind == "denoiser":
            remedy += ", or the `neighbors` and `mask` that they were trained with"
        raise CheckpointError(path, f"does not fit the network ({first})", remedy) from error
    return checkpoint


def _widen(weights: Mapping[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Append zeros where the network's weights, (out, in, ...), have more inputs than the stored ones."""
    widened = dict(weights)
    for name, own in network.state_dict().items():
        stored = weights.get(name)
        if stored is None or stored.ndim < 2 or stored.shape[1] >= own.shape[1]:
            continue
        if (stored.shape[0], *stored.shape[2:]) == (own.shape[0], *own.shape[2:]):
            added = stored.new_zeros(len(stored), own.shape[1] - stored.shape[1], *stored.shape[2:])
            widened[name] = torch.cat([stored, added], dim=1)
    return widened


@dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """A network with its weights loaded, and the checkpoint that they came from."""

    network: nn.Module
    checkpoint: Checkpoint


def load_trained(
    network: nn.Module,
    ckpt: str | Path | None,
    *,
    preset: str,
    kind: str,
    device: torch.device,
    optional: bool = False,
) -> TrainedNetwork | None:
    """Load a checkpoint, freeze the network and move it to a device; errors as in `load_network`.

    Args:
        network: the architecture; its weights are replaced.
        ckpt: the file; None only for an `optional` network.
        preset: name of the architecture.
        kind: see `Checkpoint`.
        device: where the network goes.
        optional: whether the run can do without, as guidance of scale 0 does without its classifier.

    Returns:
        The network with its checkpoint; None for an optional one without a file.

    Raises:
        ArgumentError: if a file is needed and none is given.
    """
    check_device(device)
    if optional and ckpt is None:
        return None
    name = "ckpt" if kind == "denoiser" else f"{kind}_ckpt"
    checkpoint = load_network(network, as_path(ckpt, name), preset=preset, kind=kind)
    return TrainedNetwork(network.eval().requires_grad_(False).to(device), checkpoint)
