"""A study's JSON file, read strictly at one scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from functools import partial
from pathlib import Path
from typing import Any

from mcf_bundle.bounded_file import read_json
from mcf_bundle.errors import ArgumentError, DataError, McfError
from mcf_bundle.study.config import (
    GENERATED,
    SCALES,
    Arm,
    Generator,
    Model,
    Primary,
    SliceSplit,
    StudyConfig,
    SyntheticSet,
    check_known,
    check_list,
)


def read_config(path: Path, scale: str) -> StudyConfig:
    """Read a study's JSON file at one scale; all others are checked too.

    `scales` holds what each scale changes: mappings are merged at any depth, everything else replaces; and
    `choose` lists the arms and models that it keeps. Sets that no arm uses and `judge` does not list are
    left out.

    Args:
        path: the file.
        scale: one of `SCALES`.

    Raises:
        DataError: the file cannot be read, or is not JSON.
        ArgumentError: a key, arm, set, model or scale is unknown, or a value is out of range; the message has
            the key's path and what exists.
    """
    content, where = read_object(path), f"{path.name}:"
    scales = content.get("scales", {})
    if not isinstance(scales, Mapping) or not scales:
        raise ArgumentError(f"{where} scales", "expected an object by scale", "write {scale: {...}}")
    for name in scales:
        check_known(f"{where} scales", name, SCALES)
    check_known("--scale", scale, scales)
    base = {key: value for key, value in content.items() if key != "scales"}
    resolved = {name: _resolve(base, scales[name], name, where) for name in scales}
    return resolved[scale]


def read_object(path: Path) -> Mapping[str, Any]:
    """Read a JSON object; a key that stands there twice is an error.

    Raises:
        DataError: the file cannot be read, is not JSON, or holds something else.
    """
    try:
        content = read_json(path, object_pairs_hook=_refuse_twice)
    except OSError as error:
        raise DataError(path, f"cannot be read ({error.strerror})", "give a study's JSON file") from error
    except ValueError as error:
        if isinstance(error, McfError):
            raise DataError(path, error.problem, error.remedy) from None
        raise DataError(path, f"is not JSON ({error})", "correct the file") from error
    if not isinstance(content, Mapping):
        raise DataError(path, "holds no JSON object", "give a study's JSON file")
    return content


def _refuse_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise ArgumentError(name, f"holds the key {name!r} twice", "keep one of them")
    return dict(pairs)


def _resolve(base: Mapping[str, Any], changes: Any, scale: str, where: str) -> StudyConfig:
    place = f"{where} scales.{scale}"
    if not isinstance(changes, Mapping):
        raise ArgumentError(place, "expected an object", "write what this scale changes")
    chosen = changes.get("choose", {})
    if not isinstance(chosen, Mapping):
        raise ArgumentError(f"{place}.choose", "expected lists of arms and models", "write {arms: [...]}")
    merged = merge(base, {key: value for key, value in changes.items() if key != "choose"})
    for group, names in chosen.items():
        check_known(f"{place}.choose", group, ("arms", "models"))
        there = merged.get(group, {})
        check_list(f"{place}.choose.{group}", names, check=partial(check_known, known=there))
        merged[group] = {name: there[name] for name in names}
    content: dict[str, Any] = {**merged, "scale": scale}
    for group, kind in (("arms", Arm), ("sets", SyntheticSet), ("models", Model)):
        if group in content:
            content[group] = _build_all(kind, content[group], f"{where} {group}")
    for name, single in (("generator", Generator), ("primary", Primary), ("slice_split", SliceSplit)):
        if name in content:
            content[name] = build(single, content[name], f"{where} {name}")
    if {"arms", "sets"} <= content.keys():
        judged = content.get("judge") or []
        if judged:
            check_list(f"{where} judge", judged, check=partial(check_known, known=content["sets"]))
        content["sets"] = _used(content["arms"], content["sets"], judged, where)
    return build(StudyConfig, content, where)


def merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mapping with changes: mappings are merged at any depth, everything else replaces.

    >>> merge({"a": {"b": 1, "c": [2]}, "d": 3}, {"a": {"c": [4]}})
    {'a': {'b': 1, 'c': [4]}, 'd': 3}
    """
    merged = dict(base)
    for name, value in changes.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(name), Mapping)
        merged[name] = merge(merged[name], value) if both else value
    return merged


def _used(
    arms: Mapping[str, Arm], sets: Mapping[str, SyntheticSet], judged: Sequence[str], where: str
) -> dict[str, SyntheticSet]:
    """Leave out the sets that are not judged and that neither an arm nor the set of an arm names."""
    for name, arm in arms.items():
        if arm.synthetic is not None:
            check_known(f"{where} arms.{name}.synthetic", arm.synthetic, sets)
    generated = [name for name, item in sets.items() if item.kind == GENERATED]
    for name, item in sets.items():
        if item.of is not None:
            check_known(f"{where} sets.{name}.of", item.of, generated)
    needed = {*judged, *(arm.synthetic for arm in arms.values())}
    needed |= {item.of for name, item in sets.items() if name in needed}
    return {name: item for name, item in sets.items() if name in needed}


def _build_all(kind: type, content: Any, where: str) -> dict[str, Any]:
    if not isinstance(content, Mapping) or not (content or kind is SyntheticSet):
        raise ArgumentError(where, "expected an object by name", "name at least one")
    for name in content:
        # Names become folders.
        if not name.replace("_", "").isalnum() or not name.isascii():
            raise ArgumentError(f"{where}.{name}", "is no name", "use letters, digits and underscores")
    return {name: build(kind, value, f"{where}.{name}") for name, value in content.items()}


def build(kind: Any, content: Any, where: str) -> Any:
    """Make a settings object from a JSON object, strictly.

    Args:
        kind: a dataclass.
        content: values of its fields by name.
        where: path of the object in the file, for messages; "<file>:" at the top.

    Raises:
        ArgumentError: a key is unknown or missing, or a value is out of range; names the key's path.
    """
    place = where if where.endswith(":") else f"{where}."
    if not isinstance(content, Mapping):
        raise ArgumentError(where, f"expected an object, got {content!r}", "write {key: value}")
    known = {item.name: item for item in fields(kind)}
    for name in content:
        check_known(where, name, [key for key in known if key != "scale"] if name != "scale" else known)
    needed = [
        name for name, item in known.items() if item.default is MISSING and item.default_factory is MISSING
    ]
    if missing := [name for name in needed if name not in content]:
        raise ArgumentError(where, f"{', '.join(missing)} is missing", "add it")
    try:
        return kind(**content)
    except ArgumentError as error:
        inner = error.where.removeprefix(f"{kind.__name__}.")
        separator = " " if place.endswith(":") else ""
        raise ArgumentError(f"{place}{separator}{inner}", error.problem, error.remedy) from None
