"""What a config must not do: each rule takes a config and lists its violations."""

from __future__ import annotations

import inspect
import json
import pydoc
import re
from collections.abc import Iterator, Mapping
from typing import Any

from monai.bundle import ConfigExpression, ReferenceResolver
from monai.bundle.config_item import ConfigComponent
from monai.bundle.properties import InferProperties, TrainProperties

LONGEST_EXPRESSION = 80
LARGEST_REPEATED_SUBTREE = 12
STRUCTURE = {"imports", "initialize", "run", "finalize", "bundle_root", "displayable_configs"}
"""Ids that MONAI reads by itself when it runs a bundle, and MONAI Label when it serves one."""

PROPERTIES = {
    item["id"].replace("::", "#") for table in (TrainProperties, InferProperties) for item in table.values()
}
"""Ids that MONAI's tools look for, such as MONAI Label and MonaiAlgo."""

_ROOTED = re.compile(r"(?:~|/|[A-Za-z]:[\\/]|\\\\|file:)")
_ROOTED_LITERAL = re.compile(
    r"""["'](?:~|/(?:home|root|Users|mnt|media|data|tmp|work|opt|var|srv|scratch)\b|[A-Za-z]:[\\/])"""
)
_PERSONAL = re.compile(r"(?<![\w.])[/\\](?:home|Users)[/\\]\w|\bPath\.home\(|\bHOME\b|\bUSERPROFILE\b")
_SCRIPTS = re.compile(r"(?<![\w./])scripts\b(?![/\w])")
_SEPARATOR = re.compile("#|::")

Config = Mapping[str, Any]


# --- The text of a file ----------------------------------------------------------------------------


def duplicated_keys(text: str) -> list[str]:
    """JSON keeps the last of two equal keys in silence, and MONAI takes `a#b` and `a::b` for the same."""
    found: list[str] = []

    def note(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key.replace("::", "#") for key, _ in pairs]
        found.extend(sorted({key for key in keys if keys.count(key) > 1}))
        return dict(pairs)

    json.loads(text, object_pairs_hook=note)
    return found


def not_pretty(text: str) -> list[str]:
    """The model zoo wants four spaces, one item a line, ASCII, and a final newline."""
    pretty = json.dumps(json.loads(text), indent=4) + "\n"
    pairs = enumerate(zip(text.splitlines(True), pretty.splitlines(True), strict=False), 1)
    return [] if text == pretty else [f"line {next((n for n, (a, b) in pairs if a != b), 'last')}"]


# --- Strings ---------------------------------------------------------------------------------------


def long_expressions(config: Config) -> list[str]:
    """An expression over 80 characters is a program, and belongs into Python."""
    return [text for _, text in strings(config) if text.startswith("$") and len(text) > LONGEST_EXPRESSION]


def imports_with_references(config: Config) -> list[str]:
    """MONAI crashes on an expression that imports and refers to an id."""
    return [
        text
        for _, text in strings(config)
        if text.startswith("$") and re.search(r"\bimport\b", text) and "@" in text
    ]


def scripts_imports(config: Config) -> list[str]:
    """A package called scripts would be found only in one folder, and shadows every other one."""
    return [
        text
        for path, text in strings(config)
        if (text.startswith("$") or path.endswith("_target_")) and _SCRIPTS.search(text)
    ]


def absolute_paths(config: Config) -> list[str]:
    """A path from the root of somebody's disk, or through somebody's home, exists nowhere else."""
    return [
        text
        for _, text in strings(config)
        if _PERSONAL.search(text)
        or (_ROOTED_LITERAL.search(text) if text.startswith("$") else _ROOTED.match(text))
    ]


# --- Targets ---------------------------------------------------------------------------------------


def unresolved_targets(config: Config) -> list[str]:
    """A target that is no class or function crashes when it is used; here also if it never is."""
    return [name for name, _ in _targets(config) if not callable(_locate(name))]


def unbound_arguments(config: Config) -> list[str]:
    """Arguments that the target does not take, or lacks."""
    found = []
    for name, node in _targets(config):
        target = _locate(name)
        if not callable(target):
            continue
        arguments = {key: value for key, value in node.items() if key not in ConfigComponent.non_arg_keys}
        signature = inspect.signature(target)
        bind = signature.bind if node.get("_mode_", "default") == "default" else signature.bind_partial
        try:
            bind(**arguments)
        except TypeError as error:
            found.append(f"{name}: {error}")
    return found


# --- Ids -------------------------------------------------------------------------------------------


def reachable_ids(config: Config, roots: set[str]) -> set[str]:
    """Return the ids that are used, directly or not, by what stands at or below `roots`."""
    pending, reached = [root for root in roots if has_id(config, root)], set()
    while pending:
        path = pending.pop()
        if path not in reached:
            reached.add(path)
            pending += [
                found
                for _, text in strings(_at(config, path))
                for found in _references(text)
                if has_id(config, found)
            ]
    return reached


def dead_ids(config: Config) -> list[str]:
    """Ids that nothing uses: top-level ones, and those inside train, validate and other groups.

    A node is used if something refers to it, to a part of it, or to what it is a part of.
    """
    used = reachable_ids(config, STRUCTURE | PROPERTIES)
    groups = [key for key, node in config.items() if isinstance(node, Mapping) and "_target_" not in node]
    nodes = [key for key in config if key not in groups] + [
        f"{group}#{key}" for group in groups for key in config[group]
    ]
    return [
        node
        for node in nodes
        if not any(_is_below(node, reached) or _is_below(reached, node) for reached in used)
    ]


def unknown_references(config: Config) -> list[str]:
    """References to ids that do not exist."""
    return [
        f"{path}: @{found}"
        for path, text in strings(config)
        for found in _references(text)
        if not has_id(config, found)
    ]


def unknown_overlay_keys(overlay: Config, base: Config) -> list[str]:
    """Keys of an overlay that its base lacks: MONAI would add them, and nothing would read them.

    Beside a `_target_` every argument that it takes is known, whether or not the base sets it, and so are the
    ids that MONAI reads by itself.
    """
    return [key for key in overlay if not _is_known(key.removeprefix("+"), base)]


def repeated_subtrees(one: Config, other: Config) -> list[str]:
    """Subtrees of more than 12 leaves that stand in both configs: a fork by copying."""
    known = {json.dumps(node, sort_keys=True) for _, node in _large_nodes(one)}
    return [path for path, node in _large_nodes(other) if json.dumps(node, sort_keys=True) in known]


# --- Walking ---------------------------------------------------------------------------------------


def nodes_of(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every node with its id, parents before children."""
    yield path, node
    children = (
        node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, list) else ()
    )
    for key, child in children:
        yield from nodes_of(child, f"{path}#{key}" if path else str(key))


def strings(node: Any) -> Iterator[tuple[str, str]]:
    """Yield every string value with its id."""
    return ((path, value) for path, value in nodes_of(node) if isinstance(value, str))


def expanded(config: Config, node: Any) -> Any:
    """Return a node with each reference replaced by what it refers to, appended to `$` expressions."""
    if isinstance(node, Mapping):
        return {key: expanded(config, child) for key, child in node.items()}
    if isinstance(node, list):
        return [expanded(config, child) for child in node]
    if not isinstance(node, str):
        return node
    found = [expanded(config, _at(config, path)) for path in _references(node) if has_id(config, path)]
    return found[0] if found and node.startswith("@") else [node, *found] if found else node


def has_id(config: Config, path: str) -> bool:
    """Tell whether an id exists, its parts joined by '#' or '::'."""
    try:
        _at(config, path)
    except (KeyError, IndexError, TypeError, ValueError):
        return False
    return True


def _at(config: Any, path: str) -> Any:
    for part in _SEPARATOR.split(path):
        config = config[int(part)] if isinstance(config, list) else config[part]
    return config


def _is_known(key: str, base: Config) -> bool:
    parent, _, argument = key.replace("::", "#").rpartition("#")
    if has_id(base, key) or key in STRUCTURE:
        return True
    node = _at(base, parent) if parent and has_id(base, parent) else None
    if not isinstance(node, Mapping) or not isinstance(node.get("_target_"), str):
        return False
    return argument in ConfigComponent.non_arg_keys or not unbound_arguments(
        {parent: {**node, argument: None, "_mode_": "partial"}}
    )


def _references(text: str) -> list[str]:
    if ConfigExpression.is_import_statement(text):
        return []
    return [found.replace("::", "#") for found in ReferenceResolver.match_refs_pattern(text)]


def _is_below(path: str, parent: str) -> bool:
    return f"{path}#".startswith(f"{parent}#")


def _targets(config: Config) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for _, node in nodes_of(config):
        if isinstance(node, Mapping) and isinstance(node.get("_target_"), str):
            yield ConfigComponent(config=dict(node)).resolve_module_name(), node


def _locate(name: str) -> Any:
    try:
        return pydoc.locate(name)
    except pydoc.ErrorDuringImport:
        return None


def _large_nodes(config: Config) -> Iterator[tuple[str, Any]]:
    for path, node in nodes_of(config):
        if sum(not isinstance(leaf, Mapping | list) for _, leaf in nodes_of(node)) > (
            LARGEST_REPEATED_SUBTREE
        ):
            yield path, node
