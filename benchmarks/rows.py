"""Rows of a plan on real slices as blocks for the sampler, for every benchmark that needs real inputs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from mcf_bundle.diffusion.sampler import FusionBatch
from mcf_bundle.generation.materials import Materials, prepare_materials, to_batch
from mcf_bundle.resources import bundle_root


@dataclass(frozen=True, eq=False)
class Rows:
    """The parsed bundle and the first candidate of each row of its plan.

    Attributes:
        config: inference.json with its overrides; `get_parsed_content` gives its parts.
        materials: what each image is made from.
    """

    config: ConfigParser
    materials: list[Materials]

    def blocks(self, size: int | None = None) -> Iterator[tuple[list[Materials], FusionBatch]]:
        """Yield the rows in blocks of `size` (default: the bundle's); the last one may be shorter."""
        size = size or self.config.get_parsed_content("compute_batch")
        device = self.config.get_parsed_content("device")
        for start in range(0, len(self.materials), size):
            part = self.materials[start : start + size]
            yield part, to_batch(part, device)


def read_config(dataset_dir: str | Path, count: int, **overrides: Any) -> ConfigParser:
    """Return inference.json for `count` images of a dataset.

    Args:
        dataset_dir: folder in the LGG layout.
        count: number of images.
        **overrides: further ids of inference.json.
    """
    config = ConfigParser()
    config.read_config(bundle_root("mcf_diffusion") / "configs/inference.json")
    config.update({"dataset_dir": str(dataset_dir), "num_images": count, "output_dir": "unused", **overrides})
    return config


def read_rows(dataset_dir: Path, count: int, **overrides: Any) -> Rows:
    """Plan images on a dataset with the bundle's defaults, and prepare their materials; see `read_config`."""
    config = read_config(dataset_dir, count, **overrides)
    workflow = config.get_parsed_content("generation")
    cases, rules = workflow.source.cases, workflow.rules.pairing.placement
    materials = [prepare_materials(row, row.candidates[0], cases, rules) for row in workflow.plan.rows]
    return Rows(config, materials)
