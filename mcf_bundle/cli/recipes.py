"""Which config files of which bundle the words of the command line stand for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mcf_bundle.errors import ArgumentError
from mcf_bundle.resources import bundle_root, config_path


@dataclass(frozen=True)
class Recipe:
    """The config files that do one job.

    Attributes:
        bundle: folder name under ``bundles/``.
        configs: its config files, in order.
        presets: overlay by name of a preset, which stands after the first of `configs`; None where the preset
            is a size of the network and nothing more, so that the id `preset` says it all.
    """

    bundle: str
    configs: tuple[str, ...]
    presets: Mapping[str, str | None] = field(default_factory=dict)

    def files(self, preset: str | None = None) -> list[Path]:
        """List the files in the order in which they are merged.

        Raises:
            ArgumentError: there is no such bundle, or it has no such preset.
        """
        folder = bundle_root(self.bundle) / "configs"
        first, *others = (folder / name for name in self.configs)
        overlay = self._overlay(preset)
        return [first, *([] if overlay is None else [config_path(overlay)]), *others]

    def settings(self, preset: str | None = None) -> dict[str, str]:
        """Return what a preset without an overlay sets; raises as `files` does."""
        return {"preset": preset} if preset is not None and self._overlay(preset) is None else {}

    def _overlay(self, preset: str | None) -> str | None:
        if preset is None:
            return None
        if preset not in self.presets:
            remedy = f"choose one of {', '.join(self.presets)}" if self.presets else "leave --preset out"
            problem = f"{self.configs[0]} of {self.bundle} has no such preset"
            raise ArgumentError(f"--preset {preset}", problem, remedy)
        return self.presets[preset]


PRESETS = {"smoke": "presets/smoke", "fast": "presets/fast", "paper": "presets/paper"}

CLASSIFIER_PRESETS = {**PRESETS, "paper": "presets/paper_classifier"}

SEGMENTATION_PRESETS = {**PRESETS, "paper": None}

TRAININGS: Mapping[str, Recipe] = {
    "denoiser": Recipe("mcf_diffusion", ("train.json",), PRESETS),
    "classifier": Recipe("mcf_diffusion", ("train_classifier.json",), CLASSIFIER_PRESETS),
    "gate": Recipe("mcf_diffusion", ("train_classifier.json", "train_gate.json"), CLASSIFIER_PRESETS),
    "segmentation": Recipe("tumor_segmentation", ("train.json",), SEGMENTATION_PRESETS),
    "classification": Recipe("tumor_classification", ("train.json",)),
}
"""What `train` can train."""

EVALUATIONS: Mapping[str, Recipe] = {
    "denoiser": Recipe("mcf_diffusion", ("train.json", "evaluate.json"), PRESETS),
    "segmentation": Recipe("tumor_segmentation", ("train.json", "evaluate.json"), SEGMENTATION_PRESETS),
    "classification": Recipe("tumor_classification", ("train.json", "evaluate.json")),
}
"""What `evaluate` can evaluate."""

INFERENCE = Recipe("mcf_diffusion", ("inference.json",))
"""What `plan` and `generate` run."""

IMAGE_EVALUATION = Recipe("mcf_diffusion", ("evaluate_images.json",))
"""What `judge` runs."""
