"""The trained networks of a generation, by role."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mcf_bundle.networks.checkpoint import TrainedNetwork


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
