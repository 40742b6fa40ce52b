"""What a ranking refuses before its first image, and not after hours."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from monai.bundle import ConfigParser

from mcf_bundle.arguments import as_path
from mcf_bundle.errors import ArgumentError
from mcf_bundle.networks.checkpoint import Checkpoint, read_checkpoint
from mcf_bundle.resources import bundle_root
from mcf_bundle.study.config import CKPT_IDS
from mcf_bundle.study.ranking_config import RankingConfig, Setting

KnownPatients = tuple[frozenset[str], frozenset[str]]
"""Hashes of the patients that networks were trained on, and of those who chose their epochs."""


def check_checkpoints(config: RankingConfig) -> None:
    """Refuse checkpoints that cannot be read, and settings that would split the patients differently.

    Without a datalist a split pins to training whom the checkpoints were trained on. Where two settings have
    checkpoints of different patients, their images would be measured against different ones.

    Args:
        config: the ranking.

    Raises:
        CheckpointError: a file is missing or damaged; names it.
        ArgumentError: the checkpoints of two settings know different patients, and there is no datalist; or a
            checkpoint is no path.
    """
    read = cache(read_checkpoint)
    if config.segmenter_ckpt is not None:
        read(Path(config.segmenter_ckpt))
    known: dict[KnownPatients, str] = {}
    for setting in config.settings:
        found = [read(path) for path in _checkpoints(config, setting)]
        known.setdefault(_known_patients(found), setting.name)
    if len(known) > 1 and config.inference.get("datalist") is None:
        first, other = list(known.values())[:2]
        problem = f"the checkpoints of {first} and {other} know different patients, so their splits differ"
        raise ArgumentError("RankingConfig.inference.datalist", problem, "give a datalist that suits both")


def _checkpoints(config: RankingConfig, setting: Setting) -> list[Path]:
    """Return the files that a setting's networks come from."""
    bundle = ConfigParser()
    bundle.read_config(bundle_root("mcf_diffusion") / "configs" / "inference.json")
    bundle.update({**config.inference, **setting.ids})
    roles = dict(CKPT_IDS)
    if not bundle.get_parsed_content("guidance_scale"):
        del roles["classifier"]
    return [as_path(bundle.get_parsed_content(name), name) for name in roles.values()]


def _known_patients(checkpoints: list[Checkpoint]) -> KnownPatients:
    trained = frozenset[str]().union(*(item.patients for item in checkpoints))
    chosen = frozenset[str]().union(*(item.validation_patients for item in checkpoints))
    return trained, chosen
