"""What the MONAI model zoo asks of a bundle, by MONAI's own functions and without network.

The zoo's checks call `verify_metadata`, `verify_net_in_out` and `ckpt_export` with exactly the arguments used
here, and keep lists of bundles that are excused; none is excused here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigWorkflow, ckpt_export, verify_metadata, verify_net_in_out

from tests.bundles.config_rules import not_pretty

LARGEST_FILE = 25_000_000
"""Bytes; the zoo keeps what is larger elsewhere and lists it in large_files.yml."""

_TENSOR = {
    "type": "object",
    "required": ["type", "format", "num_channels", "spatial_shape", "dtype", "value_range"],
    "properties": {
        **{key: {"type": "string"} for key in ("type", "format", "dtype")},
        "num_channels": {"type": "integer"},
        "spatial_shape": {"type": "array", "items": {"type": ["string", "integer"]}},
        "value_range": {"type": "array", "items": {"type": "number"}},
        "is_patch_data": {"type": "boolean"},
        "channel_def": {
            "type": "object",
            "patternProperties": {"^[0-9]+$": {}},
            "additionalProperties": False,
        },
    },
}
_TENSORS = {"type": "object", "minProperties": 1, "additionalProperties": _TENSOR}
_TEXTS = (
    *("schema", "version", "monai_version", "pytorch_version", "numpy_version"),
    *("task", "description", "authors", "copyright"),
)
_OPTIONAL_TEXTS = (
    *("data_source", "data_type", "image_classes", "label_classes", "pred_classes", "intended_use", "name"),
)
_OBJECTS = ("required_packages_version", "changelog", "eval_metrics", "supported_apps")

SCHEMA = {
    "type": "object",
    "required": [*_TEXTS, "required_packages_version", "network_data_format", "changelog", "name"],
    "properties": {
        **{key: {"type": "string"} for key in (*_TEXTS, *_OPTIONAL_TEXTS)},
        **{key: {"type": "object"} for key in _OBJECTS},
        "references": {"type": "array", "items": {"type": "string"}},
    },
    "patternProperties": {
        "^[_a-zA-Z0-9]+_data_format$": {
            "type": "object",
            "required": ["inputs", "outputs"],
            "properties": {"inputs": _TENSORS, "outputs": _TENSORS, "post_processed_outputs": _TENSORS},
        }
    },
}
"""The rules of the zoo's meta_schema_20240725.json, and what its other checks read.

Stricter than that file: all inputs and outputs are tensors, channel_def counts in integers, and there are
changelog and name.
"""


def folder_problems(bundle: Path) -> list[str]:
    """What lacks, is too large or has another format in a bundle's folder."""
    needed = (
        "LICENSE",
        "configs/metadata.json",
        "configs/inference.json",
        "models/model.pt",
        "docs/README.md",
    )
    found = [f"lacks {name}" for name in needed if not (bundle / name).is_file()]
    for path in sorted(path for path in bundle.rglob("*") if path.is_file()):
        name = path.relative_to(bundle).as_posix()
        if path.stat().st_size > LARGEST_FILE:
            found.append(f"{name} is over 25 MB")
        if path.stem == "large_files":
            found.append(f"{name} names files that are not in the bundle")
        if path.suffix == ".json" and not_pretty(path.read_text()):
            found.append(f"{name} is not formatted as pretty-format-json does with 4 spaces")
    return found


def check_metadata(metadata: Path, scratch: Path) -> None:
    """Verify metadata.json against `SCHEMA`, which lies where MONAI would have put the downloaded one.

    Raises:
        ValueError: by MONAI, names the field.
    """
    schema = scratch / "schema.json"
    schema.write_text(json.dumps(SCHEMA))
    verify_metadata(meta_file=str(metadata), filepath=str(schema))


def check_network(bundle: Path, **override: Any) -> None:
    """Call the network with one image of metadata's shape; MONAI raises what does not fit."""
    verify_net_in_out(
        net_id="network_def",
        meta_file=str(bundle / "configs/metadata.json"),
        config_file=str(bundle / "configs/inference.json"),
        bundle_root=str(bundle),
        device="cpu",
        **override,
    )


def export_torchscript(
    bundle: Path, ckpt_file: Path, filepath: Path, **override: Any
) -> torch.jit.ScriptModule:
    """Export a checkpoint as the zoo's checks do, without `key_in_ckpt`, and load the file."""
    ckpt_export(
        net_id="network_def",
        filepath=str(filepath),
        ckpt_file=str(ckpt_file),
        meta_file=str(bundle / "configs/metadata.json"),
        config_file=str(bundle / "configs/inference.json"),
        bundle_root=str(bundle),
        **override,
    )
    return torch.jit.load(filepath)


def missing_properties(files: Sequence[Path], workflow_type: str, **override: Any) -> list[str]:
    """Return what `check_properties` misses; MONAI 1.6.1 raises on some configs instead of listing it."""
    workflow = ConfigWorkflow(
        [str(path) for path in files], workflow_type=workflow_type, logging_file=False, **override
    )
    workflow.initialize()
    try:
        return workflow.check_properties() or []
    except (KeyError, TypeError) as error:
        return [f"{type(error).__name__}: {error}"]
    finally:
        workflow.finalize()
