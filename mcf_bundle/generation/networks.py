"""The trained networks of a generation, by role."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mcf_bundle.networks.checkpoint import TrainedNetwork

LEAST_AUC = 0.7
"""Validation AUC below which a classifier is warned of: 0.5 is chance, those that ship have over 0.96."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Networks:
    """The trained parts: denoiser, guidance classifier (None without guidance), and the gate's classifier."""

    denoiser: TrainedNetwork
    classifier: TrainedNetwork | None = None
    gate: TrainedNetwork

    def named(self) -> dict[str, TrainedNetwork]:
        """Return the networks in use, by role."""
        parts = {"denoiser": self.denoiser, "classifier": self.classifier, "gate": self.gate}
        return {name: part for name, part in parts.items() if part is not None}

    def hashes(self) -> dict[str, str]:
        """Return the SHA-256 of each checkpoint, by role."""
        return {name: part.checkpoint.sha256 for name, part in self.named().items()}

    def describe(self) -> dict[str, dict[str, Any]]:
        """Return preset, number of parameters, hash and training facts of each network, by role."""
        return {
            name: {
                "preset": part.checkpoint.preset,
                "parameters": sum(parameter.numel() for parameter in part.network.parameters()),
                "sha256": part.checkpoint.sha256,
                **part.checkpoint.info,
            }
            for name, part in self.named().items()
        }


def classifier_warnings(described: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """Name the classifiers that hardly tell tumor from none on patients whom they did not learn from.

    Args:
        described: as `Networks.describe` returns it.

    Returns:
        A sentence for each; none for a checkpoint without a validation AUC.
    """
    warnings = []
    for role, task in (("classifier", "guides"), ("gate", "judges")):
        auc = described.get(role, {}).get("val_auc")
        if auc is not None and not auc >= LEAST_AUC:
            warnings.append(
                f"The {role} that {task} the images had a validation AUC of {auc:.2f} in training, below "
                f"{LEAST_AUC:g}: it hardly tells tumor from none on other patients. Train it on more "
                "patients with tumors."
            )
    return tuple(warnings)
