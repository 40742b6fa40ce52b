"""Which config files there are, and the lists of them that `--config_file` may be given."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

OVERLAYS: Mapping[str, tuple[str, ...]] = {
    "presets/smoke.json": (
        *("mcf_diffusion/train.json", "mcf_diffusion/train_classifier.json", "tumor_segmentation/train.json"),
    ),
    "presets/fast.json": (
        *("mcf_diffusion/train.json", "mcf_diffusion/train_classifier.json", "tumor_segmentation/train.json"),
    ),
    "presets/paper.json": ("mcf_diffusion/train.json",),
    "presets/paper_classifier.json": ("mcf_diffusion/train_classifier.json",),
    "datasets/lgg.json": ("*/train*.json", "*/inference.json"),
    "datasets/phantom.json": ("*/train*.json", "*/inference.json"),
    "hardware/cpu.json": ("*/train*.json", "*/inference.json"),
    "hardware/gpu.json": ("*/train*.json", "*/inference.json"),
    "hardware/multi_gpu_generate.json": ("mcf_diffusion/inference.json",),
    "hardware/multi_gpu_train.json": ("*/train.json", "mcf_diffusion/train_classifier.json"),
}
"""Bundle configs, `<bundle>/<file>` with wildcards, that an overlay in configs/ is listed after."""

BUNDLE_OVERLAYS: Mapping[str, str] = {
    "train_gate.json": "train_classifier.json",
    "evaluate.json": "train.json",
}
"""Configs inside a bundle that are listed after another one of the same bundle, and last."""


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


class ConfigFiles:
    """The bundles and overlays of a checkout.

    Args:
        root: folder with bundles/ and configs/.
        overlays: see `OVERLAYS`.
    """

    def __init__(self, root: Path = ROOT, overlays: Mapping[str, tuple[str, ...]] = OVERLAYS) -> None:
        self.root, self.known = root, overlays
        self.bundles = sorted(path.parent for path in root.glob("bundles/*/configs"))
        self.metadata = sorted(root.glob("bundles/*/configs/metadata.json"))
        # A study's config is no overlay: the runner reads it, not MONAI.
        studies = root / "configs" / "studies"
        self.overlays = sorted(path for path in root.glob("configs/**/*.json") if path.parent != studies)
        inside = sorted(set(root.glob("bundles/*/configs/*.json")) - set(self.metadata))
        self.bases = [path for path in inside if path.name not in BUNDLE_OVERLAYS]
        self.bundle_overlays = [path for path in inside if path.name in BUNDLE_OVERLAYS]
        self.configs = [*inside, *self.overlays]
        self.files = [*self.configs, *self.metadata]

    def name_of(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def bases_of(self, overlay: Path) -> list[Path]:
        """Return the configs that an overlay is listed after; none if nobody knows it."""
        if overlay in self.bundle_overlays:
            return [overlay.with_name(BUNDLE_OVERLAYS[overlay.name])]
        patterns = self.known.get(overlay.relative_to(self.root / "configs").as_posix(), ())
        return [base for base in self.bases if any(self._matches(base, pattern) for pattern in patterns)]

    def runs(self) -> list[list[Path]]:
        """Return every list of files: a config alone, with an overlay, and with its bundle's overlay last."""
        pairs = [
            [base, overlay]
            for overlay in (*self.overlays, *self.bundle_overlays)
            for base in self.bases_of(overlay)
        ]
        triples = [
            [*pair, last]
            for last in self.bundle_overlays
            for pair in pairs
            if pair[1] in self.overlays and pair[:1] == self.bases_of(last)
        ]
        return [*([base] for base in self.bases), *pairs, *triples]

    @staticmethod
    def _matches(base: Path, pattern: str) -> bool:
        bundle, name = pattern.split("/")
        return base.parents[1].match(bundle) and base.match(name)
