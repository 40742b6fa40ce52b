"""Which settings of a generation are ranked, and how."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from mcf_bundle.arguments import check_whole
from mcf_bundle.errors import ArgumentError
from mcf_bundle.overrides import check_overrides
from mcf_bundle.resources import bundle_root
from mcf_bundle.study.config import check_known, check_list, check_text
from mcf_bundle.study.config_file import build, read_object

MEASURE_SETTINGS = ("extractor", "extractor_weights", "extractor_sha256", "crop", "seed", "resamples")
"""Ids of evaluate_images.json that a ranking may set; the others it sets itself."""

_OWN_IDS = ("dataset_dir", "output_dir", "num_images", "provenance", "overwrite", "dry_run")
_SAME_IN_ALL = ("seed", "split_seed", "datalist")


@dataclass(frozen=True)
class Setting:
    """A setting that is ranked.

    Attributes:
        name: of its folder, and of the set in a study's config.
        ids: ids of inference.json that make it, one of the grid's values each.
    """

    name: str
    ids: Mapping[str, Any]

    @property
    def id(self) -> str:
        """Its folder below ``runs``."""
        return f"settings/{self.name}"

    @property
    def kind(self) -> str:
        """All settings take about the same time."""
        return "settings"

    @property
    def needs(self) -> tuple[str, ...]:
        """Nothing: each setting stands alone."""
        return ()


@dataclass(frozen=True)
class RankingConfig:
    """A ranking of settings.

    Attributes:
        name: of the ranking.
        grid: values by id of inference.json; every combination is a setting.
        images: images of each setting, 6 or more.
        inference: ids of inference.json for all settings; the denoiser's, classifier's and gate's
            checkpoints, if not the shipped ones, `datalist`, `seed`.
        segmenter_ckpt: segmenter of one slice that was trained on training patients; None for the shipped
            one.
        measures: ids of evaluate_images.json, see `MEASURE_SETTINGS`.
        finalists: how many settings go on, 1 to 3.
    """

    name: str
    grid: Mapping[str, Sequence[Any]]
    images: int
    inference: Mapping[str, Any] = field(default_factory=dict)
    segmenter_ckpt: str | None = None
    measures: Mapping[str, Any] = field(default_factory=dict)
    finalists: int = 3

    def __post_init__(self) -> None:
        where = "RankingConfig"
        check_text(f"{where}.name", self.name)
        check_whole(f"{where}.images", self.images, least=6)
        check_whole(f"{where}.finalists", self.finalists, least=1)
        if self.finalists > 3:
            # Each further look at the validation patients makes the best of them a better liar.
            problem = f"{self.finalists} settings are compared on validation patients, 3 at most should be"
            raise ArgumentError(f"{where}.finalists", problem, "choose 1 to 3")
        for name, content in (
            ("grid", self.grid),
            ("inference", self.inference),
            ("measures", self.measures),
        ):
            if not isinstance(content, Mapping):
                raise ArgumentError(f"{where}.{name}", "expected an object by id", "write {id: ...}")
        if not self.grid:
            raise ArgumentError(f"{where}.grid", "is empty", "name ids with their values")
        for key, values in self.grid.items():
            check_list(f"{where}.grid.{key}", values, check=lambda *_: None)
        for key in self.measures:
            check_known(f"{where}.measures", key, MEASURE_SETTINGS)
        self._check_ids()
        names = [setting.name for setting in self.settings]
        if len(set(names)) < len(names):
            raise ArgumentError(f"{where}.grid", "two settings have one name", "choose other values")

    def _check_ids(self) -> None:
        config = ConfigParser.load_config_file(
            str(bundle_root("mcf_diffusion") / "configs" / "inference.json")
        )
        for name, content, own in (
            ("grid", self.grid, (*_OWN_IDS, *_SAME_IN_ALL)),
            ("inference", self.inference, _OWN_IDS),
        ):
            where = f"RankingConfig.{name}"
            for key in content:
                if key in own:
                    raise ArgumentError(f"{where}.{key}", "is the same in all settings", "leave it out")
                if name == "grid" and key in self.inference:
                    raise ArgumentError(f"{where}.{key}", "stands in inference too", "keep one of them")
            try:
                check_overrides(dict.fromkeys(content), config)
            except ArgumentError as error:
                raise ArgumentError(where, error.problem, error.remedy) from None

    @property
    def settings(self) -> list[Setting]:
        """Every combination of the grid, the last id fastest."""
        found = []
        for values in product(*self.grid.values()):
            ids = dict(zip(self.grid, values, strict=True))
            words = "_".join(f"{key}{value}" for key, value in ids.items())
            found.append(Setting(re.sub(r"[^A-Za-z0-9]+", "_", words).strip("_"), ids))
        return found

    @property
    def identity(self) -> dict[str, Any]:
        """What the results depend on, as plain JSON values; the number of finalists changes none."""
        content = json.loads(json.dumps(asdict(self)))
        del content["finalists"]
        return content

    @property
    def hash(self) -> str:
        """SHA-256 of `identity`, hexadecimal."""
        return hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()


def read_ranking(path: Path) -> RankingConfig:
    """Read a ranking's JSON file, strictly.

    Raises:
        DataError: the file cannot be read, or holds no JSON object.
        ArgumentError: a key or id is unknown or missing, or a value is out of range.
    """
    found: RankingConfig = build(RankingConfig, read_object(path), f"{path.name}:")
    return found
