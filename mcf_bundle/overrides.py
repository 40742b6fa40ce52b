"""Command-line overrides of a bundle, compared with the ids that its config files have.

MONAI accepts an unknown id in silence and runs with the default; here it is an error that names the nearest.
"""

from __future__ import annotations

import difflib
import inspect
import pydoc
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import fire
from monai.bundle import ConfigParser, ConfigWorkflow, create_workflow
from monai.bundle import run as monai_run
from monai.bundle.config_item import ConfigComponent

from mcf_bundle.errors import ArgumentError

_TRACKING_ARGUMENTS = {"output_dir", "tracking_uri", "experiment_name", "run_name", "save_execute_config"}
_SEPARATOR = re.compile("#|::")


def check_command(arguments: Sequence[str]) -> dict[str, Any] | None:
    """Refuse a command line of ``monai.bundle run`` with overrides that do not fit its config files.

    Args:
        arguments: what stands after ``run`` or ``run_workflow``; nothing is checked without a config file.

    Returns:
        The config that MONAI runs: the files merged, then the overrides; '$' and '@' strings as they stand.
        None without a config file.

    Raises:
        ArgumentError: an override names an id that the config does not have.
    """
    given, overrides = read_command(arguments)
    if not given.get("config_file"):
        return None
    parser = ConfigParser(ConfigParser.load_config_files(given["config_file"]))
    check_overrides(overrides, parser.get(), also_legal=_TRACKING_ARGUMENTS if given.get("tracking") else ())
    parser.update(overrides)
    return parser.get()


def read_command(arguments: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read the arguments of ``monai.bundle run`` exactly as MONAI does, with Fire and the same signature.

    Args:
        arguments: what stands after ``run``.

    Returns:
        MONAI's own arguments that are not None, and the overrides by id; what ``args_file`` says counts where
        the command line does not say otherwise.
    """
    signature = inspect.signature(monai_run)
    given: dict[str, Any] = {}

    def take(*positional: Any, **named: Any) -> None:
        given.update(signature.bind(*positional, **named).arguments)

    vars(take)["__signature__"] = signature
    fire.Fire(take, command=list(arguments), name="run")

    given |= given.pop("override", {})
    given = {name: value for name, value in given.items() if value is not None}
    if isinstance(given.get("args_file"), str):
        given = ConfigParser.load_config_file(given["args_file"]) | given
    overrides = {name: value for name, value in given.items() if name not in signature.parameters}
    return {name: value for name, value in given.items() if name in signature.parameters}, overrides


def check_overrides(
    overrides: Iterable[str], config: Mapping[str, Any], also_legal: Iterable[str] = ()
) -> None:
    """Refuse an override whose id the config does not have.

    Legal are the config's ids, MONAI's own arguments, and beside a ``_target_`` every argument that it takes,
    whether or not the config sets it.

    Args:
        overrides: ids as typed, parts joined by ``#`` or ``::``, a leading ``+`` allowed.
        config: the merged content of the config files.
        also_legal: further first parts that are fine.

    Raises:
        ArgumentError: an id is unknown; the message names the nearest one, or all if none is near.
    """
    legal = _monai_arguments() | {"bundle_root", ConfigParser.meta_key, *also_legal}
    for typed in overrides:
        parts = _SEPARATOR.split(typed.removeprefix("+"))
        if parts[0] in legal:
            continue
        node: Any = config
        for depth, part in enumerate(parts):
            if not isinstance(node, Mapping):
                break  # a list is indexed by number; anything else MONAI refuses
            if part in node:
                node = node[part]
                continue
            known = [*map(str, node), *(_target_arguments(node) if depth else legal)]
            if part not in known or depth < len(parts) - 1:
                raise _unknown_id(typed, parts[:depth], part, known, config)


def _unknown_id(
    typed: str, parents: list[str], part: str, known: list[str], config: Mapping[str, Any]
) -> ArgumentError:
    """Make the error for ``typed``, of which ``part`` is not among the ``known`` names below ``parents``."""
    prefix = "".join(f"{parent}#" for parent in parents)
    names = sorted({name for name in known if not name.startswith("_")})
    similar = [f"{prefix}{name}" for name in difflib.get_close_matches(part, names, n=1)]
    nearest = similar or [path for path in _paths(config) if path.rpartition("#")[2] == part]
    remedy = f"the nearest is --{nearest[0]}" if nearest else f"the ids there are {', '.join(names)}"
    place = f"below {'#'.join(parents)!r} in the config" if parents else "in the config"
    return ArgumentError(f"--{typed}", f"there is no id {part!r} {place}", remedy)


def _paths(node: Any, prefix: str = "") -> Iterator[str]:
    """Yield the id of everything below ``node``, parents before their children."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield f"{prefix}{key}"
            yield from _paths(value, f"{prefix}{key}#")


def _monai_arguments() -> set[str]:
    """Return the names that MONAI takes for itself and never looks up in a config."""
    functions = (monai_run, create_workflow, ConfigWorkflow)
    parameters = [p for function in functions for p in inspect.signature(function).parameters.values()]
    return {p.name for p in parameters if p.kind is not p.VAR_KEYWORD}


def _target_arguments(node: Mapping[str, Any]) -> set[str]:
    """Return the arguments of the class or function that ``node`` instantiates; empty if it does not."""
    if not isinstance(node.get("_target_"), str):
        return set()
    try:
        target = pydoc.locate(ConfigComponent(config=dict(node)).resolve_module_name())
        parameters = inspect.signature(target).parameters.values()  # type: ignore[arg-type]
    except (pydoc.ErrorDuringImport, TypeError, ValueError):
        return set(ConfigComponent.non_arg_keys)
    named = {p.name for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
    return named | set(ConfigComponent.non_arg_keys)
