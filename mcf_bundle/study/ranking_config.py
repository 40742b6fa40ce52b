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
from mcf_bundle.data.splits import TEST, VALIDATION
from mcf_bundle.errors import ArgumentError
from mcf_bundle.generation.image_evaluation_sets import UNSEEN
from mcf_bundle.overrides import check_overrides
from mcf_bundle.resources import bundle_root
from mcf_bundle.study.config import check_known, check_list, check_text
from mcf_bundle.study.config_file import build, read_object
from mcf_bundle.study.own_ids import parts_of

MEASURE_SETTINGS = (
    *("extractor", "extractor_weights", "extractor_sha256"),
    *("crop", "seed", "resamples", "memorization"),
)
"""Ids of evaluate_images.json that a ranking may set; the others it sets itself."""

_OWN_IDS = ("dataset_dir", "output_dir", "num_images", "provenance", "overwrite", "dry_run")
_SAME_IN_ALL = ("seed", "split_seed", "datalist")
_OF_THE_GENERATOR = ("preset", "ckpt", "classifier_ckpt", "gate_ckpt")


@dataclass(frozen=True)
class Setting:
    """A setting that is ranked.

    Attributes:
        name: of its folder, and of the set in a study's config.
        ids: ids of inference.json that make it.
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
        grid: values by id of inference.json; every combination is a setting. Empty: no combinations.
        variants: settings by name, ids of inference.json each; they come after the grid's.
        images: images of each setting, 6 or more.
        inference: ids of inference.json for all settings; the denoiser's, classifier's and gate's
            checkpoints, if not the shipped ones, `datalist`, `seed`.
        segmenter_ckpt: segmenter of one slice that was trained on training patients; None for the shipped
            one.
        measures: ids of evaluate_images.json, see `MEASURE_SETTINGS`.
        finalists: how many settings go on, 1 to 3; 0 chooses none.
        reference: splits whose tumors the images are measured against; the test patients only where nobody
            goes on, so that nothing is chosen on them.
    """

    name: str
    images: int
    grid: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    inference: Mapping[str, Any] = field(default_factory=dict)
    segmenter_ckpt: str | None = None
    measures: Mapping[str, Any] = field(default_factory=dict)
    finalists: int = 3
    reference: Sequence[str] = (VALIDATION,)

    def __post_init__(self) -> None:
        where = "RankingConfig"
        check_text(f"{where}.name", self.name)
        check_whole(f"{where}.images", self.images, least=6)
        check_whole(f"{where}.finalists", self.finalists)
        if self.finalists > 3:
            # Each further look at the validation patients makes the best of them a better liar.
            problem = f"{self.finalists} settings are compared on validation patients, 3 at most should be"
            raise ArgumentError(f"{where}.finalists", problem, "choose 0 to 3")
        for name, content in (
            ("grid", self.grid),
            ("variants", self.variants),
            ("inference", self.inference),
            ("measures", self.measures),
        ):
            if not isinstance(content, Mapping):
                raise ArgumentError(f"{where}.{name}", "expected an object by id", "write {id: ...}")
        if not (self.grid or self.variants):
            problem = "no setting is named"
            raise ArgumentError(f"{where}.grid", problem, "name ids with their values, or variants")
        for key, values in self.grid.items():
            check_list(f"{where}.grid.{key}", values, check=lambda *_: None)
        for name, ids in self.variants.items():
            if not isinstance(ids, Mapping):
                raise ArgumentError(f"{where}.variants.{name}", "expected an object by id", "write {id: ...}")
        self._check_reference()
        for key in self.measures:
            check_known(f"{where}.measures", key, MEASURE_SETTINGS)
        self._check_ids()
        names = [setting.name for setting in self.settings]
        if len(set(names)) < len(names):
            raise ArgumentError(f"{where}.grid", "two settings have one name", "choose other values")

    def _check_reference(self) -> None:
        where = "RankingConfig.reference"
        check_list(where, self.reference, check=lambda *_: None)
        for split in self.reference:
            check_known(where, split, UNSEEN)
        if TEST in self.reference and self.finalists:
            problem = "measures on test patients, and finalists would be chosen by it"
            raise ArgumentError(where, problem, "choose on the validation patients, or set finalists to 0")

    def _check_ids(self) -> None:
        config = ConfigParser.load_config_file(
            str(bundle_root("mcf_diffusion") / "configs" / "inference.json")
        )
        for name, content, own in (
            ("grid", self.grid, (*_OWN_IDS, *_SAME_IN_ALL)),
            *((f"variants.{name}", ids, (*_OWN_IDS, *_SAME_IN_ALL)) for name, ids in self.variants.items()),
            ("inference", self.inference, _OWN_IDS),
        ):
            where = f"RankingConfig.{name}"
            for key in content:
                if any(part in own for part in parts_of(key)):
                    raise ArgumentError(f"{where}.{key}", "is the same in all settings", "leave it out")
                if name == "grid" and key in self.inference:
                    raise ArgumentError(f"{where}.{key}", "stands in inference too", "keep one of them")
            try:
                check_overrides(dict.fromkeys(content), config)
            except ArgumentError as error:
                raise ArgumentError(where, error.problem, error.remedy) from None

    @property
    def settings(self) -> list[Setting]:
        """Every combination of the grid, the last id fastest, then the variants."""
        found = []
        for values in product(*self.grid.values()) if self.grid else ():
            ids = dict(zip(self.grid, values, strict=True))
            words = "_".join(f"{key}{value}" for key, value in ids.items())
            found.append(Setting(_folder_name(words), ids))
        return [*found, *(Setting(_folder_name(name), ids) for name, ids in self.variants.items())]

    @property
    def base(self) -> dict[str, Any]:
        """Ids of `inference` that a study's sets take over: not its seeds and lists, and not its networks."""
        left_out = (*_SAME_IN_ALL, *_OF_THE_GENERATOR)
        return {key: value for key, value in self.inference.items() if key not in left_out}

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


def _folder_name(words: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", words).strip("_")


def read_ranking(path: Path) -> RankingConfig:
    """Read a ranking's JSON file, strictly.

    Raises:
        DataError: the file cannot be read, or holds no JSON object.
        ArgumentError: a key or id is unknown or missing, or a value is out of range.
    """
    found: RankingConfig = build(RankingConfig, read_object(path), f"{path.name}:")
    return found
